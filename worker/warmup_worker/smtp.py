"""SMTP on one connection: commands out, replies in, TLS put between them. Knows the grammar of RFC 5321, nothing of mails.

Of our own, because a sender makes a connection a mail and a library's client spends a lock, a timer and a round trip on every
command; commands that need not wait for each other go out together here where the server offers it (PIPELINING, RFC 2920), and
so do the end of a handshake and the first command after it.
Invariants: replies are paired with what was asked, in order. What a server says when nothing was asked, or in clear text where
TLS is due, never counts as a reply to what is asked later: the connection ends there, and a 4xx or 5xx is told as the reason.
Fails: ``Lost`` when the connection ends, ``ssl.SSLError`` from TLS, ``OutOfStep`` for what is no SMTP; each holds until the
end of the connection. The caller keeps the time and closes.
"""

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Mapping
from copy import copy
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, cast

from warmup_worker.tls import Tls

_LONGEST_REPLY, _LONGEST_LINE = 64 * 1024, 8 * 1024
"""Octets. RFC 5321 4.5.3.1.5 says 512 a line and asks to take more."""
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class Lost(OSError):
    """The connection has ended. ``errno`` says why, where the system did."""


class OutOfStep(Exception):
    """What came is no reply, or was not asked for. The message may quote it whole: redact it before it is cut."""


class Reply(NamedTuple):
    """A reply: its code, and its text with lines parted by a line feed."""

    code: int
    text: str

    @property
    def kind(self) -> int:
        """The first digit."""
        return self.code // 100


class Connection(asyncio.Protocol):
    """One connection. ``greeted``: the server speaks first; without, nothing is expected before ``secure`` has been called."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, greeted: bool = True) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._tls: Tls | None = None
        self._buffer = b""
        self._replies: deque[Reply] = deque()
        self._due = int(greeted)
        """Replies that were asked for and have not come."""
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Lost | ssl.SSLError | OutOfStep | None = None
        self._unasked: Reply | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Some octets came: perhaps a reply, perhaps several, perhaps a part of one, perhaps a part of a handshake."""
        if self._failure is not None:
            return
        try:
            if self._tls is not None:
                data = self._unwrapped(self._tls, data)
            buffer = self._buffer + data if self._buffer else data
            while buffer and (taken := _parse(buffer)) is not None:
                reply, end = taken
                buffer = buffer[end:]
                if self._due:
                    self._due -= 1
                    self._replies.append(reply)
                else:
                    self._unasked = self._unasked or reply
        except OutOfStep as error:
            self._fail(error)
            return
        except ssl.SSLError as error:
            self._flush()  # the server is told why
            self._fail(error)
            return
        self._buffer = buffer
        if self._tls is not None and self._tls.ended:
            self.eof_received()
        elif self._replies:
            self._wake()

    def _unwrapped(self, tls: Tls, octets: bytes) -> bytes:
        """What the server says inside TLS; nothing while hands are shaken, which goes on here."""
        shaking = not tls.agreed
        said = tls.receive(octets)
        if shaking:
            if tls.agreed:
                self._wake()
            else:
                self._flush()
        return said

    def eof_received(self) -> None:
        """The server has closed; the transport closes by itself."""
        self._fail(Lost("the server closed the connection"))

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        lost = Lost("the connection was lost")
        if isinstance(error, OSError) and error.errno is not None:
            lost = Lost(error.errno, error.strerror)
        self._fail(lost)

    def _fail(self, failure: Lost | ssl.SSLError | OutOfStep) -> None:
        self._failure = self._failure or copy(failure)
        self._wake()

    def _raise_failure(self) -> None:
        """Raise what ended the connection, if it has ended: a copy each time and a copy kept, for a traceback holds its frames,
        those hold the connection and the login, and a circle of them would wait for the collector (``keeper`` freezes)."""
        if self._failure is not None:
            raise copy(self._failure)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What a session calls.

    @property
    def secured(self) -> ssl.SSLObject | None:
        """TLS as it was agreed on; None in clear text."""
        return self._tls.secured if self._tls is not None and self._tls.agreed else None

    @property
    def group(self) -> int | None:
        """In which group keys were exchanged, as ``Tls.group``."""
        return self._tls.group if self._tls is not None else None

    async def reply(self) -> Reply:
        """The next reply. Raises Lost, OutOfStep."""
        while not self._replies:
            self._raise_failure()
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._replies.popleft()

    def ask(self, lines: bytes, replies: int = 1) -> Reply | None:
        """Send lines that are answered by so many replies; what they say may not come from outside (``command``).

        Returns a refusal that the server has sent unasked (a 421, say), and sends nothing then. Raises Lost, OutOfStep.
        """
        if self._unasked is not None and self._unasked.kind in {4, 5}:
            return self._unasked
        self._raise_failure()
        if self._unasked is not None or self._buffer:
            said = self._unasked.text if self._unasked is not None else self._buffer.decode(errors="replace")
            raise OutOfStep(f"the server spoke unasked: {said}")
        self._due += replies
        self.write(lines)
        return None

    async def command(self, *words: bytes) -> Reply:
        """Send one command and await its reply. Raises Lost, OutOfStep, ValueError."""
        return self.ask(command(*words)) or await self.reply()

    async def caught_up(self) -> bool:
        """Await what is due still; whether a command may follow, and not a mail's body. Raises Lost, OutOfStep."""
        while self._due or self._replies:
            if (await self.reply()).kind == 3:
                return False
        return True

    def write(self, octets: bytes) -> None:
        """Send octets that no reply is due for. Raises Lost, OutOfStep, ssl.SSLError."""
        self._raise_failure()
        assert self._transport is not None
        if self._tls is None:
            self._transport.write(octets)
        else:
            self._tls.protect(octets)
            self._flush()

    async def secure(self, context: ssl.SSLContext, host: str, *, greeted: bool = False) -> None:
        """Put TLS between; the certificate must be ``host``'s. ``greeted``: a greeting follows, else the next word is ours and
        the end of the handshake goes with it. Raises OSError, OutOfStep."""
        if self._unasked is not None or self._buffer:
            raise OutOfStep("the server sent something in clear text that TLS should have come before")
        self._raise_failure()
        self._due += greeted
        self._tls = Tls(context, host)
        self._flush()
        while not self._tls.agreed:
            self._raise_failure()
            self._waiter = self._loop.create_future()
            await self._waiter
        if greeted:
            self._flush()

    def _flush(self) -> None:
        """Send what TLS has to say."""
        assert self._tls is not None
        assert self._transport is not None
        if octets := self._tls.outgoing():
            self._transport.write(octets)


