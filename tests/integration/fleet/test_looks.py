"""What a look asks of the database, and what it does not ask again."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.fleet.scene import enrol
from tests.postgres.judge import judge
from tests.postgres.server import Postgres
from tests.unit.operator_rules.test_decision import SPEC
from tests.waiting import until
from warmup_core import database
from warmup_core.fleet import Owner
from warmup_operator.postgres import Access, FleetDatabase, View
from warmup_operator.status import Problem, Reason

OWNER = Owner("cluster", "mail", "main", "uid")

Look = Callable[[], Awaitable[View]]


@pytest.fixture
async def look(database_url: str) -> AsyncIterator[Look]:
    """Looks of one operator at this test's database."""
    url = database.parse_url(database_url)
    held = FleetDatabase()
    yield lambda: held.observe(Access(url, url), OWNER, SPEC, 1)
    await held.close()


async def test_mailboxes_are_counted_again_where_some_have_come_or_gone_and_not_while_some_pause(
    engine: AsyncEngine, look: Look
) -> None:
    await enrol(engine, 4)
    first = await look()
    assert first.census.mailboxes == 4
    async with engine.begin() as connection:
        held = "not_before = now() + interval '1 hour', hold_reason = 'a limit'"
        await connection.execute(text(f"UPDATE mailboxes SET {held} WHERE id % 2 = 0"))
    second = await look()
    assert second.demand.mailboxes.paused == 2
    assert second.census is first.census
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE mailboxes SET active = false WHERE id = 1"))
    assert (await look()).census.mailboxes == 3


async def test_a_migration_may_take_longer_than_a_look_and_than_a_looks_statement(postgres: Postgres) -> None:
    name = await postgres.create_empty()
    url = database.parse_url(postgres.url(name))
    engine = judge(url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE let_go ()"))
        await connection.execute(
            text(
                "CREATE FUNCTION held() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
                " WHILE NOT EXISTS (SELECT FROM let_go) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$"
            )
        )
        await connection.execute(
            text("CREATE EVENT TRIGGER held ON ddl_command_start EXECUTE FUNCTION held()")
        )
    held = FleetDatabase(statement_seconds=0.5, patience=0.2)

    async def look() -> View | Problem:
        try:
            return await held.observe(Access(url, url), OWNER, SPEC, 1)
        except Problem as problem:
            return problem

    async def outlasts() -> bool:
        """One statement has run for longer than three of a look may, and a look says so. A busy server may fail a look, too."""
        seen = await look()
        assert isinstance(seen, Problem)
        async with engine.connect() as connection:
            age = "SELECT max(clock_timestamp() - query_start) > interval '1.5 s' FROM pg_stat_activity"
            others = "datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()"
            old = await connection.scalar(text(f"{age} WHERE {others}"))
        return bool(old) and seen.reason is Reason.SCHEMA_MIGRATING

    await until(outlasts, "the migration outlasts looks and their statements")
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO let_go DEFAULT VALUES"))

    async def current() -> bool:
        return isinstance(await look(), View)

    await until(current, "the schema is there")
    await held.close()
    await engine.dispose()
