"""The worker's way to PostgreSQL: short transactions, each with its own deadline, every failure one exception.

A transaction that raised may have been committed: the reply to COMMIT can be lost. So whoever writes here writes such that
writing again, or not acting on what was perhaps written, is right. Three connections are a worker's whole budget: one is the
heartbeat's own and waits for nothing; claims, outcomes and readings of the shard, which come in short pieces, share two.
Fails: ``Unreachable`` with the reason, ``Rejected`` for data that the database will never take; a mistake of ours (a misused
result, a wrong argument) is neither and comes through.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core import database
from warmup_core.database import Unreachable
from warmup_core.types import Refused

SHARED, HEARTBEAT = 2, 1
"""Connections: for all of a worker's work, and for its heartbeat."""
_READ_SECONDS = 30.0


class Rejected(Exception):
    """The database understood and said no (SQLSTATE classes 22 and 23): trying the same again cannot help."""


class Database:
    """A pool of ``connections`` at most. ``current_url`` is asked before each new connection."""

    def __init__(
        self, current_url: Callable[[], URL], statement_seconds: float, connections: int = SHARED
    ) -> None:
        self.url = current_url()
        self._statement_seconds = statement_seconds
        self._engine = database.create_engine(
            self.url,
            pool_size=connections,
            statement_seconds=_READ_SECONDS,
            connect_seconds=max(2.0, statement_seconds),
            current_url=current_url,
        )

    @asynccontextmanager
    async def transaction(self, seconds: float | None = None) -> AsyncIterator[AsyncConnection]:
        """One transaction within ``seconds`` (default: the statement timeout), waiting for a connection included."""
        try:
            async with asyncio.timeout(self._statement_seconds if seconds is None else seconds):
                async with self._engine.begin() as connection:
                    yield connection
        except (DBAPIError, PoolTimeout, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            state = database.sqlstate(error) or ""
            unreachable = database.explain(error, self.url)
            if state[:2] in {"22", "23"}:
                raise Rejected(str(unreachable)) from error
            raise unreachable from error
        except Refused as refused:
            raise Unreachable("DatabaseUrlUnusable", " ".join(str(refused).split())) from refused

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may read or plan for longer than a claim may take."""
        async with self.transaction(_READ_SECONDS) as connection:
            yield connection

    async def close(self) -> None:
        """Give the connections back."""
        await self._engine.dispose()
