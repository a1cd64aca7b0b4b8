"""The worker's way to PostgreSQL: short transactions, each with its own deadline, every failure one exception.

A transaction that raised may have been committed: the reply to COMMIT can be lost. So whoever writes here writes such that
writing again, or not acting on what was perhaps written, is right. A worker holds as many connections as its share of the fleet's
budget allows (``warmup_core.connections``), one until it has heard what that is: heartbeats go first, claims, outcomes and
readings of the shard, which come in short pieces, take turns. One connection suffices for all of it.
Fails: ``Unreachable`` with the reason, ``Rejected`` for data that the database will never take; a mistake of ours (a misused
result, a wrong argument) is neither and comes through.

What is sent for every batch of mails goes by ``direct`` or ``alone`` and ``rows``: the statement as it is, to the driver. The
way through SQLAlchemy's compiler, cursors and rows takes three times the CPU. What a statement takes and brings the driver asks
once a connection; from then on it goes out with its values at once. It has no name and is parsed each time, so poolers do not
matter; and migrations only add, so what it brings stays as it was. A claim is a transaction all the same: a worker that gives up
or dies before COMMIT leaves nothing, however long its statement waited for a lock. Outcomes and reservations go ``alone``: an
outcome is as true later, and may be written twice; tokens that nobody took are lost.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import asyncpg
from sqlalchemy import TextClause, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from warmup_core import connections, database, schema
from warmup_core.database import Unreachable
from warmup_core.types import Refused
from warmup_worker.turns import Turns

_READ_SECONDS = 30.0


class Rejected(Exception):
    """The database understood and said no (SQLSTATE classes 22 and 23): trying the same again cannot help."""


@dataclass(frozen=True, slots=True)
class Direct:
    """The driver's own connection, and the statements that it ``knows``."""

    driver: Any
    knows: dict[Any, Any]


Connected = AsyncConnection | Direct


class Database:
    """A worker's connections. ``current_url`` is asked before each new one; ``url`` is what it said last."""

    def __init__(self, current_url: Callable[[], URL], statement_seconds: float) -> None:
        def current() -> URL:
            self.url = current_url()
            return self.url

        self.url = current_url()
        self._current_url = current
        self._statement_seconds = statement_seconds
        self._turns, self._surplus = Turns(1), False
        self._engine = database.create_engine(
            self.url,
            pool_size=connections.MOST,
            statement_seconds=_READ_SECONDS,
            connect_seconds=max(2.0, statement_seconds),
            current_url=current,
        )

    def hold(self, connections: int) -> None:
        """Hold so many connections at most from now on; those beyond are closed as soon as they are idle."""
        self._surplus |= connections < self._turns.limit
        self._turns.limit = connections

    @asynccontextmanager
    async def transaction(
        self, seconds: float | None = None, *, urgent: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        """One transaction within ``seconds`` (default: the statement timeout), waiting for its turn included."""
        async with self._turn(seconds, urgent=urgent), self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[Direct]:
        """One transaction within the statement timeout, for ``rows`` only: begun and committed by the driver too."""
        async with self.alone() as connection:
            transaction = connection.driver.transaction()
            await transaction.start()  # fails where the server has ended the session meanwhile
            try:
                yield connection
            except BaseException as error:
                if _of_the_statement(error):
                    await transaction.rollback()
                raise
            await transaction.commit()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Direct]:
        """Statements by ``rows`` within the statement timeout, each a transaction by itself: one round trip instead of three.

        For what may be committed though its worker has given up on it meanwhile, or died.
        """
        async with self._turn(None):
            pooled = await self._engine.raw_connection()
            driver: Any = pooled.driver_connection
            sound = False
            try:
                yield Direct(driver, pooled.info)
                sound = True
            except BaseException as error:
                sound = _of_the_statement(error)
                raise
            finally:
                if sound:
                    pooled.close()
                else:  # it failed, or nobody waits for its answer any more
                    try:
                        with suppress(Exception):
                            await driver.close(timeout=_CLOSE_SECONDS)
                    finally:
                        pooled.invalidate()

    @asynccontextmanager
    async def _turn(self, seconds: float | None, *, urgent: bool = False) -> AsyncIterator[None]:
        """A turn with one of the connections, within ``seconds``; every failure one exception."""
        try:
            async with (
                asyncio.timeout(self._statement_seconds if seconds is None else seconds),
                self._turns.turn(urgent=urgent),
            ):
                yield
                if self._surplus and self._turns.taken == 1:  # all others lie idle in the pool
                    self._surplus = False
                    with self._turns.alone():
                        await self._engine.dispose()
        except database.FAULTS as error:
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

    async def bound_waits(self) -> None:
        """Give the role of these connections a worker's timeouts; what is open began without them and is closed."""
        async with self.transaction() as connection:
            given = await schema.bound_waits(connection)
        if given:
            await self._engine.dispose()

    def apart(self, statement_seconds: float) -> AsyncEngine:
        """An engine of one connection beside the worker's own, for what may take long and must keep no heartbeat waiting."""
        return database.create_engine(
            self.url,
            pool_size=1,
            statement_seconds=statement_seconds,
            current_url=self._current_url,
            keep_compiled=False,
        )

    async def close(self) -> None:
        """Give the connections back."""
        await self._engine.dispose()


async def rows(
    connection: Connected, statement: TextClause, values: Mapping[str, Any] = MappingProxyType({})
) -> Sequence[asyncpg.Record]:
    """The rows of a statement, by the driver itself, within the transaction of ``connection`` if it has one. Raises what the
    driver raises."""
    sql, names = _compiled(statement)
    arguments = [values[name] for name in names]
    if isinstance(connection, Direct):
        if sql not in connection.knows:
            connection.knows[sql] = await connection.driver.prepare(sql, name=_UNNAMED)
        found: Sequence[asyncpg.Record] = await connection.knows[sql].fetch(*arguments)
        return found
    driver: Any = (await connection.get_raw_connection()).driver_connection
    if not driver.is_in_transaction():
        # SQLAlchemy begins with the first statement that it sends itself.
        await connection.execute(_BEGIN)
    found = await driver.fetch(sql, *arguments)
    return found


_BEGIN = text("SELECT")
_UNNAMED = ""
"""A name would make the driver send the statement once and then rely on the session."""
_OF_THE_STATEMENT = {"22", "23", "40", "42", "55"}
"""Classes of SQLSTATE that leave the connection as good as it was."""
_CLOSE_SECONDS = 2.0
"""For a statement that nobody waits for to hear that it is to end."""


def _of_the_statement(error: BaseException) -> bool:
    return (database.sqlstate(error) or "")[:2] in _OF_THE_STATEMENT


@lru_cache
def _compiled(statement: TextClause) -> tuple[str, tuple[str, ...]]:
    """The statement as the driver takes it, and the names of its values in order."""
    compiled = statement.compile(dialect=asyncpg_dialect())  # type: ignore[no-untyped-call]
    return str(compiled), tuple(compiled.positiontup or ())
