"""Today's account in one pass: every mail of every quota in exactly one part, also among 100,000 mailboxes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.fleet.scene import enrol, live, silence
from warmup_core import capacity, fleet
from warmup_core.capacity import ASSUMED_SEND, Measured
from warmup_core.fleet import FleetRow, Owner
from warmup_core.settings import FleetSettings
from warmup_core.sizing import Need, Present, Rules, size
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


async def test_a_hundred_thousand_mailboxes_of_a_thousand_users_are_counted_in_one_pass_and_want_50_workers(
    engine: AsyncEngine,
) -> None:
    await enrol(engine, 100_000, users=1_000)
    row = await own(engine)
    await execute(
        engine,
        "INSERT INTO quotas (day, mailbox_id, quota, spent, sent)"
        f" SELECT DATE '{demand.today(row)}', id, 30, id % 30, id % 30 FROM mailboxes",
    )
    answer = await read(engine, row)
    assert answer.mailboxes.active == 100_000
    assert parts(answer)["due"] == 3_000_000
    need = Need(
        answer.mailboxes.active, answer.mails, capacity.of_settings(row.settings, answer.measured).mails
    )
    assert need == Need(100_000, 3_000_000, 540_000)
    assert size(need, Rules(), Present(0, 0, row.at)).wanted == 50


async def test_a_worker_can_do_what_live_workers_measured_and_a_silent_or_leaving_one_does_not_count(
    engine: AsyncEngine,
) -> None:
    await enrol(engine, 1)
    row = await own(engine, workers=3)
    await live(engine, 1, 2, 3, 4)
    answer = await read(engine, row)
    assert (answer.measured, answer.send) == (None, ASSUMED_SEND)
    for number, rate in (1, 2.0), (2, 4.0), (3, 90.0), (4, 90.0):
        await execute(
            engine, f"UPDATE workers SET send_seconds = 5, sends_per_second = {rate} WHERE number = {number}"
        )
    await silence(engine, 3)
    row = await own(engine, workers=3)
    answer = await read(engine, row)
    assert answer.measured == Measured(answer.send, 3.0)
    assert answer.send == timedelta(seconds=5)


async def test_mails_of_mailboxes_that_take_no_part_want_no_worker(engine: AsyncEngine) -> None:
    await enrol(engine, 3)
    row = await own(engine)
    await quota(engine, row, 1)
    await quota(engine, row, 2)
    await execute(engine, "UPDATE mailboxes SET active = false WHERE id = 1")
    answer = await read(engine, row)
    assert (answer.today.due, answer.mails) == (30, 20)


@pytest.mark.parametrize("planned", [True, False])
async def test_a_mailbox_with_hours_of_its_own_is_counted_by_them(engine: AsyncEngine, planned: bool) -> None:
    """One as the fleet, one whose window was over at six, one that has the day off; it is noon."""
    await enrol(engine, 3)
    row = await own(engine)
    await execute(engine, "UPDATE mailboxes SET window_from = 0, window_to = 21600 WHERE id = 2")
    off = f"{noon(row) + timedelta(days=1):%a}"
    await execute(engine, f"UPDATE mailboxes SET days = '{off}' WHERE id = 3")
    if planned:
        await quota(engine, row, 1)
        await quota(engine, row, 2)
        await quota(engine, row, 3, quota=0)
    answer = await read(engine, row, noon(row))
    assert (parts(answer)["due"], answer.mails) == (20, 20)
    assert (answer.today.scheduled, answer.today.skipped) == (10, 10)
    assert answer.today.behind == 4 + 10


async def test_what_holds_mailboxes_is_told_by_reason_the_widest_first(engine: AsyncEngine) -> None:
    await enrol(engine, 20)
    row = await own(engine)
    refused = "login-refused: the login is refused"
    for reason, until, which in (
        (refused, "infinity", "id <= 3"),
        ("connect: timed out", "infinity", "id = 4"),
        ("connect: over", "-infinity", "id = 5"),
    ):
        await execute(
            engine, f"UPDATE mailboxes SET hold_reason = '{reason}', not_before = '{until}' WHERE {which}"
        )
    answer = (await read(engine, row)).mailboxes
    assert answer.paused == 4
    assert [(it.reason, it.mailboxes) for it in answer.top_reasons] == [("login-refused", 3), ("connect", 1)]
    assert answer.top_reasons[0].words == refused
    await execute(
        engine,
        "INSERT INTO pauses (scope, key, until, rule, reason)"
        " SELECT 'domain', lower(substring(address FROM '[^@]*$')), 'infinity', 'domain-blocked', '554 blocked'"
        " FROM mailboxes WHERE id = 1",
    )
    answer = (await read(engine, row)).mailboxes
    [paused] = [it for it in answer.top_reasons if it.reason == "domain-blocked"]
    assert paused.mailboxes >= 1
    assert paused.words.startswith("domain ")


async def test_of_many_reasons_the_ten_widest_are_told(engine: AsyncEngine) -> None:
    """Twelve rules hold two or three mailboxes each, and a pause of their domain all thirty."""
    await enrol(engine, 30)
    row = await own(engine)
    await execute(
        engine, "UPDATE mailboxes SET hold_reason = 'rule-' || id % 12 || ': no', not_before = 'infinity'"
    )
    await execute(
        engine,
        "INSERT INTO pauses (scope, key, until, rule, reason)"
        " VALUES ('domain', 'example.org', 'infinity', 'domain-blocked', '554 blocked')",
    )
    answer = (await read(engine, row)).mailboxes
    assert answer.paused == 30
    told = [(it.reason, it.mailboxes) for it in answer.top_reasons]
    assert told[:7] == [("domain-blocked", 30), *((f"rule-{n}", 3) for n in range(1, 7))]
    assert told[7:] == [("rule-0", 2), ("rule-10", 2), ("rule-11", 2)]


async def test_mailboxes_that_wait_for_their_oauth_application_are_counted_under_its_trouble(
    engine: AsyncEngine,
) -> None:
    await enrol(engine, 6)
    row = await own(engine)
    for number in range(1, 7):
        await quota(engine, row, number)
    await execute(
        engine,
        "INSERT INTO oauth_tokens (mailbox_id, username, application, key_id, nonce, ciphertext)"
        " SELECT id, address, CASE WHEN id <= 4 THEN 'google' ELSE 'other' END, 'k', int8send(id) || '\\x00000000'::bytea, ''"
        " FROM mailboxes WHERE id <= 5",
    )
    await execute(
        engine,
        "INSERT INTO pauses (scope, key, until, rule, reason)"
        " VALUES ('application', 'google', clock_timestamp() + interval '1 min', 'oauth-application', 'invalid_client')",
    )
    answer = await read(engine, row)
    assert answer.mailboxes.paused == 4
    assert answer.today.deferred == 40
    [reason] = answer.mailboxes.top_reasons
    assert (reason.reason, reason.mailboxes) == ("oauth-application", 4)
    assert reason.words == "application google: invalid_client"


async def test_yesterday_is_never_rounded_up(engine: AsyncEngine) -> None:
    await enrol(engine, 2)
    row = await own(engine)
    assert (await read(engine, row)).yesterday is None
    await execute(
        engine,
        "INSERT INTO quotas (day, mailbox_id, quota, spent, sent, in_doubt) VALUES"
        f" (DATE '{demand.today(row)}' - 1, 1, 2000, 1999, 1999, 0), (DATE '{demand.today(row)}' - 1, 2, 2000, 2000, 2000, 0)",
    )
    assert (await read(engine, row)).yesterday == "99.97%"
