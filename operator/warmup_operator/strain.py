"""How near a fleet's database is to its limits: connections in use, and rows whose day has no partition.

For Prometheus only; nothing is decided by it. Both counts are cheap: the server's list of sessions, and the default partitions,
which are empty while upkeep works. Behind PgBouncer the connections are the pooler's to the server: what the server feels.
Fails: DBAPIError; the caller puts it into words.
"""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core import database

_UNPARTITIONED = text("SELECT (SELECT count(*) FROM mails_default) + (SELECT count(*) FROM quotas_default)")


@dataclass(frozen=True)
class Strain:
    """``connections``: sessions at this database, whoever's; ``unpartitioned``: rows of ``mails`` and ``quotas`` in the default
    partitions."""

    connections: int
    unpartitioned: int


async def read(connection: AsyncConnection) -> Strain:
    """Count both."""
    unpartitioned = await connection.scalar(_UNPARTITIONED)
    return Strain(await database.sessions(connection), int(unpartitioned or 0))
