"""The HTTP client of OAuth token endpoints: one POST a refresh (RFC 6749 section 6).

Invariants: HTTPS with verified certificates only (the fleet's own authorities count), no redirect is followed, no answer is read
beyond ``_LONGEST``; what leaves this module holds no secret but the tokens that were granted.
Fails: not at all; whatever happens is an answer (``warmup_core.oauth``).
"""

import os
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import aiohttp

from warmup_core import __version__, oauth
from warmup_core.oauth import Application, Granted, Kind, Trouble
from warmup_worker.redaction import Redactor, readable
from warmup_worker.session import describe

_CONNECTIONS = 20
_LONGEST = 65_536


class Endpoint:
    """Asks token endpoints. ``seconds``: for one answer in all. Used on one event loop, and closed at its end."""

    def __init__(self, authorities: Callable[[], ssl.SSLContext], seconds: float) -> None:
        self._authorities, self._seconds = authorities, seconds
        self._session: aiohttp.ClientSession | None = None

    async def refresh(self, application: Application, refresh_token: str) -> Granted | Trouble:
        """The answer to a refresh token. Words of a trouble are one line without secrets."""
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": application.client_id,
            "client_secret": application.client_secret,
            "scope": application.scope,
        }
        answer = await self._ask(application.token_endpoint, {key: it for key, it in form.items() if it})
        if isinstance(answer, Granted):
            return answer
        redact = Redactor([refresh_token, application.client_secret])
        return replace(answer, words=readable(redact(answer.words)))

    async def _ask(self, url: str, form: dict[str, str]) -> Granted | Trouble:
        try:
            async with self._client().post(
                url, data=form, ssl=self._authorities(), allow_redirects=False
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_chunked(8192):
                    body += chunk
                    if len(body) > _LONGEST:
                        return Trouble(Kind.UNCLEAR, f"the answer is longer than {_LONGEST} bytes")
                text = body.decode("utf-8", "replace")
                return oauth.judge(
                    response.status, text, response.headers.get("Retry-After"), datetime.now(UTC)
                )
        except aiohttp.ClientConnectorCertificateError as error:
            return Trouble(Kind.APPLICATION_REFUSED, f"{error.host}: {describe(error.certificate_error)}")
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno or 0  # the resolver's are negative
            why = os.strerror(number).lower() if number > 0 else describe(error.os_error)
            return Trouble(Kind.UNAVAILABLE, f"{error.host}:{error.port}: {why}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Trouble(Kind.UNAVAILABLE, describe(error))

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._seconds),
                headers={"Accept": "application/json", "User-Agent": f"warmup-fleet/{__version__}"},
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
