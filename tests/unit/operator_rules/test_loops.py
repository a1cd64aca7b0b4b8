"""A loop a fleet: woken, looked up again, ended; and liveness, with a clock that the test moves."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.waiting import until
from warmup_operator.kube import KubernetesError
from warmup_operator.listing import Listing
from warmup_operator.loops import STEP_SECONDS, Loops
from warmup_operator.metrics import Metrics
from warmup_operator.reconcile import Answer

Json = dict[str, Any]

LIST_SECONDS = 60.0


def fleet(name: str = "main", generation: int = 1, **status: Any) -> Json:
    metadata = {"namespace": "mail", "name": name, "uid": f"uid-{name}", "generation": generation}
    return {"metadata": metadata, "status": status}


@dataclass
class World:
    """What is listed, what a look answers, and the clock."""

    now: float = 1000.0
    listed: list[Json] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    answer: Callable[[str], Awaitable[Answer]] | None = None
    metrics: Metrics = field(default_factory=Metrics)

    async def fleets(self) -> Listing:
        return Listing(self.listed, {it: KubernetesError(403, "no") for it in self.refused})

    def make(self, namespace: str, name: str) -> "Looks":
        return Looks(self, name)


@dataclass
class Looks:
    """A fleet's steps that only count."""

    world: World
    name: str

    async def step(self) -> Answer:
        self.world.looks.append(self.name)
        return await self.world.answer(self.name) if self.world.answer else Answer(3600)

    async def close(self) -> None:
        self.world.closed.append(self.name)
        self.world.metrics.forget("mail", self.name)


@asynccontextmanager
async def loops_of(world: World, stale: float = 600) -> AsyncIterator[Loops]:
    loops = Loops(world.make, world.fleets, world.metrics, LIST_SECONDS, stale, lambda: world.now)
    try:
        yield loops
    finally:
        await loops.stop()


async def test_an_event_wakes_the_fleets_own_loop_and_our_own_status_wakes_none() -> None:
    world = World()
    async with loops_of(world) as loops:
        loops.heard(fleet(), deleted=False)
        await until(lambda: world.looks == ["main"], "a look")
        loops.heard(fleet(sent=5), deleted=False)
        for generation in (1, 2, 3):  # each takes as long as a look at main would
            loops.heard(fleet("other", generation), deleted=False)
            await until(lambda seen=generation: world.looks.count("other") == seen, "a look at the other")  # type: ignore[misc]
        assert world.looks.count("main") == 1
        loops.heard(fleet(generation=2), deleted=False)
        await until(lambda: world.looks.count("main") == 2, "a look at the new generation")


async def test_a_lost_event_is_found_by_listing() -> None:
    world = World(listed=[fleet(), fleet("other")])
    async with loops_of(world) as loops:
        loops.start()
        await until(lambda: sorted(world.looks) == ["main", "other"], "a look at each")
        assert loops.ready


async def test_a_fleet_that_is_gone_ends_its_loop_and_made_again_has_a_new_one() -> None:
    async def gone(_: str) -> Answer:
        return Answer(0, gone=True)

    world = World(answer=gone)
    async with loops_of(world) as loops:
        loops.heard(fleet(), deleted=True)
        assert world.looks == []
        loops.heard(fleet(), deleted=False)
        await until(lambda: world.closed == ["main"], "the loop has ended")
        loops.heard(fleet(), deleted=False)
        await until(lambda: world.closed == ["main", "main"], "a second loop has ended")
        assert loops.faults() == []


async def test_an_error_is_tried_again_and_one_fleets_error_is_no_others() -> None:
    async def answer(name: str) -> Answer:
        if name == "bad" and world.looks.count("bad") < 2:
            raise RuntimeError("no luck")
        return Answer(3600)

    world = World(answer=answer)
    async with loops_of(world) as loops:
        loops.heard(fleet("bad"), deleted=False)
        loops.heard(fleet("good"), deleted=False)
        await until(lambda: world.looks.count("bad") == 2, "a second look at the bad one")
        assert world.looks.count("good") == 1


