"""``warmup plan`` for a running fleet, and as a check whose exit code a pull request obeys."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.command import warmup
from tests.integration.fleet.scene import enrol, live
from tests.unit.planning.test_command import MANIFEST
from warmup_cli import plan_subject
from warmup_cli.connection import Source, Unavailable
from warmup_cli.plan_subject import Subject
from warmup_core import fleet
from warmup_core.fleet import PROCESSES
from warmup_core.plan import Kind
from warmup_core.settings import FleetSettings
from warmup_core.types import Refused


async def own(engine: AsyncEngine, workers: int) -> None:
    async with engine.begin() as connection:
        await fleet.own(
            connection,
            PROCESSES,
            generation=0,
            token="t0ken",
            settings=FleetSettings(ramp_start=2, ramp_step=2, per_hour_limit=100),
            time_zone="UTC",
            paused=False,
        )
        await connection.execute(text("UPDATE fleet SET worker_count = :workers"), {"workers": workers})


async def subject(url: str, manifest: str | None = None, **options: Any) -> Subject:
    return await plan_subject.find(Source(None, {"DATABASE_URL": url}), manifest, options)


async def test_the_running_fleet_its_mailboxes_and_what_its_workers_measured(
    engine: AsyncEngine, database_url: str
) -> None:
    await enrol(engine, 100, users=5)
    await own(engine, 2)
    await live(engine, 1, 2)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE workers SET send_seconds = 0.5, sends_per_second = 50"))
    done = await warmup("plan", "--json", url=database_url)
    plan = json.loads(done.out)
    assert (done.code, plan["subject"]) == (3, "the running fleet -/fleet")
    assert plan["mailboxes"] == {"total": 100, "users": 5, "domains": 1, "hosts": 1, "mailsPerDay": 30}
    assert (plan["mails"]["perDay"], plan["mails"]["today"]) == (3_000, 200)
    assert (plan["worker"]["sendSeconds"], plan["worker"]["sendIs"]) == (0.5, "measured")
    assert plan["worker"]["reason"] == "50 sends at a time, 500ms each, at most 25 of them at one mail host"
    assert (plan["workers"]["wanted"], plan["workers"]["by"]) == (2, "Fixed")
    assert plan["staying"]["domain"]["percent"] == 100
    assert [it["name"] for it in plan["shortfalls"]] == ["limits.perHour"]


async def test_options_and_a_manifest_change_what_the_running_fleet_says(
    engine: AsyncEngine, database_url: str
) -> None:
    await enrol(engine, 100, users=5)
    await own(engine, 2)
    changed = await subject(database_url, mails=3, workers="none", max_mailboxes_per_worker="10", users=1)
    assert (changed.settings.emails_per_mailbox_per_day, changed.settings.per_hour_limit) == (3, 100)
    assert (changed.rules.fixed, changed.rules.max_mailboxes_per_worker) == (None, 10)
    assert (changed.enrolled.users, len(changed.enrolled.domains), changed.enrolled.today) == ((100,), 1, 200)
    proposed = await subject(database_url, MANIFEST)
    assert (proposed.title, proposed.settings.per_hour_limit) == ("the manifest of mail/main", 10_000)
    assert (proposed.enrolled.mailboxes, proposed.told) == (100, "assumed")
    assert (await subject(database_url, MANIFEST, mailboxes=7)).enrolled.mailboxes == 7


async def test_a_mailbox_with_its_own_number_and_one_that_takes_no_part(
    engine: AsyncEngine, database_url: str
) -> None:
    await enrol(engine, 10)
    await own(engine, 1)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE mailboxes SET quota_override = 4 WHERE id = 1"))
        await connection.execute(text("UPDATE mailboxes SET active = false WHERE id = 2"))
        await connection.execute(
            text("UPDATE mailboxes SET window_from = 79200, window_to = 3600 WHERE id = 3")
        )
    found = await subject(database_url)
    assert found.enrolled.alike == {
        Kind("smtp.example.org"): 7,
        Kind("smtp.example.org", 4): 1,
        Kind("smtp.example.org", None, timedelta(hours=3)): 1,
    }
    assert sum(found.enrolled.users) == sum(found.enrolled.domains) == sum(found.enrolled.hosts) == 9


async def test_a_database_without_a_fleet_or_mailboxes_says_what_to_give(
    engine: AsyncEngine, database_url: str
) -> None:
    with pytest.raises(Unavailable, match="No fleet owns this database yet"):
        await subject(database_url)
    await own(engine, 1)
    with pytest.raises(Refused, match="has no active mailbox"):
        await subject(database_url)


async def test_the_exit_codes_of_a_check() -> None:
    company = ("plan", "-f", "-", "--mailboxes", "100000")
    assert (await warmup(*company, "--per-hour", "125119", stdin=MANIFEST)).code == 0
    refused = await warmup(*company, "--mails", "0", stdin=MANIFEST)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("warmup: The WarmupFleet cannot be used.\n  --mails: ")
