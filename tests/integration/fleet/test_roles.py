"""The database's roles as operations.md makes them: no more than LOGIN, and the workers' timeouts on theirs whoever it is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.integration.fleet.test_looks import OWNER
from tests.postgres.pgbouncer import PgBouncer
from tests.postgres.server import Postgres
from tests.unit.operator_rules.test_decision import SPEC
from warmup_core import database
from warmup_operator.postgres import Access, FleetDatabase
from warmup_operator.status import Problem, Reason

TIMEOUTS = {"lock_timeout": "2s", "idle_in_transaction_session_timeout": "5s"}


@pytest.fixture
async def name(postgres: Postgres) -> str:
    """An empty database of a plain role ``owner_NAME``; ``worker_NAME`` may only log in."""
    made = await postgres.create_empty()
    for role in (f"owner_{made}", f"worker_{made}"):
        await postgres.execute(f"CREATE ROLE {role} LOGIN")
    await postgres.execute(f"ALTER DATABASE {made} OWNER TO owner_{made}")
    return made


async def look(url: str, owner_url: str) -> None:
    """Each time as an operator does that has just started."""
    held = FleetDatabase()
    access = Access(database.parse_url(url), database.parse_url(owner_url))
    try:
        await held.observe(access, OWNER, SPEC, 1)
    finally:
        await held.close()


@asynccontextmanager
async def session(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def timeouts(url: str) -> dict[str, str]:
    """What a session that begins now has."""
    async with session(url) as connection:
        return {it: await connection.fetchval(f"SHOW {it}") for it in TIMEOUTS}


async def written(url: str) -> list[str]:
    """The transactions that wrote what stands on roles in this database."""
    async with session(url) as connection:
        rows = await connection.fetch(
            "SELECT s.xmin::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
            " WHERE d.datname = current_database()"
        )
        return [row[0] for row in rows]


async def test_a_plain_owner_and_a_plain_worker_suffice(postgres: Postgres, name: str) -> None:
    url, owner_url = postgres.url(name, f"worker_{name}"), postgres.url(name, f"owner_{name}")
    await look(url, owner_url)
    assert await timeouts(url) == TIMEOUTS
    assert await timeouts(owner_url) == dict.fromkeys(TIMEOUTS, "0"), "the owner's statements are its own"
    before = await written(url)
    await look(url, owner_url)
    assert await written(url) == before, "nothing is written again"


async def test_one_role_for_both_has_the_workers_timeouts(postgres: Postgres, name: str) -> None:
    url = postgres.url(name, f"owner_{name}")
    await look(url, url)
    assert await timeouts(url) == TIMEOUTS
    assert await timeouts(postgres.url("postgres", f"owner_{name}")) != TIMEOUTS, (
        "its other databases keep theirs"
    )


async def test_a_database_restored_on_a_new_server_has_the_grants_and_gets_the_timeouts(
    postgres: Postgres, name: str
) -> None:
    """A dump holds privileges and no settings of roles."""
    url, owner_url = postgres.url(name, f"worker_{name}"), postgres.url(name, f"owner_{name}")
    await look(url, owner_url)
    await postgres.execute(f"ALTER ROLE worker_{name} IN DATABASE {name} RESET ALL")
    assert await timeouts(url) != TIMEOUTS
    await look(url, owner_url)
    assert await timeouts(url) == TIMEOUTS


async def test_a_login_that_becomes_another_role_has_them_too(postgres: Postgres, name: str) -> None:
    """As logins of a short life do that a vault hands out; settings are taken at the login."""
    await postgres.execute(f"CREATE ROLE lease_{name} LOGIN IN ROLE owner_{name}")
    await postgres.execute(f"ALTER ROLE lease_{name} SET role = owner_{name}")
    url = postgres.url(name, f"lease_{name}")
    await look(url, url)
    assert await timeouts(url) == TIMEOUTS


async def test_through_a_pooler_they_are_the_roles_and_no_sessions(postgres: Postgres, name: str) -> None:
    url, owner_url = postgres.url(name, f"worker_{name}"), postgres.url(name, f"owner_{name}")
    with PgBouncer(postgres, 1, roles=(f"worker_{name}", f"owner_{name}")) as pooler:
        await look(pooler.url(url), pooler.url(owner_url))
    assert await timeouts(url) == TIMEOUTS
    assert await timeouts(owner_url) != TIMEOUTS


async def test_another_fleets_database_is_not_written_to(postgres: Postgres, name: str) -> None:
    url = postgres.url(name, f"owner_{name}")
    other = await postgres.create_empty()
    await postgres.execute(f"ALTER DATABASE {other} OWNER TO worker_{name}")
    elsewhere = postgres.url(other, f"worker_{name}")
    await look(elsewhere, elsewhere)
    await postgres.execute(f"ALTER ROLE worker_{name} IN DATABASE {other} RESET ALL")
    with pytest.raises(Problem) as caught:
        await look(elsewhere, url)
    assert caught.value.reason is Reason.DATABASE_URLS_DIFFER
    assert await timeouts(elsewhere) != TIMEOUTS
