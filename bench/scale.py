"""``python -m bench.scale``: what 100,000 mailboxes cost at the edges: an import, the operator's account beside a plain count.

Timings belong here and never in a test: they are medians with their range on whatever machine this is, and a ratio between two
things of the same run says more than either. CPU time is PostgreSQL's, the mean of all runs: on a machine that works for others
it says what a query costs where the median says how long it waited.
Last line: `scale: mailboxes=N import_seconds=S account_ms=M account_cpu_ms=C ratio_count=R`.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench import machine
from tests.postgres.server import Postgres
from warmup_core import credentials, database, enrolment, fleet, mailboxes
from warmup_core.credentials import parse_keys
from warmup_core.settings import FleetSettings
from warmup_operator import demand

MAILBOXES = 100_000
_REPEATS = 9


@dataclass(frozen=True)
class Taken:
    """How long something took in ms: median, fastest, slowest; ``cpu``: of PostgreSQL, in the mean."""

    median: float
    least: float
    most: float
    cpu: float

    def __str__(self) -> str:
        return f"median {self.median:.0f} ms, {self.least:.0f} to {self.most:.0f}; CPU {self.cpu:.0f} ms"


async def measured(postgres: int, work: Callable[[], Awaitable[object]]) -> Taken:
    """A few runs after one that warms up. ``postgres``: the first process of the server."""
    await work()
    taken, before = [], machine.cpu_seconds(postgres)
    for _ in range(_REPEATS):
        started = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - started) * 1000)
    cpu = (machine.cpu_seconds(postgres) - before) / _REPEATS * 1000
    return Taken(statistics.median(taken), min(taken), max(taken), cpu)


async def enrol(engine: AsyncEngine) -> float:
    """Read and import a file of 100,000 mailboxes of 1,000 users; the seconds it took."""
    rows = [f"m{n}@d{n % 50}.example,u{n // 100},mail.example,pw{n}" for n in range(MAILBOXES)]
    file = "\n".join(["email,user,smtp_host,password", *rows]).encode()
    keys = parse_keys(credentials.new_key("k1"))
    started = time.perf_counter()
    parsed = enrolment.parse(file)
    async with engine.begin() as connection:
        await mailboxes.enrol(connection, parsed, keys, dry_run=False)
    return time.perf_counter() - started


async def measure(server: Postgres, url: str) -> str:
    """All figures, as the last line."""
    engine = database.create_engine(database.parse_url(url), pool_size=1, statement_seconds=120)
    try:
        imported = await enrol(engine)
        async with engine.begin() as connection:
            row = await fleet.own(
                connection,
                fleet.PROCESSES,
                generation=0,
                token="bench",
                settings=FleetSettings(),
                time_zone="UTC",
                paused=False,
            )
            await connection.execute(
                text(
                    "INSERT INTO quotas (day, mailbox_id, quota, spent, sent)"
                    " SELECT fleet_day(), id, 30, id % 30, id % 30 FROM mailboxes"
                )
            )
        async with engine.connect() as connection:
            await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(
                text("VACUUM ANALYZE")
            )
        async with engine.connect() as connection:
            account = await measured(server.pid, lambda: demand.read(connection, row))
            count = await measured(
                server.pid, lambda: connection.scalar(text("SELECT count(*) FROM mailboxes"))
            )
        print(f"account: {account}")
        print(f"count(*): {count}")
        return (
            f"scale: mailboxes={MAILBOXES} import_seconds={imported:.1f} account_ms={account.median:.0f}"
            f" account_cpu_ms={account.cpu:.0f} ratio_count={account.median / count.median:.1f}"
        )
    finally:
        await engine.dispose()


def run() -> None:
    """On a PostgreSQL of its own."""
    with Postgres() as server:
        print(asyncio.run(_run(server)), flush=True)


async def _run(server: Postgres) -> str:
    return await measure(server, await server.create())


if __name__ == "__main__":
    run()
