"""What concerns a large part of the shard is done in pieces: heartbeats and sends go on in between."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from tests.unit.worker.test_shard import planned, row
from warmup_worker.clock import DatabaseClock
from warmup_worker.keeper import Keeper
from warmup_worker.pool import Members
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


@pytest.mark.parametrize(("takes", "rests"), [(0.1, 10.0), (4.0, 120.0)])
async def test_a_pool_that_takes_long_to_read_is_read_less_often_while_changes_go_on(
    takes: float, rests: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, readings, nobody = [1000.0], [], cast(Any, MagicMock())

    async def change(_: object) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=now[0])  # another one each time

    async def fingerprint(_: object) -> tuple[int, int | None]:
        return 0, None

    async def pool(_: object) -> Members:
        now[0] += takes
        readings.append(now[0])
        return Members.of([])

    monkeypatch.setattr("warmup_worker.keeper.boottime", lambda: now[0])
    for name, instead in {"last_change": change, "fingerprint": fingerprint, "pool": pool}.items():
        monkeypatch.setattr(f"warmup_worker.keeper.roster.{name}", instead)
    keeper = Keeper(nobody, nobody, planned(), DatabaseClock(), Timing(), 1, asyncio.Event(), nobody)
    while len(readings) < 3:
        await keeper._keep_pool(nobody, patient=True)
        now[0] += 1
    [first, second, third] = readings
    assert rests < second - first - takes <= rests + 1.5
    assert rests < third - second - takes <= rests + 1.5
