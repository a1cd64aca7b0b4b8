"""What is sent all day long costs the same however large the fleet and however long the retention.

PostgreSQL is asked for its plans with 200,000 mailboxes and 98 partitions a table: no large table is read from end to end, and
a plan sees the few partitions of its days. Planning over all partitions once cost 18 ms a statement, ten times the rest.
"""

from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.plans.planner import MAILBOXES, Planned, Planner
from tests.integration.worker.fleet import about_noon
from tests.postgres.judge import judge
from warmup_core import fleet, partitions, planning
from warmup_core.limits import Kind, limit
from warmup_core.settings import FleetSettings
from warmup_core.types import MailState
from warmup_operator import demand
from warmup_worker import answering, claiming, limiting, pausing, roster, settling
from warmup_worker.claiming import Ask
from warmup_worker.clock import boottime
from warmup_worker.lease import Identity
from warmup_worker.roster import Portion
from warmup_worker.settling import Deferral, Outcome

ME = Identity(1, 1)
SCOPED = {Kind.USER: limit(100, 3600), Kind.DOMAIN: limit(1000, 86_400)}
ASKS = [Ask(n, n + 1, 0, most_a_day=500) for n in range(404, 800, 4)]


def small(planned: list[Planned], planner: Planner, most: int = 1) -> None:
    """No large table is read whole, and no more than ``most`` partitions of a table are seen."""
    for plan in planned:
        assert not plan.whole(planner.day), plan
        assert all(len(names) <= most for names in plan.partitions().values()), plan


async def test_a_claim_sees_its_mailboxes_and_its_day(planner: Planner) -> None:
    claim = claiming.claim(planner.connection, ME, 1, ASKS, 60, boottime(), day=planner.day)
    small(await planner.plans(claim), planner, most=3)  # a provider's limit looks two days back


async def test_a_claim_under_limits_of_users_and_domains_too(planner: Planner) -> None:
    await limiting.ensure(planner.connection, [f"user/{1 + n % 2000}" for n in range(400, 800)])
    asks = [Ask(ask.mailbox_id, ask.recipient_id, 0, scopes=("user/1",)) for ask in ASKS]
    claim = claiming.claim(planner.connection, ME, 1, asks, 60, boottime(), scoped=SCOPED, day=planner.day)
    small(await planner.plans(claim), planner)


async def test_why_a_claim_was_refused(planner: Planner) -> None:
    small(await planner.plans(claiming.explain(planner.connection, ME, 1, ASKS, planner.day)), planner)
    asks = {ask.mailbox_id: ask.most_a_day for ask in ASKS}
    shortages = limiting.shortages(planner.connection, asks, SCOPED, 86_400, planner.day)
    small(
        await planner.plans(shortages), planner, most=11
    )  # the last three days, those made ahead, the default


@pytest.fixture
async def filled_since(engine: AsyncEngine, database_url: str) -> AsyncIterator[Planner]:
    """A day's partition is new each day: to the planner it is empty until PostgreSQL analyses it again."""
    async with engine.begin() as connection:
        await fleet.own(
            connection,
            fleet.PROCESSES,
            generation=0,
            token="t0ken",
            settings=FleetSettings(),
            time_zone=about_noon(datetime.now(UTC))[0],
            paused=False,
        )
        day = await connection.scalar(text("SELECT fleet_day()"))
    await partitions.upkeep(engine.begin, day, 90)
    one = judge(database_url)
    async with one.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(
            text("VACUUM ANALYZE mails")
        )
    async with one.connect() as connection:
        await connection.execute(
            text(
                "INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at,"
                " settled_at) SELECT fleet_day(), n, n, 1, 0, 'sent', 1, 1, 1, now(), now() FROM generate_series(1, 20000) n"
            )
        )
        yield Planner(one, connection, day)
        await connection.rollback()
    await one.dispose()


