"""What concerns a large part of the shard is done in pieces: heartbeats and sends go on in between."""

import asyncio

import pytest

from tests.unit.worker.parts import Parts
from tests.unit.worker.test_shard import row
from warmup_worker.keeper import rest_of_the_pool


async def test_a_shard_is_forgotten_in_pieces() -> None:
    parts = Parts()
    parts.shard.put([row(one) for one in range(5000)], 0.0)
    left = []

    async def others() -> None:
        while parts.shard.mailboxes:
            left.append(len(parts.shard.mailboxes))
            await asyncio.sleep(0)

    going = asyncio.create_task(others())
    await asyncio.sleep(0)
    await parts.keeper._follow(None)
    await going
    assert left == [5000, 4000, 3000, 2000, 1000]


@pytest.mark.parametrize(("took", "rests"), [(0.1, 10.0), (4.0, 120.0)])
def test_a_pool_that_takes_long_to_read_is_read_less_often(took: float, rests: float) -> None:
    assert rest_of_the_pool(took) == rests
