"""Today's account in one pass: every mail of every quota in exactly one part, also among 100,000 mailboxes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.fleet.scene import enrol
from warmup_core import fleet
from warmup_core.fleet import FleetRow, Owner
from warmup_core.settings import FleetSettings
from warmup_operator import demand
from warmup_operator.demand import Demand


async def own(engine: AsyncEngine, workers: int = 1, **settings: Any) -> FleetRow:
    async with engine.begin() as connection:
        await fleet.own(
            connection,
            Owner("c", "mail", "main", "uid"),
            generation=1,
            token="t0ken",
            settings=FleetSettings(emails_per_mailbox_per_day=10, ramp_type="None", **settings),
            time_zone="UTC",
            paused=False,
        )
        await connection.execute(text("UPDATE fleet SET worker_count = :workers"), {"workers": workers})
        row = await fleet.read(connection)
    assert row is not None
    return row


async def read(engine: AsyncEngine, row: FleetRow, at: datetime | None = None) -> Demand:
    async with engine.connect() as connection:
        return await demand.read(connection, replace(row, at=at) if at else row)


async def quota(engine: AsyncEngine, row: FleetRow, mailbox: int, **columns: int) -> None:
    values = {"quota": 10, "spent": 0, "sent": 0, "in_doubt": 0, **columns}
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO quotas (day, mailbox_id, quota, spent, sent, in_doubt)"
                " VALUES (:day, :mailbox, :quota, :spent, :sent, :in_doubt)"
            ),
            {**values, "mailbox": mailbox, "day": demand.today(row)},
        )


async def execute(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


def parts(answer: Demand) -> dict[str, int]:
    today = answer.today
    assert today.due == sum(
        (today.sent, today.in_doubt, today.in_flight, today.scheduled, today.deferred, today.skipped)
    )
    return {
        name: value for name, value in today.model_dump().items() if value and name not in {"day", "behind"}
    }


def noon(row: FleetRow) -> datetime:
    return datetime.combine(demand.today(row), datetime.min.time(), UTC) + timedelta(hours=12)


async def test_every_part_is_told_from_the_others(engine: AsyncEngine) -> None:
    await enrol(engine, 6)
    row = await own(engine)
    await quota(engine, row, 1, spent=4, sent=2, in_doubt=1)
    await quota(engine, row, 2, spent=1, sent=1)
    await quota(engine, row, 3)
    await quota(engine, row, 99, spent=3, sent=3)  # a mailbox that was removed during the day
    await execute(engine, "UPDATE mailboxes SET hold_reason = 'login', not_before = 'infinity' WHERE id = 2")
    await execute(engine, "UPDATE mailboxes SET hold_reason = 'login', not_before = '-infinity' WHERE id = 3")
    await execute(engine, "UPDATE mailboxes SET active = false WHERE id = 4")
    answer = await read(engine, row, noon(row))
    assert (answer.mailboxes.total, answer.mailboxes.active) == (6, 5)
    assert parts(answer) == {
        "due": 60,  # 1, 2, 3, 99 by their rows, 5 and 6 by the setting; 4 is inactive and has none
        "sent": 6,
        "in_doubt": 1,
        "in_flight": 1,
        "scheduled": 6 + 10 + 20,
        "deferred": 9,
        "skipped": 7,
    }


async def test_after_the_window_and_without_workers_the_rest_is_skipped(engine: AsyncEngine) -> None:
    await enrol(engine, 2)
    row = await own(engine, window_to_seconds=6 * 3600)
    assert parts(await read(engine, row, noon(row))) == {"due": 20, "skipped": 20}
    assert parts(await read(engine, row, noon(row) - timedelta(hours=7))) == {"due": 20, "scheduled": 20}
    row = await own(engine, workers=0, window_to_seconds=6 * 3600)
    assert parts(await read(engine, row, noon(row) - timedelta(hours=7))) == {"due": 20, "skipped": 20}


@pytest.mark.parametrize(
    ("hours", "spent", "behind"), [(0, 0, 0), (12, 4, 0), (12, 3, 1), (12, 0, 4), (23.9, 8, 0), (24, 8, 2)]
)
async def test_a_mail_is_behind_when_its_slot_and_one_more_have_passed(
    engine: AsyncEngine, hours: float, spent: int, behind: int
) -> None:
    await enrol(engine, 1)
    row = await own(engine, window_to_seconds=12 * 3600)
    await quota(engine, row, 1, spent=spent, sent=spent)
    at = noon(row) - timedelta(hours=12) + timedelta(hours=hours / 2)
    assert (await read(engine, row, at)).today.behind == behind


async def test_a_hundred_thousand_mailboxes_are_counted_in_one_pass(engine: AsyncEngine) -> None:
    await enrol(engine, 100_000)
    row = await own(engine)
    await execute(
        engine,
        "INSERT INTO quotas (day, mailbox_id, quota, spent, sent) SELECT fleet_day(), id, 30, id % 30, id % 30 FROM mailboxes",
    )
    answer = await read(engine, row)
    assert answer.mailboxes.active == 100_000
    assert parts(answer)["due"] == 3_000_000
