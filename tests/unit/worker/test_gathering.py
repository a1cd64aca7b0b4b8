"""A batch waits a moment for company, and not for more once there is enough of it."""

import asyncio

import pytest

from warmup_worker.gathering import ENOUGH, Gathering

HOUR = 3600.0
DEADLINE = 120.0


async def test_enough_of_them_wait_no_longer() -> None:
    gathering = Gathering(HOUR)
    for waiting in range(1, ENOUGH + 1):
        gathering.came(waiting)
    async with asyncio.timeout(DEADLINE):
        await gathering.batch()


async def test_a_few_wait_for_the_moment_and_no_longer() -> None:
    gathering = Gathering(0.001)
    gathering.came(1)
    async with asyncio.timeout(DEADLINE):
        await gathering.batch()


@pytest.mark.parametrize("waiting", [1, ENOUGH])
async def test_who_was_taken_begins_no_other_batch(waiting: int) -> None:
    gathering = Gathering(0.001)
    gathering.came(waiting)
    await gathering.batch()
    another = asyncio.create_task(gathering.batch())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not another.done()
    gathering.came(1)
    async with asyncio.timeout(DEADLINE):
        await another
