"""The submission server: STARTTLS required before AUTH, AUTH required before MAIL, MAIL FROM must be the login's own address.

Owns the sockets and the order of things; what happened stands in ``journal``. Port 0 takes a free one. It listens on loopback
unless told otherwise. A fault (``faults``) is asked at each step and may change while the server runs.
``async with Submission(...)`` runs on the caller's event loop, ``with Submission(...).in_thread()`` on one of its own.
"""

import asyncio
import base64
import contextlib
import email.parser
import email.policy
import json
import logging
import ssl
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, AnyStr, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.submission.accounts import Accounts
from tests.submission.authority import Authority, Identity
from tests.submission.faults import Exchange, Fault, Step
from tests.submission.journal import Journal

logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd tells every line; the journal is enough

_MAX_BYTES = 10 * 1024 * 1024
_MAX_AUTH_LINE = 12_288 + 2
"""Octets of a line inside AUTH (RFC 4954 section 4)."""


class Submission:
    """A server. ``port`` speaks STARTTLS, ``tls_port`` (if asked for) TLS from the first byte.

    ``starttls=False`` plays the attacker who strips STARTTLS: AUTH is offered in clear text, and the journal tells who falls
    for it. ``identity`` replaces the certificate: expired, of a wrong name, or of an authority nobody trusts. ``tokens`` knows
    who may log in with which OAuth access token; where it is given, XOAUTH2 is offered as well. ``without``: mechanisms that are
    not offered.
    """

    def __init__(
        self,
        accounts: Accounts,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls_port: int | None = None,
        names: tuple[str, ...] = ("localhost", "127.0.0.1"),
        authority: Authority | None = None,
        identity: Identity | None = None,
        starttls: bool = True,
        smtputf8: bool = False,
        tickets: bool = True,
        tokens: Accounts | None = None,
        without: tuple[str, ...] = (),
        log: Path | None = None,
    ) -> None:
        self.accounts = accounts
        self.host = host
        self.port = port
        self.tls_port = tls_port
        self.name = names[0]
        self.authority = authority or Authority()
        self.identity = identity or self.authority.issue(*names)
        self.starttls = starttls
        self.smtputf8 = smtputf8
        self.tickets = tickets
        self.tokens = tokens
        self.without = without if tokens else (*without, "XOAUTH2")
        self.journal = Journal(log)
        self.contents: dict[str, bytes] = {}
        """Each accepted mail by its Message-ID, as it came, dots unstuffed."""
        self.faults: dict[Step, Fault] = {}
        self._connections = 0
        self._live: set[_Connection] = set()
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> Self:
        context = self.tls = self.identity.context()
        """What the next connection's TLS is like; tests may change it."""
        if not self.tickets:  # TLS sessions that nobody can resume
            context.num_tickets = 0
        loop = asyncio.get_running_loop()
        plain = await loop.create_server(
            lambda: _Connection(self, context if self.starttls else None),
            self.host,
            self.port,
        )
        self._servers.append(plain)
        self.port = plain.sockets[0].getsockname()[1]
        if self.tls_port is not None:
            secure = await loop.create_server(
                lambda: _Connection(self, None), self.host, self.tls_port, ssl=context
            )
            self._servers.append(secure)
            self.tls_port = secure.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        while self._live:
            await asyncio.gather(*(connection.cut() for connection in list(self._live)))
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        self.journal.close()

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Run on an event loop in a thread of its own."""
        started, failed = threading.Event(), list[BaseException]()
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()

        async def serve() -> None:
            try:
                async with self:
                    started.set()
                    await stop.wait()
            except OSError as error:
                failed.append(error)
                started.set()

        thread = threading.Thread(target=lambda: _run(loop, serve()), name="submission", daemon=True)
        thread.start()
        started.wait()
        if failed:
            thread.join()
            raise failed[0]
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()

    def _opened(self, connection: "_Connection") -> int:
        self._connections += 1
        self._live.add(connection)
        return self._connections


def _run(loop: asyncio.AbstractEventLoop, main: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main)


class _Connection(SMTP):
    """One client. aiosmtpd speaks the protocol; this adds the rules, the journal and the faults."""

    def __init__(self, owner: Submission, context: ssl.SSLContext | None) -> None:
        self.owner = owner
        self._number = 0
        self.login: str | None = None
        self.credential: str | None = None
        super().__init__(
            _Rules(),
            data_size_limit=_MAX_BYTES,
            hostname=owner.name,
            enable_SMTPUTF8=owner.smtputf8,
            ident="Warmup Fleet test submission",
            tls_context=context,
            auth_require_tls=context is not None,
            auth_exclude_mechanism=list(owner.without),
            authenticator=self._check,
            loop=asyncio.get_running_loop(),
        )

    @property
    def _tls(self) -> str | None:
        secured = self.transport.get_extra_info("ssl_object") if self.transport else None
        return secured.version() if secured else None

    def note(self, kind: str, **said: object) -> None:
        """Write an event of this connection down."""
        self.owner.journal.write(kind, self._number, tls=self._tls, **said)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new client, or the same one after STARTTLS."""
        first = self._original_transport is None
        if first:
            self._number = self.owner._opened(self)
        super().connection_made(transport)
        self.note("connect" if first else "tls")

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone; whatever waited for it is cancelled."""
        super().connection_lost(error)
        self.owner._live.discard(self)

    async def cut(self) -> None:
        """Close without a word and wait until nobody serves it. (A lost TLS handshake calls no connection_lost.)"""
        self._abort()
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
            await asyncio.gather(self._handler_coroutine, return_exceptions=True)
        self.owner._live.discard(self)

    def _abort(self) -> None:
        transport = self._original_transport or self.transport
        if isinstance(transport, asyncio.Transport):
            transport.abort()

    async def _drop(self) -> None:
        self.note("dropped")
        self._abort()
        await asyncio.Event().wait()  # connection_lost cancels us

    async def ask(self, step: Step, *, mail_from: str | None = None, rcpt: str | None = None) -> str | None:
        """Let the fault of this step, if there is one, do its worst. Returns its reply."""
        fault = self.owner.faults.get(step)
        if fault is None:
            return None
        envelope = self.envelope or Envelope()
        exchange = Exchange(
            connection=self._number,
            login=self.login,
            mail_from=mail_from or envelope.mail_from,
            rcpt_to=(*envelope.rcpt_tos, *([rcpt] if rcpt else [])),
            message_id=_message_id(envelope),
            drop=self._drop,
            credential=self.credential,
        )
        reply = await fault(exchange)
        if reply:
            self.note("refused", reply=reply, login=exchange.login, mail_from=exchange.mail_from)
        return reply

    async def _handle_client(self) -> None:
        if reply := await self.ask(Step.CONNECT):
            await self.push(reply)
            await self._drop()
        await super()._handle_client()

    async def push(self, status: AnyStr) -> None:
        """Send a reply; after 354 the mail's body is about to come."""
        await super().push(status)
        if isinstance(status, str) and status.startswith("354"):
            await self.ask(Step.BODY)

    async def smtp_AUTH(self, arg: str) -> None:
        """AUTH, noted also where it comes in clear text and is refused for that."""
        if self._tls is None and self._auth_require_tls:
            self.note("auth", ok=False)
        if reply := await self.ask(Step.AUTH):
            await self.push(reply)
            return
        await super().smtp_AUTH(arg)

    async def smtp_DATA(self, arg: str) -> None:
        """DATA, unless a fault refuses it."""
        if self.envelope and self.envelope.rcpt_tos and (reply := await self.ask(Step.DATA)):
            await self.push(reply)
            return
        await super().smtp_DATA(arg)

    async def auth_PLAIN(self, _: SMTP, args: list[str]) -> AuthResult:
        """PLAIN, unless a fault knows better."""
        return await self._judged(await super().auth_PLAIN(_, args))

    async def auth_LOGIN(self, _: SMTP, args: list[str]) -> AuthResult:
        """LOGIN, unless a fault knows better."""
        return await self._judged(await super().auth_LOGIN(_, args))

    async def auth_XOAUTH2(self, _: SMTP, args: list[str]) -> AuthResult:
        """XOAUTH2 as Google and Microsoft have it: a wrong token is told in a 334 line, which wants an empty line."""
        self._reader._limit = _MAX_AUTH_LINE  # type: ignore[attr-defined]  # aiosmtpd's limit is that of a command
        given: Any = base64.b64decode(args[1]) if len(args) > 1 else await self.challenge_auth("")
        fields = dict(str(part).split("=", 1) for part in given.decode().split("\1") if part)
        login, token = fields["user"], fields["auth"].removeprefix("Bearer ")
        result = self._verdict(self.owner.tokens, login, token)
        if not result.success:
            error = {"status": "401", "schemes": "bearer", "scope": "https://mail.example/"}
            answer = await self.challenge_auth(json.dumps(error))
            assert answer == b"", "an empty line was due"
        return await self._judged(result)

    async def _judged(self, result: AuthResult) -> AuthResult:
        reply = await self.ask(Step.LOGIN)
        if reply is None or result.handled:
            return result
        return AuthResult(success=reply.startswith("2"), handled=False, message=reply)

    def _check(
        self, _: SMTP, session: Session, envelope: Envelope, mechanism: str, given: LoginPassword
    ) -> AuthResult:
        login, password = given.login.decode(errors="replace"), given.password.decode(errors="replace")
        return self._verdict(self.owner.accounts, login, password)

    def _verdict(self, accounts: Accounts | None, login: str, credential: str) -> AuthResult:
        address = accounts(login, credential) if accounts else None
        self.credential = credential
        self.note("auth", ok=address is not None, login=login)
        if address is None:
            message = "535 5.7.8 Authentication credentials invalid"
            return AuthResult(success=False, handled=False, message=message)
        self.login = address
        return AuthResult(success=True, handled=False)


