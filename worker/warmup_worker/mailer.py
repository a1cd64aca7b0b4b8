"""One mail over a session, in separate steps, so that the phase of a failure is always known.

```
deliver:  mail -> rcpt -> data -> body -> (dot)       a failure is known undelivered: failed
          after the dot: 250 sent, 4xx/5xx failed, anything else in doubt
```
Where the server offers it (PIPELINING, RFC 2920) MAIL, RCPT and DATA go out together, and QUIT behind the dot.
Invariants: the dot is written in one synchronous step with the check of the claim's age, when no byte before it waits in a buffer
of ours; a mail that the kernel takes at once goes with it. After an error or a cancellation the session is closed, never used
again. What a server said is told as the session tells it, without what we logged in with.
Fails: ``deliver`` returns a verdict instead of raising, except for a cancellation, after which the session's ``dotted`` tells
whether the dot was written.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from warmup_core.types import MailState
from warmup_worker.clock import boottime
from warmup_worker.content import Mail
from warmup_worker.session import ServerRefused, Session
from warmup_worker.smtp import OutOfStep, Reply, command

_GOODBYE = 221
"""The reply to QUIT: where it comes first, the server has forgotten the mail before it."""
_LEADING_DOT = re.compile(rb"(?m)^\.")
_AT_ONCE = 12 * 1024
"""Octets of a mail that a connection's buffer in the kernel takes at once, since nothing waits in it after the 354: Linux begins
with 16 KiB."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mail: its state, the phase that decided, the server's words or ours.

    ``handed_back``: nobody is at fault, the claim grew too old or the worker stops.
    """

    state: MailState
    phase: str
    reply: str
    handed_back: bool = False


def on_the_wire(message: bytes) -> bytes:
    """A mail as DATA carries it, leading dots doubled, without its last line end: that belongs to the dot."""
    if not message.endswith(b"\r\n"):
        raise ValueError("a mail ends with CRLF")
    if b"\n." in message or message[:1] == b".":
        message = _LEADING_DOT.sub(b"..", message)
    return message[:-2]


class Mailer:
    """Sends one mail over a session, and is done then."""

    def __init__(self, session: Session) -> None:
        self._session, self._connection, self._watch = session, session.connection, session.watch
        self._phase = "mail"

    async def deliver(self, mail: Mail, age: Callable[[], float]) -> Verdict:
        """Send the mail of a claim whose age ``age`` tells. Never raises, except CancelledError; the session is over then."""
        if mail.international and not self._session.international:
            reply = "handed back: an address is not ASCII, and the sender's server does not offer SMTPUTF8"
            return Verdict(MailState.FAILED, "rcpt", reply, handed_back=True)
        options = (b"SMTPUTF8", b"BODY=8BITMIME") if mail.international else ()
        try:
            async with asyncio.timeout_at(self._session.deadline):
                if (old := age()) > self._session.timing.claim_to_mail:
                    return self._too_old("mail", f"the claim was {old:.1f} s old before MAIL FROM")
                await self._envelope(
                    command(b"MAIL", f"FROM:<{mail.sender}>".encode(), *options),
                    command(b"RCPT", f"TO:<{mail.recipient}>".encode()),
                )
                self._phase = "body"
                body = on_the_wire(mail.message)
                if len(body) > _AT_ONCE:
                    self._connection.write(body)
                    await self._session.buffers_empty()
                    body = b""
            if (old := age()) >= self._session.timing.claim:  # from here to the dot there is no await
                return self._too_old("body", f"the claim was {old:.1f} s old before the dot")
            if (refusal := self._dot(body)) is not None:
                raise ServerRefused(self._session.said(refusal))
        except ServerRefused as refused:
            return self._failed(self._phase, str(refused), polite=True)
        except (OSError, OutOfStep, ValueError) as error:
            return self._failed(self._phase, self._session.why(error))
        except BaseException:
            self._session.close()
            raise
        del mail, body  # thousands wait for their verdict at once: what has gone out is not kept meanwhile
        return await self._verdict()

    async def _envelope(self, sender: bytes, recipient: bytes) -> None:
        """MAIL, RCPT and DATA up to its 354, together where the server takes that."""
        connection = self._connection
        self._watch.begin("mail")
        self._phase = "mail"
        steps = ((("mail", sender), 2), (("rcpt", recipient), 2), (("data", b"DATA\r\n"), 3))
        if self._session.pipelining and (
            refusal := connection.ask(sender + recipient + b"DATA\r\n", len(steps))
        ):
            raise ServerRefused(self._session.said(refusal))
        for (phase, line), expect in steps:
            if phase == "data":
                self._watch.begin("data")
            self._phase = phase
            refusal = None if self._session.pipelining else connection.ask(line)
            self._session.expected(refusal or await connection.reply(), expect)

    def _dot(self, body: bytes) -> Reply | None:
        """Write what is left of the mail and its dot, and QUIT behind it where the server takes that; nothing where a refusal
        came before: returns it."""
        last, replies = (b"\r\n.\r\nQUIT\r\n", 2) if self._session.pipelining else (b"\r\n.\r\n", 1)
        if (refusal := self._connection.ask(body + last, replies)) is not None:
            return refusal
        self._session.dotted = boottime()
        self._session.parting = self._session.pipelining
        self._watch.begin("dot")
        return None

    async def _verdict(self) -> Verdict:
        try:
            async with asyncio.timeout(self._session.timing.reply):
                reply = await self._connection.reply()
            self._watch.end()
        except (OSError, OutOfStep) as error:
            self._watch.end()
            self._session.close()
            return Verdict(MailState.IN_DOUBT, "dot", f"no reply to the dot: {self._session.why(error)}")
        except BaseException:
            self._session.close()
            raise
        if reply.kind == 2 and reply.code != _GOODBYE:
            return Verdict(MailState.SENT, "dot", self._session.said(reply))
        if reply.kind in {4, 5}:
            return Verdict(MailState.FAILED, "dot", self._session.said(reply))
        self._session.close()
        return Verdict(MailState.IN_DOUBT, "dot", f"not a reply to the dot: {self._session.said(reply)}")

    def _failed(self, phase: str, reply: str, polite: bool = False) -> Verdict:
        """Known undelivered. Only after a reply is the connection still in step and may be left with QUIT."""
        self._watch.end()
        if not polite:
            self._session.close()
        return Verdict(MailState.FAILED, phase, reply)

    def _too_old(self, phase: str, why: str) -> Verdict:
        self._session.close()
        return Verdict(MailState.FAILED, phase, f"handed back: {why}", handed_back=True)
