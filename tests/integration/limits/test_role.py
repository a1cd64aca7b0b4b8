"""A worker's role of the release before rate limits gets what it lacks, and no more."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.postgres.judge import judge
from tests.postgres.server import Postgres
from warmup_core import database, schema


async def test_a_role_with_the_grants_of_before_is_given_the_buckets(
    postgres: Postgres, engine: AsyncEngine
) -> None:
    role = f"worker_{engine.url.database}"
    await postgres.execute(f"CREATE ROLE {role} LOGIN")
    async with engine.begin() as connection:
        await schema.grant_worker(connection, role)
        await connection.execute(text(f"REVOKE ALL ON rate_limits FROM {role}"))
    async with engine.begin() as connection:
        await schema.grant_worker(connection, role)
    url = database.parse_url(postgres.url(str(engine.url.database), role))
    restricted = judge(url)
    async with restricted.begin() as connection:
        await connection.execute(text("INSERT INTO rate_limits (scope) VALUES ('fleet/minute')"))
        await connection.execute(text("UPDATE rate_limits SET tat = clock_timestamp()"))
    with pytest.raises(DBAPIError, match="permission denied"):
        async with restricted.begin() as connection:
            await connection.execute(text("DELETE FROM rate_limits"))
    await restricted.dispose()
