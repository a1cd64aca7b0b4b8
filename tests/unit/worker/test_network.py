"""Which addresses a worker may connect to: the public internet, and what the fleet names."""

import asyncio
import ipaddress
import socket
import subprocess
import sys
from collections.abc import Sequence

import pytest

from warmup_worker.network import Forbidden, Names, Network, dial, first_answer, forbidden, parse_networks


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("8.8.8.8", None),
        ("2607:f8b0::1", None),
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("169.254.169.254", "link-local or metadata"),
        ("fe80::1", "link-local or metadata"),
        ("168.63.129.16", "link-local or metadata"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("fd00:ec2::254", "private"),
        ("192.0.2.1", "private"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("::ffff:169.254.169.254", "link-local or metadata"),
        ("::ffff:8.8.8.8", None),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b::8.8.8.8", None),
        ("2002:7f00:1::", "loopback"),
        ("255.255.255.255", "private"),
    ],
)
def test_addresses(address: str, reason: str | None) -> None:
    assert forbidden(ipaddress.ip_address(address), ()) == reason


def test_a_named_network_allows_its_addresses_and_no_others() -> None:
    allowed = parse_networks(["10.0.0.0/8", "fd00::/8", "nonsense"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        assert forbidden(ipaddress.ip_address(address), allowed) is None
    for address in ("127.0.0.1", "169.254.169.254", "192.168.0.1"):
        assert forbidden(ipaddress.ip_address(address), allowed) is not None


async def test_an_address_that_never_answers_costs_its_seconds_and_the_next_one_is_taken() -> None:
    """A full queue of connections: the kernel drops what comes, as a firewall does."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as deaf,
        socket.create_server(("127.0.0.1", 0)) as good,
    ):
        silent, answering = deaf.getsockname(), good.getsockname()
        with socket.create_connection(silent):
            for seconds in (0.2, 3.0, 30.0):  # the good one's as well, which a stall may take
                try:
                    found = await first_answer([silent, answering], dial, seconds)
                except OSError:
                    continue
                break
            else:
                raise AssertionError("the good one never answers")
            with found:
                assert found.getpeername() == answering
            with pytest.raises(OSError, match=f"no answer within 0.2 s from 127.0.0.1:{silent[1]}"):
                await first_answer([silent], dial, seconds=0.2)


class Resolver:
    """Answers each look-up when the test says so."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[list[tuple[str, int]]]] = []

    async def __call__(self, host: str, port: int, allowed: Sequence[Network]) -> list[tuple[str, int]]:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def all_have_had_a_turn() -> None:
    """Whatever can go on without an answer from outside has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


ANSWER, OTHER = [("192.0.2.1", 25)], [("192.0.2.2", 25)]


async def test_one_look_up_is_under_way_however_many_ask_and_however_long_it_takes() -> None:
    resolver, clock = Resolver(), Clock()
    names = Names(30, resolver, clock)
    impatient = asyncio.create_task(names.resolve("a.example", 25, ()))
    await all_have_had_a_turn()
    clock.now += 75
    impatient.cancel()
    patient = [asyncio.create_task(names.resolve("a.example", 25, ())) for _ in range(5)]
    await all_have_had_a_turn()
    assert len(resolver.asked) == 1
    resolver.asked[0].set_result(ANSWER)
    assert await asyncio.gather(*patient) == [ANSWER] * 5


async def test_a_failed_look_up_is_remembered_and_says_when_it_was() -> None:
    resolver, clock = Resolver(), Clock()
    names = Names(30, resolver, clock)
    first = asyncio.create_task(names.resolve("a.example", 25, ()))
    await all_have_had_a_turn()
    resolver.asked[0].set_exception(socket.gaierror(-3, "Temporary failure in name resolution"))
    with pytest.raises(OSError, match=r"name resolution$"):
        await first
    clock.now += 9
    second = asyncio.create_task(names.resolve("a.example", 25, ()))
    await all_have_had_a_turn()
    assert second.done(), "told at once"
    with pytest.raises(OSError, match=r"Temporary failure in name resolution \(9 s ago\)"):
        second.result()
    assert len(resolver.asked) == 1
    clock.now += 1
    again = asyncio.create_task(names.resolve("a.example", 25, ()))
    await all_have_had_a_turn()
    resolver.asked[1].set_result(ANSWER)
    assert await again == ANSWER


async def test_an_old_answer_serves_while_it_is_asked_anew_and_where_that_fails() -> None:
    resolver, clock = Resolver(), Clock()
    names = Names(30, resolver, clock)

    async def asked() -> "asyncio.Task[list[tuple[str, int]]]":
        task = asyncio.create_task(names.resolve("a.example", 25, ()))
        await all_have_had_a_turn()
        return task

    async def answers(answer: "list[tuple[str, int]] | Exception") -> None:
        if isinstance(answer, Exception):
            resolver.asked[-1].set_exception(answer)
        else:
            resolver.asked[-1].set_result(answer)
        await all_have_had_a_turn()

    first = await asked()
    assert not first.done()
    await answers(ANSWER)
    assert first.result() == ANSWER
    for came, served in ((OSError("no resolver"), ANSWER), (OTHER, OTHER)):
        before = len(resolver.asked)
        clock.now += 31
        assert (await asked()).result() == ANSWER, "at once"
        assert len(resolver.asked) == before + 1
        await answers(came)
        assert (await asked()).result() == served
    clock.now += 31
    assert (await asked()).result() == OTHER
    await answers(Forbidden("a.example is 10.0.0.1 (private)"))
    again = await asked()
    assert not again.done(), "asked again, and no address of before is any use"
    await answers(ANSWER)
    assert again.result() == ANSWER


def test_the_event_loop_has_threads_for_more_than_two_zones_that_do_not_answer() -> None:
    program = (
        "import os; from warmup_worker.process import _new_event_loop; loop = _new_event_loop();"
        "loop.run_until_complete(loop.getaddrinfo('localhost', 25)); print(len(os.listdir('/proc/self/task')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 60