class _Rules:
    """What is taken and what is refused, command by command (aiosmtpd's hooks)."""

    async def handle_MAIL(
        self, connection: _Connection, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take the sender if it is who logged in."""
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        connection.note("mail-from", login=connection.login, mail_from=address)
        if address != connection.login:
            return f"553 5.7.1 <{address}> does not belong to {connection.login}"
        if reply := await connection.ask(Step.MAIL, mail_from=address):
            return reply
        envelope.mail_from = address
        return "250 2.1.0 Ok"

    async def handle_RCPT(
        self, connection: _Connection, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take any recipient."""
        if reply := await connection.ask(Step.RCPT, rcpt=address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, connection: _Connection, session: Session, envelope: Envelope) -> str:
        """The dot has come. The acceptance is written down before anybody hears of it."""
        if reply := await connection.ask(Step.DOT):
            return reply
        connection.note(
            "accepted",
            login=connection.login,
            mail_from=envelope.mail_from,
            rcpt_to=tuple(envelope.rcpt_tos),
            message_id=_message_id(envelope),
            bytes=len(envelope.content or b""),
        )
        if isinstance(envelope.content, bytes):
            connection.owner.contents[_message_id(envelope) or ""] = envelope.content
        reply = await connection.ask(Step.REPLY)
        return reply or f"250 2.0.0 Ok: queued as {len(connection.owner.journal.events):08x}"

    async def handle_QUIT(self, connection: _Connection, session: Session, envelope: Envelope) -> str:
        """Say goodbye, unless a fault keeps silent."""
        return await connection.ask(Step.QUIT) or "221 2.0.0 Bye"


def _message_id(envelope: Envelope) -> str | None:
    if not isinstance(envelope.content, bytes):
        return None
    headers = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(envelope.content)
    found = headers.get("Message-ID")
    return str(found).strip() if found else None