async def test_only_a_look_that_ended_well_counts_as_one() -> None:
    async def answer(name: str) -> Answer:
        if name == "bad" or world.looks.count(name) > 1:
            raise RuntimeError("no luck")
        return Answer(0 if name == "gone" else 3600, gone=name == "gone")

    def looked_at(name: str) -> float | None:
        labels = {"namespace": "mail", "name": name}
        return world.metrics.registry.get_sample_value("warmup_fleet_looked_at_seconds", labels)

    world = World(answer=answer)
    before = time.time()
    async with loops_of(world) as loops:
        for name in ("bad", "good", "gone"):
            loops.heard(fleet(name), deleted=False)
        await until(lambda: world.looks.count("bad") == 2 and world.closed == ["gone"], "the looks")
        first = looked_at("good")
        assert first is not None
        assert before <= first <= time.time()
        assert looked_at("bad") == 0, "never, and yet there"
        assert looked_at("gone") is None
        loops.wake("mail", "good")
        await until(lambda: world.looks.count("good") == 2, "a second look")
        assert looked_at("good") == first


async def test_a_loop_that_hangs_is_told_when_no_step_may_take_so_long() -> None:
    async def hang(_: str) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    world = World(answer=hang)
    async with loops_of(world, stale=1e9) as loops:
        loops.heard(fleet(), deleted=False)
        await until(lambda: world.looks == ["main"], "a look that hangs")
        world.now += STEP_SECONDS
        assert loops.faults() == []
        world.now += 1
        [fault] = loops.faults()
        assert "the loop of mail/main promised to come round in 0 s and has not for 61 s" in fault


async def test_a_loop_that_oversleeps_three_times_its_promise_is_told() -> None:
    world = World()
    async with loops_of(world, stale=1e9) as loops:
        loops.heard(fleet(), deleted=False)
        await until(lambda: world.looks == ["main"], "a look that promises the next in an hour")
        await asyncio.sleep(0)
        world.now += 3 * 3600 + STEP_SECONDS
        assert not any("promised" in fault for fault in loops.faults())
        world.now += 1
        assert any("promised" in fault for fault in loops.faults())


async def test_a_watch_that_owes_a_change_is_told_and_a_late_word_settles_it() -> None:
    world = World(listed=[fleet(generation=2)])
    async with loops_of(world, stale=1e9) as loops:
        loops.heard(fleet(generation=1), deleted=False)
        loops.start()
        await until(lambda: loops.ready, "the list")
        world.now += 3 * LIST_SECONDS + 1
        assert "the watch has not told of mail/main for 181 s" in loops.faults()[0]
        loops.heard(fleet(generation=2), deleted=False)
        assert not any("watch" in fault for fault in loops.faults())


async def test_of_a_namespace_that_refuses_nothing_is_concluded() -> None:
    world = World(refused=["mail"])
    async with loops_of(world, stale=1e9) as loops:
        loops.heard(fleet(), deleted=False)
        await until(lambda: world.looks == ["main"], "a look")
        loops.start()
        await until(lambda: loops.ready, "the list")
        world.now += 3 * LIST_SECONDS + 1
        assert not any("watch" in fault for fault in loops.faults())
        assert world.looks == ["main"]


@pytest.mark.parametrize(("fleets", "says"), [(1, ["reconciled"]), (0, [])])
async def test_no_success_for_long_is_a_fault_only_where_there_are_fleets(
    fleets: int, says: list[str]
) -> None:
    async def fail(_: str) -> Answer:
        raise RuntimeError("no luck")

    world = World(answer=fail)
    async with loops_of(world, stale=LIST_SECONDS / 2) as loops:
        for number in range(fleets):
            loops.heard(fleet(f"fleet-{number}"), deleted=False)
        await until(lambda: len(world.looks) == fleets, "the looks")
        world.now += LIST_SECONDS / 2 + 1
        found = loops.faults()
        assert len(found) == len(says)
        assert all(word in fault for word, fault in zip(says, found, strict=True))


async def test_the_first_fleet_after_a_long_time_without_any_is_given_its_time() -> None:
    async def fail(_: str) -> Answer:
        raise RuntimeError("no luck")

    world = World(answer=fail)
    async with loops_of(world, stale=LIST_SECONDS) as loops:
        world.now += 2 * LIST_SECONDS
        loops.heard(fleet(), deleted=False)
        await until(lambda: world.looks == ["main"], "a look")
        assert loops.faults() == []


async def test_a_list_that_no_longer_comes_round_is_a_fault() -> None:
    world = World()
    async with loops_of(world, stale=1) as loops:
        world.now += 3 * LIST_SECONDS + 1
        assert "not been listed for 181 s" in loops.faults()[0]