async def never_the_whole_day(planner: Planner, work: Awaitable[object], condition: str) -> None:
    today = partitions.name_of("mails", planner.day)
    found = [how for plan in await planner.plans(work) for name, how in plan.conditions if name == today]
    assert found
    assert all(condition in how for how in found), found


async def test_outcomes_find_their_mails_though_the_day_was_empty_when_it_was_last_looked_at(
    filled_since: Planner,
) -> None:
    outcomes = [Outcome(n, filled_since.day, n, MailState.SENT, "dot", "250 ok", 0) for n in range(1, 50)]
    settle = settling.settle(filled_since.connection, 1, outcomes)
    await never_the_whole_day(filled_since, settle, "(id = ")


async def test_threads_are_found_though_the_day_was_empty_when_it_was_last_looked_at(
    filled_since: Planner,
) -> None:
    pairs = [(n, n + 1) for n in range(1, 50)]
    find = answering.find(filled_since.connection, filled_since.day, pairs)
    await never_the_whole_day(filled_since, find, "(mailbox_id = ")


async def test_outcomes_see_their_mails_and_their_day(planner: Planner) -> None:
    outcomes = [
        Outcome(n, planner.day, n // 4, MailState.SENT, "dot", "250 ok", rest_ms=0)
        for n in range(400, 80_000, 400)
    ]
    small(await planner.plans(settling.settle(planner.connection, 1, outcomes)), planner)
    deferrals = [Deferral(n, 2e9, "connect: refused", 0.0) for n in range(1, 400)]
    small(await planner.plans(settling.defer(planner.connection, ME, deferrals)), planner)


async def test_a_sweep_sees_the_last_days(planner: Planner) -> None:
    """Two days back, those made ahead, the default one. Once an hour it looks at all: an intent may be older."""
    since = planner.day - timedelta(days=2)
    small(await planner.plans(settling.sweep(planner.connection, 70, since)), planner, most=11)
    small(await planner.plans(settling.open_intents(planner.connection, ME, 70, since)), planner, most=11)


async def test_what_a_heartbeat_brings_is_found_by_when_it_changed(planner: Planner) -> None:
    since = await planner.scalar("SELECT clock_timestamp() - interval '5 s'")
    portion = Portion(1, 4, planning.Planner(planner.day, "UTC", FleetSettings()))
    small(await planner.plans(roster.changed(planner.connection, portion, since)), planner)
    small(await planner.plans(roster.last_change(planner.connection)), planner)
    small(await planner.plans(pausing.read(planner.connection, since)), planner)


async def test_planning_a_page_of_the_shard_sees_the_day_and_the_working_day_before(planner: Planner) -> None:
    portion = Portion(1, 4, planning.Planner(planner.day, "UTC", FleetSettings()))

    async def all_pages() -> None:
        pages: AsyncIterator[Any] = roster.everything(planner, portion)  # type: ignore[arg-type]
        assert [len(page) async for page in pages] == [roster.PAGE] * (MAILBOXES // 4 // roster.PAGE)

    small(await planner.plans(all_pages()), planner)
    small(await planner.plans(roster.named(planner.connection, portion, range(4, 400, 4))), planner)


async def test_the_operators_look_reads_the_mailboxes_once_and_only_todays_quotas(planner: Planner) -> None:
    """Once every mailbox has its quota of today, which is all day but for a moment."""
    row = await fleet.read(planner.connection)
    assert row is not None
    plans = await planner.plans(demand.read(planner.connection, row))
    [whole] = [plan for plan in plans if plan.whole(planner.day)]
    assert "behind" in whole.statement
    assert all(len(names) <= 1 for plan in plans for names in plan.partitions().values())


@pytest.mark.parametrize("sent", [True, False])
async def test_the_mail_to_answer_is_found_by_its_mailbox(planner: Planner, sent: bool) -> None:
    pairs = [(n + 1, n) if sent else (n, n + 1) for n in range(400, 440, 4)]
    small(await planner.plans(answering.find(planner.connection, planner.day, pairs)), planner)
