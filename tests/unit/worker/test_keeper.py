"""What concerns a large part of the shard is done in pieces: heartbeats and sends go on in between."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast
from unittest.mock import MagicMock

from tests.unit.worker.test_shard import planned, row
from warmup_worker.clock import DatabaseClock
from warmup_worker.keeper import Keeper
from warmup_worker.timing import Timing


async def test_a_shard_is_forgotten_in_pieces() -> None:
    shard, clock, nobody = planned(), DatabaseClock(), cast(Any, MagicMock())
    clock.set(datetime.now(UTC))
    shard.put([row(one) for one in range(5000)], 0.0)
    keeper = Keeper(nobody, nobody, shard, clock, Timing(), 1, asyncio.Event(), nobody)
    left = []

    async def others() -> None:
        while shard.mailboxes:
            left.append(len(shard.mailboxes))
            await asyncio.sleep(0)

    going = asyncio.create_task(others())
    await asyncio.sleep(0)
    await keeper._follow(None)
    await going
    assert left == [5000, 4000, 3000, 2000, 1000]
