"""``warmup report``: the day of a fleet with more reasons than a status has room for, and a worker that is not there."""

import json
import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.command import warmup
from tests.integration.worker.fleet import about_noon
from warmup_core import fleet
from warmup_core.settings import FleetSettings

MAILBOXES, HELD = 14, 12
_DAY = [
    "UPDATE fleet SET worker_count = 3, epoch = 7",
    "INSERT INTO workers (number, incarnation, lease_until, host, version) VALUES"
    " (1, nextval('incarnations'), now() + interval '1 hour', 'main-1', '1.2.3'),"
    " (2, nextval('incarnations'), now() - interval '90 s', 'main-2', '1.2.2')",
    "INSERT INTO users (name) VALUES ('ann')",
    "INSERT INTO mailboxes (id, user_id, address, smtp_host, smtp_port, smtp_security, hold_reason, not_before)"
    " SELECT n, (SELECT id FROM users), 'box' || n || '@tea.example', 'mail.example', 587, 'starttls',"
    f" CASE WHEN n <= {HELD} THEN 'rule-' || n || ': these words' END, now() + interval '2 days'"
    f" FROM generate_series(1, {MAILBOXES}) n",
    "INSERT INTO quotas (day, mailbox_id, quota, spent, sent, in_doubt)"
    f" SELECT fleet_day(), n, 5, 3, 1, 1 FROM generate_series(1, {MAILBOXES}) n",
]


@pytest.fixture
async def day(engine: AsyncEngine) -> None:
    """Fourteen mailboxes of three workers, five mails each: one sent, one in doubt, one in flight."""
    async with engine.begin() as connection:
        await fleet.own(
            connection,
            fleet.Owner("cluster", "mail", "main", "uid"),
            generation=1,
            token="t0ken",
            settings=FleetSettings(),
            time_zone=about_noon(datetime.now(UTC))[0],  # the day does not turn before the report is made
            paused=False,
        )
        for statement in _DAY:
            await connection.execute(text(statement))


async def test_a_person_reads_mails_workers_and_every_reason(database_url: str, day: None) -> None:
    done = await warmup("report", url=database_url)
    assert (done.code, done.err) == (0, "")
    head, workers, reasons, mended = (part.splitlines() for part in done.out.split("\n\n"))
    assert "warmup mailboxes release --reason REASON" in mended[0]
    lines = {line[:14].strip(): line[14:] for line in head}
    assert "mail/main" in lines["fleet"]
    assert "epoch 7" in lines["fleet"]
    assert lines["mailboxes"] == "14 enrolled, 14 active, 12 held, 10 without a live owner"
    assert (lines["due"], lines["sent"], lines["in doubt"], lines["in flight"]) == (
        "70",
        "14 (20%)",
        "14",
        "14",
    )
    assert [re.sub(r"for \d+ s", "for S s", line).split() for line in workers[1:]] == [
        ["1", "live", "main-1", "1.2.3", "4", "20", "4", "4", "4"],
        ["2", "silent", "for", "S", "s", "main-2", "1.2.2", "5", "25", "5", "5", "5"],
        ["3", "never", "seen", "-", "-", "5", "25", "5", "5", "5"],
    ]
    assert len(reasons) == 1 + HELD
    assert {line.split()[1] for line in reasons[1:]} == {f"rule-{n}" for n in range(1, HELD + 1)}


async def test_a_program_reads_the_same(database_url: str, day: None) -> None:
    report = json.loads((await warmup("report", "--json", url=database_url)).out)
    today = report["today"]
    assert today["due"] == 70
    assert today["due"] == sum(
        today[part] for part in ("sent", "inDoubt", "inFlight", "scheduled", "deferred", "skipped")
    )
    assert [(it["number"], it["live"], it["mailboxes"]) for it in report["workers"]] == [
        (1, True, 4),
        (2, False, 5),
        (3, False, 5),
    ]
    assert len(report["reasons"]) == HELD
    assert report["mailboxes"]["unowned"] == 10


async def test_a_database_that_nobody_owns_is_named(database_url: str) -> None:
    done = await warmup("report", url=database_url)
    assert (done.code, done.out) == (1, "")
    assert "Nobody owns this database yet" in done.err
