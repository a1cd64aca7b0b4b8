"""Few connections, many who want one: heartbeats first, then by arrival, and never more than the limit."""

import asyncio

import pytest

from warmup_worker.turns import Turns


class Crowd:
    """Those who take turns; each keeps its turn until it is let go."""

    def __init__(self, limit: int) -> None:
        self.turns = Turns(limit)
        self.came: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def comes(self, name: str, *, urgent: bool = False) -> None:
        self._ends[name] = asyncio.Event()

        async def one() -> None:
            async with self.turns.turn(urgent=urgent):
                self.came.append(name)
                await self._ends[name].wait()

        self._tasks[name] = asyncio.create_task(one())
        await settled()

    async def leaves(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await settled()

    async def gives_up(self, name: str) -> None:
        self._tasks[name].cancel()
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_last_connection_is_kept_for_a_heartbeat() -> None:
    crowd = Crowd(3)
    for name in "abc":
        await crowd.comes(name)
    assert crowd.came == ["a", "b"]
    await crowd.comes("beat", urgent=True)
    assert crowd.came == ["a", "b", "beat"]
    await crowd.leaves("a")
    assert crowd.came[3:] == [], "while it beats the others make do with one fewer"
    await crowd.leaves("beat")
    assert crowd.came[3:] == ["c"]


async def test_at_one_connection_a_heartbeat_is_the_next() -> None:
    crowd = Crowd(1)
    for name in "abc":
        await crowd.comes(name)
    await crowd.comes("beat", urgent=True)
    for leaving in ("a", "beat", "b"):
        await crowd.leaves(leaving)
    assert crowd.came == ["a", "beat", "b", "c"]


@pytest.mark.parametrize("limit", [1, 2])
async def test_a_limit_that_falls_lets_nobody_begin_until_it_holds(limit: int) -> None:
    crowd = Crowd(3)
    for name in "abc":
        await crowd.comes(name)
    crowd.turns.limit = limit
    await crowd.leaves("a")
    assert crowd.came == ["a", "b"]
    await crowd.leaves("b")
    assert crowd.came == ["a", "b", "c"]
    crowd.turns.limit = 3
    await crowd.comes("d")
    assert crowd.came[-1] == "d"


async def test_nobody_begins_beside_who_is_alone() -> None:
    crowd = Crowd(3)
    async with crowd.turns.turn():
        with crowd.turns.alone():
            await crowd.comes("a")
            await crowd.comes("beat", urgent=True)
            assert crowd.came == []
        await settled()
        assert crowd.came == ["beat"]
    await settled()
    assert crowd.came == ["beat", "a"]
    for name in ("beat", "a"):
        await crowd.leaves(name)


async def test_who_gives_up_takes_no_turn_with_him() -> None:
    crowd = Crowd(1)
    for name in "abc":
        await crowd.comes(name)
    await crowd.gives_up("b")
    await crowd.gives_up("a")
    assert crowd.came == ["a", "c"]
    await crowd.comes("d")
    crowd._ends["c"].set()
    await settled()
    assert crowd.came[-1] == "d"
    await crowd.leaves("d")
    assert crowd.turns.taken == 0


async def test_a_turn_that_comes_as_its_taker_gives_up_goes_to_the_next() -> None:
    crowd = Crowd(1)
    for name in "abc":
        await crowd.comes(name)
    crowd._ends["a"].set()
    await asyncio.sleep(0)  # a's turn ends and b's has come, but b has not run yet
    await crowd.gives_up("b")
    assert crowd.came == ["a", "c"]
    await crowd.leaves("c")
    assert crowd.turns.taken == 0
