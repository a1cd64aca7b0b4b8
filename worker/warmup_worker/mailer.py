"""One mail over one SMTP connection, in separate steps, so that the phase of a failure is always known.

```
open:     connect -> tls -> auth                      no claim yet: a failure costs nothing
deliver:  mail -> rcpt -> data -> body -> (dot)       a failure is known undelivered: failed
          after the dot: 250 sent, 4xx/5xx failed, anything else in doubt
```
aiosmtplib's protocol object carries commands, replies and STARTTLS; the order of things is ours, because its client hides
whether the dot was written. Invariants: AUTH is sent only inside TLS whose certificate was verified, and once. The dot is
written in one synchronous step with the check of the claim's age, when no byte of the mail waits in a buffer of ours. After
an error or a cancellation the connection is closed, never used again. QUIT is a courtesy that nothing depends on.
Fails: ``NotConnected`` from ``open``; ``deliver`` returns a verdict instead of raising, except for a cancellation, after
which ``dotted`` tells whether the dot was written.
"""

import asyncio
import base64
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, cast

from aiosmtplib.auth import auth_login_encode, auth_plain_encode
from aiosmtplib.errors import SMTPException, SMTPResponseException, SMTPTimeoutError
from aiosmtplib.esmtp import parse_esmtp_extensions
from aiosmtplib.protocol import SMTPProtocol
from aiosmtplib.response import SMTPResponse

from warmup_core.types import MailState
from warmup_worker import network
from warmup_worker.clock import boottime
from warmup_worker.content import Mail
from warmup_worker.network import Forbidden, Network
from warmup_worker.timing import Timing

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_LEADING_DOT = re.compile(rb"(?m)^\.")
_REPLY_CHARACTERS = 500


@dataclass(frozen=True)
class Server:
    """A submission server as a mailbox names it. ``security``: ``starttls`` or ``tls``."""

    host: str
    port: int
    security: str


@dataclass(frozen=True)
class Login:
    """A login. ``repr`` hides the password."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.username!r})"


class NotConnected(Exception):
    """No session: ``phase`` is connect, tls or auth; ``reason`` is fit for status and holds no secret."""

    def __init__(self, phase: str, reason: str) -> None:
        self.phase, self.reason = phase, reason
        super().__init__(f"{phase}: {reason}")


@dataclass(frozen=True)
class Verdict:
    """What became of a mail: its state, the phase that decided, the server's words or ours.

    ``handed_back``: nobody is at fault, the claim grew too old or the worker stops.
    """

    state: MailState
    phase: str
    reply: str
    handed_back: bool = False


class _Refused(Exception):
    """A reply that ends the dialogue."""


def readable(text: str) -> str:
    """A server's words made safe for a database, a log and a terminal."""
    return _UNPRINTABLE.sub(" ", text).strip()[:_REPLY_CHARACTERS]


def said(response: SMTPResponse) -> str:
    """A reply in one line."""
    return readable(f"{response.code} {response.message}")


def on_the_wire(message: bytes) -> bytes:
    """A mail as DATA carries it, leading dots doubled, without its last line end: that belongs to the dot."""
    if not message.endswith(b"\r\n"):
        raise ValueError("a mail ends with CRLF")
    return _LEADING_DOT.sub(b"..", message)[:-2]


