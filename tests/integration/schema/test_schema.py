"""The schema: the migrations make what tables.py says, twice is harmless, and the promises are facts of the database."""

import asyncio
from datetime import date, timedelta
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.worker.fleet import as_database
from tests.postgres.judge import judge
from tests.postgres.server import Postgres
from tests.waiting import until
from warmup_core import database, partitions, schema
from warmup_core.tables import metadata
from warmup_core.types import Refused
from warmup_operator import strain

TODAY = date(2026, 11, 25)


def difference(connection: Connection) -> list[object]:
    def ours(name: str | None, kind: str, parents: object) -> bool:
        return kind != "table" or not str(name).startswith(("mails_", "quotas_", "alembic_"))

    context = MigrationContext.configure(connection, opts={"include_name": ours, "compare_type": True})
    return list(compare_metadata(context, metadata))


async def test_migrations_make_exactly_the_tables_of_the_metadata(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.run_sync(difference) == []


def test_the_revisions_are_those_that_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    script = ScriptDirectory.from_config(config)
    found = [it.revision for it in script.walk_revisions()]
    assert tuple(reversed(found)) == schema.REVISIONS
    assert script.get_current_head() == schema.REVISIONS[-1]


async def test_two_upgrades_at_once_never_both_migrate(postgres: Postgres) -> None:
    url = database.parse_url(postgres.url(await postgres.create_empty()))
    engines = [judge(url) for _ in range(2)]
    results = await asyncio.gather(*(schema.upgrade(engine) for engine in engines), return_exceptions=True)
    found = [result.found for result in results if isinstance(result, schema.SchemaVersion)]
    busy = [result for result in results if isinstance(result, schema.SchemaBusy)]
    assert len(found) + len(busy) == 2
    assert found.count(None) == 1
    assert (await schema.upgrade(engines[0])).found is not None
    for engine in engines:
        await engine.dispose()


async def test_a_schema_from_the_future_is_refused_by_name(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Refused, match="schema 9999, newer than this release"):
        await schema.upgrade(engine)


@pytest.mark.parametrize(
    ("statement", "promise"),
    [
        ("INSERT INTO quotas VALUES ('2026-11-25', 1, 3, 4)", "quotas_not_exceeded"),
        ("INSERT INTO quotas VALUES ('2026-11-25', 1, 3, 1, 1, 1)", "quotas_add_up"),
        (
            "INSERT INTO mails VALUES ('2026-11-25', 1, 1, 2, 0, 'lost', 1, 1, 1, now(), NULL, now())",
            "mails_state",
        ),
        (
            "INSERT INTO mails VALUES ('2026-11-25', 1, 1, 2, 0, 'intent', 1, 1, 1, now()),"
            " ('2026-11-25', 2, 1, 3, 1, 'intent', 1, 1, 1, now())",
            "mailbox_id_idx",
        ),
        ("INSERT INTO mails VALUES ('2026-11-25', 1, 1, 2, 0, 'sent', 1, 1, 1, now())", "mails_settled"),
    ],
)
async def test_the_database_itself_refuses_what_must_never_be(
    engine: AsyncEngine, statement: str, promise: str
) -> None:
    await partitions.upkeep(engine.begin, TODAY, 90)
    with pytest.raises(DBAPIError, match=promise):
        async with engine.begin() as connection:
            await connection.execute(text(statement))


async def test_rows_of_the_default_partition_move_into_the_days_own(engine: AsyncEngine) -> None:
    """F28, field-025: the emergency exit does not block the normal way."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO mails SELECT '2026-12-24', n, n, 2, 0, 'intent', 1, 1, 1, now() FROM generate_series(1, 100) n"
            )
        )
        assert (await strain.read(connection)).unpartitioned == 100
    done = await partitions.upkeep(engine.begin, TODAY, 90)
    assert done.rescued == 100
    assert "100 rows lay in mails_default and quotas_default" in str(done.alert)
    async with engine.begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM mails_20261224")) == 100
        assert await connection.scalar(text("SELECT count(*) FROM mails_default")) == 0
        assert (await strain.read(connection)).unpartitioned == 0
        assert (await strain.read(connection)).connections >= 1
    again = await partitions.upkeep(engine.begin, TODAY, 90)
    assert (again.made, again.alert) == ([], None)


async def test_an_upkeep_beside_claims_costs_none_of_them_a_deadlock(engine: AsyncEngine) -> None:
    done = asyncio.Event()

    async def claim(mailbox: int) -> int:
        claims = 0
        while not done.is_set():
            async with engine.begin() as connection:
                await connection.execute(
                    text("INSERT INTO quotas VALUES (:day, :m, 9) ON CONFLICT DO NOTHING"),
                    {"day": TODAY, "m": mailbox},
                )
                await connection.execute(
                    text(
                        "INSERT INTO mails VALUES (:day, nextval('mail_ids'), :m, 1, 0, 'sent', 1, 1, 1, now(), NULL, now())"
                    ),
                    {"day": TODAY, "m": mailbox},
                )
            claims += 1
        return claims

    async def keep() -> None:
        try:
            for later in range(2):
                await partitions.upkeep(engine.begin, TODAY + timedelta(days=9 * later), 3650)
        finally:
            done.set()

    async with asyncio.TaskGroup() as group:
        claimers = [group.create_task(claim(mailbox)) for mailbox in range(4)]
        group.create_task(keep())
    assert all(claimer.result() for claimer in claimers)


async def test_partitions_older_than_the_retention_go(engine: AsyncEngine) -> None:
    await partitions.upkeep(engine.begin, date(2026, 8, 1), 90)
    done = await partitions.upkeep(engine.begin, TODAY, 90)
    assert "mails_20260801" in done.dropped
    assert not any(name.endswith("20261124") for name in done.dropped)


async def test_a_workers_role_can_work_and_nothing_else(postgres: Postgres, engine: AsyncEngine) -> None:
    role = f"worker_{engine.url.database}"
    await postgres.execute(f"CREATE ROLE {role} LOGIN")
    async with engine.begin() as connection:
        await schema.grant_worker(connection, role)
    url = database.parse_url(postgres.url(str(engine.url.database), role))
    restricted = judge(url)
    async with restricted.begin() as connection:
        await connection.execute(text("UPDATE mailboxes SET not_before = now()"))
        await connection.execute(text("SELECT * FROM v_quota_today"))
    for forbidden in (
        "DELETE FROM mails",
        "UPDATE fleet SET epoch = 2",
        "UPDATE mailboxes SET address = 'x'",
        "UPDATE credentials SET username = 'x'",
    ):
        with pytest.raises(DBAPIError, match="permission denied"):
            async with restricted.begin() as connection:
                await connection.execute(text(forbidden))
    await restricted.dispose()


async def test_a_worker_that_falls_silent_in_a_transaction_loses_its_session_and_its_locks(
    postgres: Postgres, engine: AsyncEngine
) -> None:
    """F26. The timeouts stand on the role, where a pooler cannot lose them; shorter here, once they have been read."""
    name = str(engine.url.database)
    role = f"silent_{name}"
    await postgres.execute(f"CREATE ROLE {role} LOGIN")
    own = as_database(postgres.url(name, role))
    await own.bound_waits()
    await own.close()
    async with engine.begin() as connection:
        await schema.grant_worker(connection, role)
        await connection.execute(text("INSERT INTO rate_limits (scope, tat) VALUES ('minute', now())"))

    async def session() -> asyncpg.Connection:
        return await asyncpg.connect(postgres.url(name, role))

    first = await session()
    assert await first.fetchval("SHOW lock_timeout") == "2s"
    assert await first.fetchval("SHOW idle_in_transaction_session_timeout") == "5s"
    await first.close()
    here = f"ALTER ROLE {role} IN DATABASE {name} SET"
    await postgres.execute(f"{here} lock_timeout = '100ms'")
    await postgres.execute(f"{here} idle_in_transaction_session_timeout = '10min'")

    silent, other = await session(), await session()
    lock = "SELECT FROM rate_limits FOR UPDATE"
    await silent.execute(f"BEGIN; {lock}")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await other.execute(lock)
    # From now on it may end: before, a stall of this test would have ended it, too.
    await silent.execute("SET idle_in_transaction_session_timeout = '800ms'")

    async def free() -> bool:
        try:
            await other.execute(lock)
        except asyncpg.LockNotAvailableError:
            return False
        return True

    await until(free, "the lock of the silent session is free")
    await until(silent.is_closed, "the silent session is ended")
    await other.close()


async def test_a_tests_own_sessions_are_without_the_timeouts_of_their_role(database_url: str) -> None:
    """Where the role is that of the workers under test, too: the judge may stand still in a transaction."""
    own = as_database(database_url)
    await own.bound_waits()
    await own.close()
    engine = judge(database_url)
    async with engine.connect() as connection:
        for name in ("lock_timeout", "idle_in_transaction_session_timeout"):
            assert await connection.scalar(text(f"SHOW {name}")) == "0"
    await engine.dispose()
