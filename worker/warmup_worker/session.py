"""A session with a submission server: connect, secure, log in, and the goodbye. What it is for, a mail, is ``mailer``'s.

```
open:  connect -> tls -> auth      no claim yet: a failure costs nothing
```
Invariants: AUTH is sent only inside TLS whose certificate was verified, and once. After an error or a cancellation the connection
is closed, never used again. QUIT is a courtesy that nothing depends on. A server's words are told (``NotConnected``, ``said``,
``why``) without what we logged in with, should it repeat that.
Fails: ``NotConnected`` from ``open``.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from warmup_worker import certificates, network, sasl
from warmup_worker.network import Forbidden, Network, Resolve
from warmup_worker.redaction import Redactor, readable
from warmup_worker.sasl import Bearer, Exchange, Login
from warmup_worker.smtp import Connection, Lost, OutOfStep, Reply, extensions
from warmup_worker.stopwatch import Stopwatch, Timed, untimed
from warmup_worker.timing import Timing
from warmup_worker.trust import Trust

Tell = Callable[[str, str], None]
"""Hears of a phase that went well: its name, and what was seen."""


@dataclass(frozen=True)
class Server:
    """A submission server as a mailbox names it. ``security``: ``starttls`` or ``tls``."""

    host: str
    port: int
    security: str


class NotConnected(Exception):
    """No session: ``phase`` is connect, tls or auth; ``reason`` is fit for status and holds no secret.

    ``certificate``: whether the server's certificate was what failed.
    """

    def __init__(self, phase: str, reason: str, *, certificate: bool = False) -> None:
        self.phase, self.reason, self.certificate = phase, reason, certificate
        super().__init__(f"{phase}: {reason}")


class ServerRefused(Exception):
    """A reply that ends the dialogue."""


def describe(error: BaseException) -> str:
    """An error of the network or of TLS in words for a person, of any length."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"the certificate was not accepted: {error.verify_message}"
        if "issuer" in error.verify_message or "self-signed" in error.verify_message:
            text += "; an authority of your own is named by spec.smtp.caConfigMapRef or WARMUP_SMTP_CA_FILE"
        return text
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


