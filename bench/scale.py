"""`make bench`: what 100,000 mailboxes cost at the edges: an import, and the operator's account beside a plain count.

Timings belong here and never in a test: they are medians with their range on whatever machine this is, and a ratio between two
things of the same run says more than either. Last line: `scale: mailboxes=N import_seconds=S account_ms=M ratio_count=R`.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.postgres.server import Postgres
from warmup_core import credentials, database, enrolment, fleet, mailboxes
from warmup_core.credentials import parse_keys
from warmup_core.settings import FleetSettings
from warmup_operator import demand

MAILBOXES = 100_000
_REPEATS = 9


async def milliseconds(work: Callable[[], Awaitable[object]]) -> tuple[float, float, float]:
    """Median, fastest and slowest of a few runs after one that warms up, in ms."""
    await work()
    taken = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken), min(taken), max(taken)


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


async def measure(url: str) -> str:
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
            account = await milliseconds(lambda: demand.read(connection, row))
            count = await milliseconds(lambda: connection.scalar(text("SELECT count(*) FROM mailboxes")))
        print(f"account: median {account[0]:.0f} ms, {account[1]:.0f} to {account[2]:.0f}")
        print(f"count(*): median {count[0]:.0f} ms, {count[1]:.0f} to {count[2]:.0f}")
        return (
            f"scale: mailboxes={MAILBOXES} import_seconds={imported:.1f} account_ms={account[0]:.0f}"
            f" ratio_count={account[0] / count[0]:.1f}"
        )
    finally:
        await engine.dispose()


def main() -> None:
    """Run on a PostgreSQL of its own."""
    with Postgres() as server:
        print(asyncio.run(_run(server)))


async def _run(server: Postgres) -> str:
    return await measure(await server.create())


if __name__ == "__main__":
    main()
