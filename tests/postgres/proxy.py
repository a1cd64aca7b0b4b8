"""A TCP proxy before a PostgreSQL that can lose the reply to a COMMIT, be slow, or fall silent without hanging up.

It knows just enough of the protocol: a client of ours begins and commits with plain queries, or sends one statement alone, which
is committed at its Sync. So the text of a transaction can be read as it passes. Runs on the test's own event loop. Only for
connections without TLS.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy.engine import make_url

_SYNC = b"S\x00\x00\x00\x04"


class _Link:
    """One connection: what it has sent since its last BEGIN, and its two ends."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self.transaction, self.begun = b"", False
        self.loses = False
        self.passing = asyncio.Event()
        self.passing.set()


class Proxy:
    """``loses(text)`` is asked at each commit, with all that its transaction sent: True cuts the line instead of the reply."""

    def __init__(self, url: str) -> None:
        self._direct = make_url(url)
        self.loses: Callable[[str], bool] = lambda text: False
        self.delay = 0.0
        """Seconds that each message of a client takes longer."""
        self._links: list[_Link] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The way through the proxy."""
        port = self._server.sockets[0].getsockname()[1]
        return self._direct.set(port=port).render_as_string(hide_password=False)

    def fall_silent(self) -> int:
        """Pass nothing more on the connections that there are, without a word to either end; returns how many."""
        for link in self._links:
            link.passing.clear()
        return len(self._links)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Known from its first moment: who comes while the proxy ends is hung up on, too."""
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(self._direct.host, self._direct.port)
        except BaseException:
            writer.transport.abort()
            raise
        link = _Link(writer, up_writer)
        self._links.append(link)
        ways = [
            asyncio.create_task(self._ask(link, reader)),
            asyncio.create_task(self._answer(link, up_reader)),
        ]
        self._tasks.update(ways)
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hang_up(link)
            self._links.remove(link)

    async def _ask(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65_536):
            await link.passing.wait()
            await asyncio.sleep(self.delay)
            link.transaction += data
            if b"COMMIT" in data or (not link.begun and data.endswith(_SYNC)):
                link.loses = self.loses(link.transaction.decode(errors="replace"))
                link.transaction, link.begun = b"", False
            elif b"BEGIN" in data or b"ROLLBACK" in data:
                link.transaction, link.begun = data, b"BEGIN" in data
            link.server.write(data)

    async def _answer(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65_536):
            await link.passing.wait()
            if link.loses:  # the server has committed, and nobody hears of it
                return
            link.client.write(data)

    @staticmethod
    def _hang_up(link: _Link) -> None:
        for end in (link.client, link.server):
            end.transport.abort()
