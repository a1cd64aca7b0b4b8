"""Replies as octets that come in any pieces, paired with what was asked, and what was not asked for."""

import asyncio
import gc
import ssl
from collections.abc import Sequence
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.submission.authority import Authority
from tests.waiting import until
from warmup_worker.sasl import Login
from warmup_worker.session import NotConnected, Server, Session
from warmup_worker.smtp import Connection, Lost, OutOfStep, Reply, command, extensions
from warmup_worker.timing import Timing

WIRE = b"220-mail.example\r\n220 ready\r\n250 2.1.0 Ok\r\n550-5.7.1 no\r\n550 5.7.1 never\n"
REPLIES = [Reply(220, "mail.example\nready"), Reply(250, "2.1.0 Ok"), Reply(550, "5.7.1 no\n5.7.1 never")]


class Transport(asyncio.Transport):
    """Where octets go that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data


async def connected(*, greeted: bool = True) -> tuple[Connection, Transport]:
    connection, transport = Connection(asyncio.get_running_loop(), greeted=greeted), Transport()
    connection.connection_made(transport)
    return connection, transport


@given(st.lists(st.integers(0, len(WIRE)), max_size=6))
def test_replies_come_whole_however_they_are_cut(cuts: Sequence[int]) -> None:
    async def read() -> list[Reply]:
        connection, _ = await connected()
        assert connection.ask(b"MAIL\r\nRCPT\r\n", 2) is None
        for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(WIRE)], strict=True):
            connection.data_received(WIRE[start:end])
        return [await connection.reply() for _ in REPLIES]

    assert asyncio.run(read()) == REPLIES


async def test_who_waits_is_woken_by_the_reply_and_by_the_end() -> None:
    connection, transport = await connected()
    greeting = asyncio.create_task(connection.reply())
    await asyncio.sleep(0)
    connection.data_received(b"220 go\r\n")
    assert await greeting == Reply(220, "go")
    hello = asyncio.create_task(connection.command(b"EHLO", b"client.example"))
    await asyncio.sleep(0)
    assert transport.written == b"EHLO client.example\r\n"
    connection.eof_received()
    with pytest.raises(Lost, match="the server closed the connection"):
        await hello


async def test_a_success_that_nobody_asked_for_is_no_reply_to_what_is_asked_next() -> None:
    connection, transport = await connected(greeted=False)
    connection.data_received(b"250 queued\r\n")
    with pytest.raises(OutOfStep, match="spoke unasked: queued"):
        connection.ask(b"\r\n.\r\n")
    assert transport.written == b""


async def test_a_refusal_that_nobody_asked_for_is_told_and_nothing_more_is_sent() -> None:
    connection, transport = await connected(greeted=False)
    connection.data_received(b"421 4.3.2 shutting down\r\n")
    connection.eof_received()
    assert connection.ask(b"MAIL FROM:<a@b.example>\r\n") == Reply(421, "4.3.2 shutting down")
    assert transport.written == b""


@pytest.mark.parametrize("said", [b"220 evil\r\n", b"220 ev"])
async def test_tls_does_not_begin_behind_words_in_clear_text(said: bytes) -> None:
    connection, _ = await connected(greeted=False)
    connection.data_received(said)
    with pytest.raises(OutOfStep, match="in clear text"):
        await connection.secure(None, "mail.example")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "octets", [b"hello\r\n", b"\r\n", b"2x0 ok\r\n", b"250-" + b"x" * 10_000, b"250-x\r\n" * 10_000]
)
async def test_what_is_no_reply_ends_the_dialogue(octets: bytes) -> None:
    connection, _ = await connected()
    connection.data_received(octets)
    with pytest.raises(OutOfStep):
        await connection.reply()
    connection.data_received(b"250 ok\r\n")
    with pytest.raises(OutOfStep):
        await connection.reply()


async def test_what_is_due_is_read_before_a_goodbye_and_none_is_said_where_a_body_is_awaited() -> None:
    connection, _ = await connected(greeted=False)
    connection.ask(b"RCPT\r\nDATA\r\n", 2)
    connection.data_received(b"550 no\r\n503 no recipient\r\n")
    assert await connection.caught_up()
    connection.ask(b"RCPT\r\nDATA\r\n", 2)
    connection.data_received(b"550 no\r\n354 go\r\n")
    assert not await connection.caught_up()


@pytest.mark.parametrize("word", ["a\r\nRCPT", "a\nb", "a\0b", "a\x7f"])
def test_a_word_that_would_begin_another_command_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        command(b"MAIL", word.encode())


def test_what_a_server_offers() -> None:
    offered = extensions(
        Reply(250, "mail.example at your service\nPIPELINING\nSIZE 1000\nAUTH PLAIN Login\nAUTH=CRAM-MD5\n")
    )
    assert "pipelining" in offered
    assert offered["size"] == {"1000"}
    assert offered["auth"] == {"plain", "login", "cram-md5"}
    assert "mail.example" not in offered
    assert not extensions(Reply(250, "mail.example"))


@pytest.mark.parametrize(
    ("said", "phase", "reason"),
    [
        (b"", "connect", "the server closed the connection"),
        (b"hello\r\n", "connect", "not a line of a reply: hello"),
        (b"220 go\r\n250 STARTTLS\r\n", "tls", "spoke unasked"),
        (None, "tls", "the certificate was not accepted: unable to get local issuer"),
    ],
)
async def test_a_connection_that_failed_is_gone_at_once(said: bytes | None, phase: str, reason: str) -> None:
    """With its TLS and its login: what waits for the collector of cycles may wait for ever (``keeper``)."""

    def alive() -> int:
        return sum(isinstance(it, Connection) for it in gc.get_objects())

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said or b"")
        writer.close()

    unknown = Authority().issue("localhost").context() if said is None else None
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=unknown)
    port = server.sockets[0].getsockname()[1]
    gc.collect()
    gc.disable()
    before = alive()
    try:
        with pytest.raises(NotConnected) as failed:
            await Session.open(
                Server("127.0.0.1", port, "starttls" if unknown is None else "tls"),
                Login("me@one.example", "secret"),
                context=ssl.create_default_context(),
                allowed=[ip_network("127.0.0.0/8")],
                local_hostname="client.example",
                timing=Timing(),
            )
        assert (failed.value.phase, reason in failed.value.reason) == (phase, True), failed.value
        del failed
        await until(lambda: alive() <= before, "the loop lets go of the transport, and nobody else holds it")
    finally:
        gc.enable()
        server.close()
