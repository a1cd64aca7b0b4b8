"""What stands on the wire, byte for byte: judged by a bare socket, not by a server that may tidy up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.integration.worker.fleet import QUICK
from tests.submission.authority import Authority
from warmup_core.types import MailState
from warmup_worker.content import Mail
from warmup_worker.mailer import Login, NotConnected, Server, Session
from warmup_worker.network import parse_networks

AUTHORITY = Authority()


class Bare:
    """A server that answers by script and keeps every byte. ``auth`` is what EHLO offers; ``before_tls`` is sent too early."""

    def __init__(self, auth: str = "PLAIN LOGIN", before_tls: bytes = b"", implicit: bool = False) -> None:
        self.auth, self.before_tls, self.implicit = auth, before_tls, implicit
        self.commands: list[bytes] = []
        self.data = b""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        if self.implicit:
            writer.write(self.before_tls)
            await writer.start_tls(AUTHORITY.issue("127.0.0.1").context())
        writer.write(b"220 bare\r\n")
        while line := await reader.readline():
            self.commands.append(line)
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"EHLO":
                writer.write(b"250-bare\r\n250-STARTTLS\r\n250 AUTH %b\r\n" % self.auth.encode())
            elif verb == b"STARTTLS":
                writer.write(b"220 go\r\n" + self.before_tls)
                await writer.start_tls(AUTHORITY.issue("127.0.0.1").context())
            elif verb == b"AUTH":
                if b"LOGIN" in line:
                    writer.write(b"334 UGFzc3dvcmQ6\r\n")
                    self.commands.append(await reader.readline())
                writer.write(b"235 ok\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go\r\n")
                self.data = await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 taken\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
        writer.close()


@asynccontextmanager
async def listening(bare: Bare) -> AsyncIterator[Bare]:
    ended: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(bare.serve(reader, writer))
        ended.append(task)
        try:
            await task
        except (ConnectionError, OSError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 24)
    bare.port = server.sockets[0].getsockname()[1]
    try:
        yield bare
    finally:
        server.close()
        await asyncio.gather(*ended, return_exceptions=True)


async def session_with(bare: Bare) -> Session:
    return await Session.open(
        Server("127.0.0.1", bare.port, "tls" if bare.implicit else "starttls"),
        Login("ann@orchard.example", "secret"),
        context=AUTHORITY.client_context(),
        allowed=parse_networks(["127.0.0.0/8"]),
        local_hostname="client.example",
        timing=QUICK,
    )


def mail(message: bytes) -> Mail:
    return Mail("ann@orchard.example", "ben@depot.example", "<1@x>", message)


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (b"Subject: x\r\n\r\nhello\r\n", b"Subject: x\r\n\r\nhello\r\n.\r\n"),
        (b"\r\n.\r\n..hidden\r\nend.\r\n", b"\r\n..\r\n...hidden\r\nend.\r\n.\r\n"),
        (b"\r\n" + b"x" * 4_000_000 + b"\r\n", b"\r\n" + b"x" * 4_000_000 + b"\r\n.\r\n"),
    ],
)
async def test_leading_dots_are_doubled_and_the_end_is_one_dot(message: bytes, wire: bytes) -> None:
    """field-016."""
    async with listening(Bare()) as bare:
        session = await session_with(bare)
        assert (await session.deliver(mail(message), lambda: 0.0)).state is MailState.SENT
        await session.quit()
    assert bare.data == wire


async def test_the_commands_in_their_order() -> None:
    async with listening(Bare()) as bare:
        session = await session_with(bare)
        await session.deliver(mail(b"\r\nhello\r\n"), lambda: 0.0)
        await session.quit()
    assert [line.split()[0] for line in bare.commands] == (
        [b"EHLO", b"STARTTLS", b"EHLO", b"AUTH", b"MAIL", b"RCPT", b"DATA", b"QUIT"]
    )
    assert bare.commands[0] == b"EHLO client.example\r\n"


async def test_login_where_plain_is_not_offered() -> None:
    async with listening(Bare(auth="LOGIN")) as bare:
        session = await session_with(bare)
        session.close()
    assert bare.commands[3].startswith(b"AUTH LOGIN ")


async def test_no_login_that_is_known_here() -> None:
    async with listening(Bare(auth="CRAM-MD5")) as bare:
        with pytest.raises(NotConnected, match="offers no login that is known here"):
            await session_with(bare)
    assert not any(line.startswith(b"AUTH") for line in bare.commands)


@pytest.mark.parametrize("implicit", [False, True])
async def test_replies_slipped_in_before_tls_never_count(implicit: bool) -> None:
    """A man in the middle adds a reply in clear text: it must not shift the replies inside TLS by one."""
    injected = b"220 evil\r\n250 AUTH PLAIN\r\n"
    async with listening(Bare(before_tls=injected, implicit=implicit)) as bare:
        opened = await asyncio.gather(session_with(bare), return_exceptions=True)
        session = opened[0]
        if isinstance(session, NotConnected):
            assert session.phase == "tls"
            assert not any(line.startswith(b"AUTH") for line in bare.commands)
            return
        assert isinstance(session, Session)
        assert (await session.deliver(mail(b"\r\nhello\r\n"), lambda: 0.0)).reply == "250 taken"
        await session.quit()
