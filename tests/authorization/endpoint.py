"""The token endpoint: rotates refresh tokens, refuses the old ones, and keeps what it was asked.

``faults`` are asked before anything else: a fault gets the form and answers with a response, or with None to go on as usual.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_urlsafe
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.submission.authority import Authority
from warmup_core.oauth import Application

Fault = Callable[[Mapping[str, str]], Awaitable[web.Response | None]]


class TokenEndpoint:
    """A server. ``clients``: secrets by client id; may change while it runs. ``rotate``: whether a refresh token serves once."""

    def __init__(self, authority: Authority, *, rotate: bool = True, seconds: int = 3600) -> None:
        self.clients = {"client-1": "client-s3cret-1"}
        self.rotate, self.seconds = rotate, seconds
        self.requests: list[Mapping[str, str]] = []
        self.fault: Fault | None = None
        self.given: list[str] = []
        """Every token there ever was."""
        self.busiest = 0
        """Most requests answered at one time."""
        self.authority = authority
        self._context = authority.issue("127.0.0.1").context()
        self._refresh: dict[str, str] = {}
        self._access: dict[str, str] = {}
        self._busy = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/token", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def application(self, name: str = "google", **changes: str) -> Application:
        """How a fleet is told of this endpoint."""
        values = {
            "client_id": "client-1",
            "client_secret": self.clients["client-1"],
            "scope": "mail",
        } | changes
        return Application(name, token_endpoint=f"https://127.0.0.1:{self.port}/token", **values)

    def consent(self, address: str) -> str:
        """A refresh token, as a person's consent would give."""
        token = f"refresh-s3cret-{len(self.given)}-{address}-{token_urlsafe(30)}"
        self.given.append(token)
        self._refresh[token] = address
        return token

    def revoke(self, address: str) -> None:
        """End every token of this address."""
        for tokens in (self._refresh, self._access):
            for token in [it for it, whose in tokens.items() if whose == address]:
                del tokens[token]

    def end_access(self) -> None:
        """End every access token before its time."""
        self._access.clear()

    def accounts(self, login: str, token: str) -> str | None:
        """Who may log in with which access token, for a submission server."""
        return login if self._access.get(token) == login else None

    def live(self, refresh_token: str) -> bool:
        """Whether a refresh token would still be taken."""
        return refresh_token in self._refresh

    async def _answer(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.requests.append(form)
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        try:
            if self.fault is not None and (answer := await self.fault(form)):
                return answer
            return self._judge(form)
        finally:
            self._busy -= 1

    def _judge(self, form: Mapping[str, str]) -> web.Response:
        if self.clients.get(form.get("client_id", "")) != form.get("client_secret"):
            return refusal(401, "invalid_client", "The client secret is expired.")
        address = self._refresh.get(form.get("refresh_token", ""))
        if address is None:
            return refusal(400, "invalid_grant", "Token has been expired or revoked.")
        access = f"access-s3cret-{len(self.given)}-{token_urlsafe(500)}"
        self.given.append(access)
        self._access[access] = address
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": self.seconds}
        if self.rotate:
            del self._refresh[form["refresh_token"]]
            answer["refresh_token"] = self.consent(address)
        return web.json_response(answer)


def refusal(status: int, error: str, words: str = "", **headers: str) -> web.Response:
    """An error as RFC 6749 section 5.2 has it."""
    return web.json_response(
        {"error": error, "error_description": words},
        status=status,
        headers={key.replace("_", "-"): it for key, it in headers.items()},
    )


def always(status: int, error: str, words: str = "", **headers: str) -> Fault:
    """This error to everybody."""

    async def fault(_: Mapping[str, str]) -> web.Response | None:
        return refusal(status, error, words, **headers)

    return fault


def slow(seconds: float) -> Fault:
    """The usual answer, later."""

    async def fault(_: Mapping[str, str]) -> web.Response | None:
        await asyncio.sleep(seconds)
        return None

    return fault


def client_context(authority: Authority) -> Callable[[], ssl.SSLContext]:
    """What a client trusts."""
    context = authority.client_context()
    return lambda: context
