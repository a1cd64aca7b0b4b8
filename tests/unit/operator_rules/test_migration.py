"""A migration beside the looks: they go on while it runs, and one that fails does not come back at each of them."""

import asyncio

import pytest

from warmup_operator.migration import Migration
from warmup_operator.status import Problem, Reason


class World:
    """A migration that ends as the test says, and a clock that only the test moves."""

    def __init__(self) -> None:
        self.now, self.runs, self.broken_off = 1000.0, 0, False
        self.end: asyncio.Future[Problem | None] = asyncio.get_running_loop().create_future()
        self.migration = Migration(self._upgrade, lambda: self.now)

    async def _upgrade(self) -> None:
        self.runs += 1
        try:
            fault = await self.end
        except asyncio.CancelledError:
            self.broken_off = True
            raise
        if fault is not None:
            raise fault

    async def look(self) -> str:
        """What a look hears."""
        try:
            await self.migration.bring(patience=0.01)
        except Problem as problem:
            return f"{problem.reason}: {problem.message}"
        return "current"


async def test_looks_go_on_while_it_runs_and_find_its_end() -> None:
    world = World()
    for _ in range(3):
        assert (await world.look()).startswith("SchemaMigrating: Since ")
    world.end.set_result(None)
    assert await world.look() == "current"
    assert world.runs == 1


async def test_one_that_fails_is_tried_again_with_growing_pauses_and_names_the_command() -> None:
    world, pauses = World(), []
    world.end.set_result(Problem(Reason.DATABASE_ERROR, "lock timeout."))
    for runs in range(1, 9):
        before = world.now
        while True:
            told = await world.look()
            if world.runs == runs:
                break
            world.now += 1
        pauses.append(world.now - before)
        assert told.startswith("DatabaseError: lock timeout. The migration is tried again after ")
        assert "`warmup database upgrade`" in told
    assert pauses == [0, 5, 10, 20, 40, 80, 160, 300]
    world.end = asyncio.get_running_loop().create_future()
    world.end.set_result(None)
    world.now += 300
    assert await world.look() == "current"


@pytest.mark.parametrize("reason", [Reason.SCHEMA_BUSY, Reason.SCHEMA_TOO_NEW])
async def test_what_needed_no_lock_is_asked_again_at_once_and_told_as_it_is(reason: Reason) -> None:
    world = World()
    world.end.set_result(Problem(reason, "Somebody else."))
    assert await world.look() == await world.look() == f"{reason}: Somebody else."
    assert world.runs == 2


async def test_an_end_breaks_it_off() -> None:
    world = World()
    await world.look()
    await world.migration.end()
    assert world.broken_off
    world.end = asyncio.get_running_loop().create_future()
    assert (await world.look()).startswith("SchemaMigrating")
    assert world.runs == 2
    await world.migration.end()


async def test_one_that_fails_for_weeks_is_tried_as_often_as_ever() -> None:
    world = World()
    world.end.set_result(Problem(Reason.DATABASE_ERROR, "lock timeout."))
    for runs in range(1, 1200):
        told = await world.look()
        assert world.runs == runs
        world.now += 300
    assert "tried again after 300 s" in told