def describe(error: BaseException) -> str:
    """An error of the network or of TLS in words for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"the certificate was not accepted: {error.verify_message}"
        if "issuer" in error.verify_message or "self-signed" in error.verify_message:
            text += "; an authority of your own is named by spec.smtp.caConfigMapRef or WARMUP_SMTP_CA_FILE"
        return readable(text)
    if isinstance(error, SMTPResponseException):
        return readable(f"{error.code} {error.message}")
    if isinstance(error, (TimeoutError, SMTPTimeoutError)):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return readable(f"TLS failed: {error.reason or error}")
    if isinstance(error, OSError) and error.strerror:
        return readable(error.strerror.lower())
    return readable(str(error)) or type(error).__name__


class Session:
    """A connection that has logged in and is ready for MAIL FROM. Made by ``open``."""

    def __init__(
        self, protocol: SMTPProtocol, raw: asyncio.Transport, timing: Timing, deadline: float
    ) -> None:
        self._protocol, self._raw, self._timing, self._deadline = protocol, raw, timing, deadline
        self._phase = "connect"
        self.international = False
        """Whether the server takes addresses that are not ASCII (SMTPUTF8)."""
        self.dotted: float | None = None
        """``boottime`` of the dot; None until it is written."""

    @classmethod
    async def open(
        cls,
        server: Server,
        login: Login,
        *,
        context: ssl.SSLContext,
        allowed: Sequence[Network],
        local_hostname: str,
        timing: Timing,
    ) -> Self:
        """Connect, secure and log in, within the dialogue's deadline. Raises NotConnected."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timing.dialogue
        phase, session = "connect", None
        try:
            async with asyncio.timeout_at(deadline):
                sock = await network.connect(server.host, server.port, allowed)
                try:
                    # What arrives before the protocol is attached is dropped: in implicit TLS nothing may, and a
                    # greeting slipped in there in clear text would shift every later reply by one.
                    implicit = server.security == "tls"
                    protocol = SMTPProtocol(loop)
                    raw, _ = await loop.create_connection(
                        asyncio.Protocol if implicit else lambda: protocol, sock=sock
                    )
                except BaseException:
                    sock.close()
                    raise
                session = cls(protocol, raw, timing, deadline)
                if implicit:
                    session._phase = phase = "tls"
                    protocol.connection_made(raw)
                    protocol.transport = await loop.start_tls(
                        raw, protocol, context, server_hostname=server.host
                    )
                await session._greet()
                if not implicit:
                    session._phase = phase = "tls"
                    await session._start_tls(server.host, context, local_hostname)
                session._phase = phase = "auth"
                await session._log_in(login, local_hostname)
                return session
        except (OSError, SMTPException, Forbidden, _Refused, ValueError) as error:
            if session is not None:
                session.close()
            reason = str(error) if isinstance(error, (Forbidden, _Refused)) else describe(error)
            raise NotConnected(phase, _without(login, reason)) from None
        except BaseException:
            if session is not None:
                session.close()
            raise

    async def _greet(self) -> None:
        greeting = await self._protocol.read_response()
        if greeting.code != 220:
            raise _Refused(said(greeting))

    async def _command(self, *words: bytes, expect: int = 2) -> SMTPResponse:
        """Send a command; a reply of another class than ``expect`` ends the dialogue. The deadline is the caller's."""
        response = await self._protocol.execute_command(*words)
        if response.code // 100 != expect:
            raise _Refused(said(response))
        return response

    async def _hello(self, local_hostname: str) -> tuple[dict[str, str], list[str]]:
        response = await self._command(b"EHLO", local_hostname.encode())
        return parse_esmtp_extensions(response.message)

    async def _start_tls(self, host: str, context: ssl.SSLContext, local_hostname: str) -> None:
        extensions, _ = await self._hello(local_hostname)
        if "starttls" not in extensions:
            raise _Refused(f"{host} does not offer STARTTLS; nothing is sent in clear text")
        await self._protocol.start_tls(context, server_hostname=host)

    async def _log_in(self, login: Login, local_hostname: str) -> None:
        """AUTH by PLAIN, else LOGIN; one attempt, because a second would count as another wrong password."""
        extensions, offered = await self._hello(local_hostname)
        self.international = "smtputf8" in extensions
        transport = self._protocol.transport
        if transport is None or transport.get_extra_info("ssl_object") is None:
            raise _Refused("the connection is not secured; the login is not sent")
        if "plain" in offered:
            encoded = auth_plain_encode(login.username, login.password)
            await self._command(b"AUTH", b"PLAIN", encoded)
        elif "login" in offered:
            username, password = auth_login_encode(login.username, login.password)
            await self._command(b"AUTH", b"LOGIN", username, expect=3)
            await self._command(password)
        else:
            raise _Refused(
                f"the server offers no login that is known here (PLAIN, LOGIN), only {offered or 'none'}"
            )

    async def deliver(self, mail: Mail, age: Callable[[], float]) -> Verdict:
        """Send the mail of a claim whose age ``age`` tells. Never raises, except CancelledError; the session is over then."""
        if mail.international and not self.international:
            reply = "handed back: an address is not ASCII, and the sender's server does not offer SMTPUTF8"
            return Verdict(MailState.FAILED, "rcpt", reply, handed_back=True)
        options = (b"SMTPUTF8", b"BODY=8BITMIME") if mail.international else ()
        try:
            async with asyncio.timeout_at(self._deadline):
                if (old := age()) > self._timing.claim_to_mail:
                    return self._too_old("mail", f"the claim was {old:.1f} s old before MAIL FROM")
                self._phase = "mail"
                await self._command(b"MAIL", f"FROM:<{mail.sender}>".encode(), *options)
                self._phase = "rcpt"
                await self._command(b"RCPT", f"TO:<{mail.recipient}>".encode())
                self._phase = "data"
                await self._command(b"DATA", expect=3)
                self._phase = "body"
                self._protocol.write(on_the_wire(mail.message))
                await self._buffers_empty()
            if (old := age()) >= self._timing.claim:  # from here to the dot there is no await
                return self._too_old("body", f"the claim was {old:.1f} s old before the dot")
            self._protocol.write(b"\r\n.\r\n")
            self.dotted = boottime()
            self._phase = "dot"
        except _Refused as refused:
            return self._failed(self._phase, str(refused), polite=True)
        except (OSError, SMTPException, ValueError) as error:
            return self._failed(self._phase, describe(error))
        except BaseException:
            self.close()
            raise
        return await self._verdict()

    async def _buffers_empty(self) -> None:
        """Wait until every byte written is with the kernel: the secured transport may be empty while the one below is not."""
        secured = cast(asyncio.WriteTransport | None, self._protocol.transport)
        while secured is not None and (secured.get_write_buffer_size() or self._raw.get_write_buffer_size()):
            if self._raw.is_closing():
                raise ConnectionResetError("the connection was lost")
            await asyncio.sleep(0.005)

    async def _verdict(self) -> Verdict:
        try:
            response = await self._protocol.read_response(timeout=self._timing.reply)
        except (OSError, SMTPException) as error:
            self.close()
            return Verdict(MailState.IN_DOUBT, "dot", f"no reply to the dot: {describe(error)}")
        except BaseException:
            self.close()
            raise
        if response.code // 100 == 2:
            return Verdict(MailState.SENT, "dot", said(response))
        if response.code // 100 in {4, 5}:
            return Verdict(MailState.FAILED, "dot", said(response))
        self.close()
        return Verdict(MailState.IN_DOUBT, "dot", f"not a reply to the dot: {said(response)}")

    def _failed(self, phase: str, reply: str, polite: bool = False) -> Verdict:
        """Known undelivered. Only after a reply is the connection still in step and may be left with QUIT."""
        if not polite:
            self.close()
        return Verdict(MailState.FAILED, phase, reply)

    def _too_old(self, phase: str, why: str) -> Verdict:
        self.close()
        return Verdict(MailState.FAILED, phase, f"handed back: {why}", handed_back=True)

    async def quit(self) -> None:
        """Say goodbye if the connection still stands, within two seconds. Nothing depends on it."""
        try:
            if self._protocol.is_connected and not self._raw.is_closing():
                await self._protocol.execute_command(b"QUIT", timeout=self._timing.goodbye)
        except (OSError, SMTPException):
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close at once, without a word: what waits in a buffer is thrown away."""
        self._raw.abort()


def _without(login: Login, reason: str) -> str:
    """The reason without the password, should a server have repeated it, as it is or as AUTH carried it."""
    plain = auth_plain_encode(login.username, login.password).decode()  # before what may be its end
    for secret in (plain, login.password, base64.b64encode(login.password.encode()).decode()):
        if len(secret) >= 4:
            reason = reason.replace(secret, "***")
    return reason