def command(*words: bytes) -> bytes:
    """A command's line. Raises ValueError for a word that holds a control character and so might begin another."""
    line = b" ".join(words)
    if _CONTROL.search(line):
        raise ValueError("a command would hold a control character")
    return line + b"\r\n"


def extensions(reply: Reply) -> Mapping[str, frozenset[str]]:
    """What the reply to EHLO offers: keywords with their parameters, all in lower case (RFC 5321 4.1.1.1)."""
    return _offered(reply.text.partition("\n")[2])


@lru_cache(maxsize=256)
def _offered(lines: str) -> Mapping[str, frozenset[str]]:
    """The same of the lines after the greeting, which a server repeats to everybody."""
    offered: dict[str, frozenset[str]] = {}
    for line in filter(None, lines.lower().split("\n")):
        keyword, *parameters = line.replace("auth=", "auth ").split() or [""]
        offered[keyword] = offered.get(keyword, frozenset()) | frozenset(parameters)
    return MappingProxyType(offered)


def _parse(buffer: bytes) -> tuple[Reply, int] | None:
    """The first reply in the buffer and where it ends; None while it is not whole. Raises OutOfStep."""
    texts: list[bytes] = []
    at = 0
    while (end := buffer.find(b"\n", at)) >= 0:
        if end - at > _LONGEST_LINE:
            raise OutOfStep("a line of a reply is too long")
        if not buffer[at : at + 3].isdigit():
            raise OutOfStep(f"not a line of a reply: {buffer[at:end].decode(errors='replace')}")
        texts.append(buffer[at + 4 : end].strip(b" \t\r"))
        if buffer[at + 3 : at + 4] != b"-":
            text = b"\n".join(texts).decode("utf-8", "surrogateescape")
            return Reply(int(buffer[at : at + 3]), text), end + 1
        at = end + 1
    if len(buffer) > _LONGEST_REPLY or len(buffer) - at > _LONGEST_LINE:
        raise OutOfStep("a reply without an end")
    return None
