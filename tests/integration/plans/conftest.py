"""A fleet of 200,000 mailboxes with the partitions that a retention of 90 days keeps, made once and only read."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.plans.planner import MAILBOXES, Planner
from tests.integration.worker.fleet import about_noon
from tests.postgres.judge import judge
from tests.postgres.server import Postgres
from warmup_core import partitions

_ROWS = [
    "SET LOCAL session_replication_role = replica",  # the rows are right: no foreign key is looked up
    "INSERT INTO users (name) SELECT 'user-' || n FROM generate_series(1, 2000) n",
    "INSERT INTO mailboxes (user_id, address, smtp_host, smtp_port, smtp_security, ramp_on, changed_at)"
    " SELECT 1 + n % 2000, 'box' || n || '@domain' || n % 3000 || '.example', 'mail.example', 587, 'starttls',"
    f" fleet_day() - n % 2, now() - interval '1 hour' FROM generate_series(1, {MAILBOXES}) n",
    f"INSERT INTO quotas (day, mailbox_id, quota, spent) SELECT fleet_day(), n, 30, 1 FROM generate_series(1, {MAILBOXES}) n",
    # One mailbox in four has sent today; some hundred mails are under way.
    "INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at, settled_at)"
    f" SELECT fleet_day(), nextval('mail_ids'), n, n % {MAILBOXES} + 1, 0, CASE WHEN n % 400 = 0 THEN 'intent' ELSE 'sent' END,"
    " 1, 1, 1, now() - n % 3600 * interval '1 s', CASE WHEN n % 400 > 0 THEN now() END"
    f" FROM generate_series(4, {MAILBOXES}, 4) n",
    "INSERT INTO workers VALUES (1, nextval('incarnations'), now() + interval '1 day')",
]


async def _fill(url: str) -> None:
    engine = judge(url)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO fleet (owner_cluster, owner_namespace, owner_name, owner_uid, token, settings, worker_count,"
                " time_zone) VALUES ('cluster', 'mail', 'main', 'uid', 't0ken', '{}', 4, :zone)"
            ),
            {"zone": about_noon(datetime.now(UTC))[0]},  # no midnight lies between the rows and their plans
        )
        today: date = await connection.scalar(text("SELECT fleet_day()"))
        for table in partitions.PARTITIONED:
            for offset in range(-90, partitions.DAYS_AHEAD + 1):
                day = today + timedelta(days=offset)
                await connection.execute(
                    text(
                        f"CREATE TABLE {partitions.name_of(table, day)} PARTITION OF {table}"
                        f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
                    )
                )
        for statement in _ROWS:
            await connection.execute(text(statement))
        await connection.execute(text("ANALYZE"))
    await engine.dispose()


@pytest.fixture(scope="module")
def large_url(postgres: Postgres) -> str:
    url = asyncio.run(postgres.create())
    asyncio.run(_fill(url))
    return url


@pytest.fixture
async def planner(large_url: str) -> AsyncIterator[Planner]:
    engine: AsyncEngine = judge(large_url)
    async with engine.connect() as connection:
        day = await connection.scalar(text("SELECT fleet_day()"))
        yield Planner(engine, connection, day)
        await connection.rollback()
    await engine.dispose()
