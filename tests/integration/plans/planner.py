"""What PostgreSQL plans for the statements that a function sends: which tables, how read, how many partitions of each."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from warmup_core import partitions

MAILBOXES = 200_000
LARGE = ("mailboxes", "quotas", "mails")
"""Tables that no statement of every day may read from end to end."""


@dataclass(frozen=True)
class Planned:
    """The plan of one statement: the relations it reads, each with how, and by which condition of an index."""

    statement: str
    reads: frozenset[tuple[str, str]]
    conditions: frozenset[tuple[str, str]]

    def whole(self, day: date) -> set[str]:
        """The large tables that are read from end to end, today's partition standing for its table."""
        large = {"mailboxes", *(partitions.name_of(table, day) for table in partitions.PARTITIONED)}
        return {name for name, how in self.reads if how == "Seq Scan" and name in large}

    def partitions(self) -> dict[str, set[str]]:
        """The partitions that it sees, by table."""
        seen: defaultdict[str, set[str]] = defaultdict(set)
        for name, _ in self.reads:
            for table in partitions.PARTITIONED:
                if name.startswith(f"{table}_"):
                    seen[table].add(name)
        return seen


class Planner:
    """Lets functions send their statements to a large database, and asks it for their plans."""

    def __init__(self, engine: AsyncEngine, connection: AsyncConnection, day: date) -> None:
        self.connection, self.day = connection, day
        self._sent: list[tuple[str, Any]] | None = None
        event.listen(engine.sync_engine, "before_cursor_execute", self._note)

    def _note(
        self, _c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
    ) -> None:
        if self._sent is not None:
            self._sent.append((statement, parameters))

    def _note_direct(self, query: Any) -> None:
        if self._sent is not None and "pg_type" not in query.query and "'jit'" not in query.query:
            self._sent.append(
                (query.query, query.args)
            )  # and not what the driver asks about types for itself

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """The connection, where a function would take one of a pool."""
        yield self.connection

    async def plans(self, work: Awaitable[object]) -> list[Planned]:
        """The plans of what ``work`` sent, each with the values that it was sent with."""
        driver: Any = (await self.connection.get_raw_connection()).driver_connection
        self._sent = []
        with driver.query_logger(self._note_direct):  # what goes by ``warmup_worker.connection.rows``
            await work
            await asyncio.sleep(0)  # the driver tells of a statement in the loop's next round
        sent, self._sent = self._sent, None
        planned = []
        for statement, parameters in sent:
            (row,) = await driver.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *parameters)
            plan = row[0][0]["Plan"]
            planned.append(Planned(statement, frozenset(_reads(plan)), frozenset(_conditions(plan))))
        assert planned
        return planned

    async def scalar(self, statement: str) -> Any:
        """One value."""
        return await self.connection.scalar(text(statement))


def _reads(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        yield node["Relation Name"], node["Node Type"]
    for child in node.get("Plans", []):
        yield from _reads(child)


def _conditions(node: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    relation = node.get("Relation Name", above)
    if "Index Cond" in node:
        yield relation, node["Index Cond"]
    for child in node.get("Plans", []):
        yield from _conditions(child, relation)