class Session:
    """A connection that has logged in and is ready for MAIL FROM. Made by ``open``."""

    def __init__(
        self,
        connection: Connection,
        raw: asyncio.Transport,
        timing: Timing,
        deadline: float,
        redact: Redactor,
        tell: Tell | None,
        watch: Stopwatch,
    ) -> None:
        self.connection, self._raw, self.timing, self.deadline = connection, raw, timing, deadline
        self._redact, self._tell, self.watch = redact, tell, watch
        self.international = False
        """Whether the server takes addresses that are not ASCII (SMTPUTF8)."""
        self.pipelining = False
        """Whether commands may go out together."""
        self.dotted: float | None = None
        """``boottime`` of the dot; None until it is written."""
        self.parting = False
        """Whether QUIT has gone out behind it."""

    @classmethod
    async def open(
        cls,
        server: Server,
        login: Login | Bearer,
        *,
        context: ssl.SSLContext,
        allowed: Sequence[Network],
        local_hostname: str,
        timing: Timing,
        resolved: Resolve = network.resolve,
        tell: Tell | None = None,
        timed: Timed = untimed,
    ) -> Self:
        """Connect, secure and log in, within the dialogue's deadline. Raises NotConnected.

        ``tell`` hears what the server says in each phase, ``timed`` the seconds of each (``warmup_worker.metrics.TIMED``).
        """
        loop = asyncio.get_running_loop()
        watch = Stopwatch("connect", timed, loop.time)
        deadline = watch.since + timing.dialogue
        redact = login.redactor
        session, implicit = None, server.security == "tls"

        async def dial(address: str, port: int) -> tuple[asyncio.Transport, Connection]:
            return await loop.create_connection(lambda: Connection(loop, greeted=not implicit), address, port)

        try:
            async with asyncio.timeout_at(deadline):
                raw, connection = await network.connect(server.host, server.port, allowed, dial, resolved)
                session = cls(connection, raw, timing, deadline, redact, tell, watch)
                if implicit:
                    watch.begin("tls")
                    await connection.secure(context, server.host, greeted=True)
                await session._greet()
                if not implicit:
                    watch.begin("tls")
                    await session._start_tls(server.host, context, local_hostname)
                await session._log_in(login, local_hostname)
                session._remember(server.host, context)
                watch.begin("claim")
                return session
        except (OSError, OutOfStep, Forbidden, ServerRefused, ValueError) as error:
            if session is not None:
                session.close()
            phase = watch.end()
            if phase == "tls" and isinstance(error, OSError) and isinstance(context, Trust):
                context.forget(server.host)
            reason = str(error) if isinstance(error, (Forbidden, ServerRefused)) else describe(error)
            untrusted = isinstance(error, ssl.SSLCertVerificationError)
            raise NotConnected(phase, readable(redact(reason)), certificate=untrusted) from None
        except BaseException:
            if session is not None:
                session.close()
            raise

    def _remember(self, host: str, context: ssl.SSLContext) -> None:
        """Let the next connection to this host resume what this one verified."""
        if isinstance(context, Trust) and (secured := self.connection.secured) is not None:
            context.remember(host, secured, self.connection.group)

    def said(self, reply: Reply) -> str:
        """A reply in one line, without what we logged in with."""
        return readable(self._redact(f"{reply.code} {reply.text}"))

    def why(self, error: BaseException) -> str:
        """An error in one line, without what we logged in with."""
        return readable(self._redact(describe(error)))

    async def _greet(self) -> None:
        greeting = await self.connection.reply()
        if self._tell is not None:
            self._tell("connect", f"{self._peer()} answers {self.said(greeting)}")
        if greeting.code != 220:
            raise ServerRefused(self.said(greeting))

    def _peer(self) -> str:
        address = self._raw.get_extra_info("peername") or ("?", 0)
        return f"{address[0]}:{address[1]}"

    async def _command(self, *words: bytes, expect: int = 2) -> Reply:
        """Send a command; a reply of another kind than ``expect`` ends the dialogue. The deadline is the caller's."""
        return self.expected(await self.connection.command(*words), expect)

    def expected(self, reply: Reply, expect: int = 2) -> Reply:
        """The reply, if it is of this kind; another ends the dialogue."""
        if reply.kind != expect:
            raise ServerRefused(self.said(reply))
        return reply

    async def _hello(self, local_hostname: str) -> Mapping[str, frozenset[str]]:
        return extensions(await self._command(b"EHLO", local_hostname.encode()))

    async def _start_tls(self, host: str, context: ssl.SSLContext, local_hostname: str) -> None:
        if "starttls" not in await self._hello(local_hostname):
            raise ServerRefused(f"{host} does not offer STARTTLS; nothing is sent in clear text")
        await self._command(b"STARTTLS")
        await self.connection.secure(context, host)

    async def _log_in(self, login: Login | Bearer, local_hostname: str) -> None:
        """AUTH, one attempt, because a second would count as another wrong password.

        Until EHLO is answered the phase is the one before: a refused EHLO says nothing of the login.
        """
        found = await self._hello(local_hostname)
        self.watch.begin("auth")
        self.international, self.pipelining = "smtputf8" in found, "pipelining" in found
        offered = found.get("auth", frozenset())
        secured = self.connection.secured
        if secured is None or secured.context.verify_mode is not ssl.CERT_REQUIRED:
            raise ServerRefused("the connection is not secured; the login is not sent")
        if self._tell is not None:
            self._tell("tls", certificates.secured_by(secured))
        exchange = sasl.exchange(login, offered)
        if exchange is None:
            there = ", ".join(sorted(offered)) or "none"
            raise ServerRefused(
                f"the server offers no login that is known here ({sasl.wanted(login)}), only {there}"
            )
        reply = await self._authenticate(exchange)
        if self._tell is not None:
            self._tell("auth", f"{exchange.mechanism}: {self.said(reply)}")

    async def _authenticate(self, exchange: Exchange) -> Reply:
        """The dialogue of AUTH (RFC 4954 section 4). A challenge with no answer left is an error: an empty line is due."""
        answers, told = list(exchange.answers), ""
        if exchange.initial is None:
            reply = await self._command(b"AUTH", exchange.mechanism.encode(), expect=3)
        else:
            reply = await self.connection.command(b"AUTH", exchange.mechanism.encode(), answers.pop(0))
        while reply.code == 334 and answers:
            reply = await self.connection.command(answers.pop(0))
        if reply.code == 334:
            told = f" (after the error {sasl.error_in(reply.text)})"
            reply = await self.connection.command(b"")
        if reply.kind != 2:
            raise ServerRefused(f"{reply.code} {reply.text}{told}")
        return reply

    async def buffers_empty(self) -> None:
        """Wait until every byte written is with the kernel."""
        pause = 0.0  # the loop writes at the end of its round
        while self._raw.get_write_buffer_size():
            if self._raw.is_closing():
                raise Lost("the connection was lost")
            await asyncio.sleep(pause)
            pause = 0.005

    async def quit(self) -> None:
        """Say goodbye if the connection still stands, within two seconds. Nothing depends on it."""
        try:
            if not self.parting and not self._raw.is_closing():
                async with asyncio.timeout(self.timing.goodbye):
                    if await self.connection.caught_up():
                        await self.connection.command(b"QUIT")
        except (OSError, OutOfStep):
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close at once, without a word: what waits in a buffer is thrown away."""
        self._raw.abort()
