"""An SMTP sink that costs as little as it can, as a process of its own: STARTTLS, AUTH, one acceptance counted a mail.

It checks each password, asks for TLS before AUTH and for AUTH before MAIL, offers PIPELINING, and answers the dot after ``delay``
seconds. It stores nothing. On stdin it is asked ``count`` and answers with the number of mails accepted and the most connections
open at once; the end of stdin ends it.
"""

import argparse
import asyncio
import base64
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

from bench.machine import OTHER_CORE, on_core
from tests.submission.authority import in_directory

HOST = "localhost"
_BACKLOG = 4096


def password_of(login: str) -> str:
    """Each login's own password."""
    return f"secret-of-{login}"


@dataclass
class Counts:
    """Mails accepted, connections open now and at most."""

    accepted: int = 0
    open: int = 0
    most_open: int = 0


class _Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, delay: float, context: object, counts: Counts) -> None:
        self._delay, self._context, self._counts = delay, context, counts
        self._transport: asyncio.Transport
        self._buffer = b""
        self._secured = self._authenticated = self._in_data = self._busy = False
        self._upgrade: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._counts.open += 1
        self._counts.most_open = max(self._counts.most_open, self._counts.open)
        self._say(b"220 sink ESMTP\r\n")

    def connection_lost(self, error: Exception | None) -> None:
        self._counts.open -= 1

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        while not self._busy:  # a mail is dealt with before the QUIT behind it
            end = buffer.find(b"\r\n.\r\n" if self._in_data else b"\r\n")
            if end < 0:
                break
            if self._in_data:
                self._in_data = False
                buffer = buffer[end + 5 :]
                self._accept()
            else:
                line, buffer = buffer[:end], buffer[end + 2 :]
                self._command(line)
        self._buffer = buffer

    def _say(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)

    def _accept(self) -> None:
        self._counts.accepted += 1
        if self._delay:
            self._busy = True
            asyncio.get_running_loop().call_later(self._delay, self._accepted)
        else:
            self._accepted()

    def _accepted(self) -> None:
        self._say(b"250 2.0.0 Ok: queued\r\n")
        if self._busy:
            self._busy = False
            self.data_received(b"")

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"EHLO":
            offered = b"250 AUTH PLAIN LOGIN\r\n" if self._secured else b"250 STARTTLS\r\n"
            self._say(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n" + offered)
        elif verb == b"STAR":
            self._say(b"220 2.0.0 Ready to start TLS\r\n")
            self._upgrade = asyncio.ensure_future(self._secure())
        elif verb == b"AUTH":
            self._say(self._log_in(line.rpartition(b" ")[2]))
        elif verb == b"MAIL":
            self._say(
                b"250 2.1.0 Ok\r\n" if self._authenticated else b"530 5.7.0 Authentication required\r\n"
            )
        elif verb == b"RCPT":
            self._say(b"250 2.1.5 Ok\r\n")
        elif verb == b"DATA":
            self._in_data = True
            self._say(b"354 End data with <CR><LF>.<CR><LF>\r\n")
        elif verb == b"QUIT":
            self._say(b"221 2.0.0 Bye\r\n")
            self._transport.close()
        else:
            self._say(b"250 2.0.0 Ok\r\n")

    def _log_in(self, encoded: bytes) -> bytes:
        _, login, password = base64.b64decode(encoded).decode().split("\0")
        self._authenticated = self._secured and password == password_of(login)
        if self._authenticated:
            return b"235 2.7.0 Authentication successful\r\n"
        return b"535 5.7.8 Authentication credentials invalid\r\n"

    async def _secure(self) -> None:
        with contextlib.suppress(OSError):
            secured = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                self._context,  # type: ignore[arg-type]
                server_side=True,
            )
            assert secured is not None
            self._transport, self._secured = secured, True


async def _serve(delay: float, folder: Path) -> None:
    context, counts = in_directory(folder, HOST, "127.0.0.1").context(), Counts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(delay, context, counts), "127.0.0.1", 0, backlog=_BACKLOG
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader()
    asked, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(counts.accepted, counts.open, counts.most_open, flush=True)
    asked.close()  # held until here: a pipe that nobody holds is closed


class Sink:
    """A sink that runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid
        self.port = int(self._ask())

    def _ask(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def counts(self) -> Counts:
        """What it has counted so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("count\n")
        self._process.stdin.flush()
        return Counts(*map(int, self._ask().split()))


@contextlib.contextmanager
def running(folder: Path, delay: float = 0.0) -> Iterator[Sink]:
    """A sink on the other core; its authority lies in ``folder`` as ca.crt."""
    with (
        on_core(OTHER_CORE),
        subprocess.Popen(
            [sys.executable, "-m", "bench.sink", "--folder", str(folder), "--delay", str(delay)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        yield Sink(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    uvloop.run(_serve(arguments.delay, arguments.folder))
