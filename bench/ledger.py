"""``python -m bench.ledger``: what the ledger costs a mail that is never sent: claims and their outcomes, batch after batch.

A fleet as in ``bench.ours``, with a partition for each day of the retention. What is counted is CPU time of PostgreSQL and of
this process, which does no more than a worker does to claim and settle. Three of ten mails look for one to answer.
"""

import argparse
import random
import statistics
import time
from datetime import UTC, date, datetime, timedelta

import uvloop
from sqlalchemy import text

from bench import machine, ours
from bench.cost import spread
from bench.machine import WORKER_CORE, on_core
from bench.stage import postgres
from tests.postgres.server import Postgres
from warmup_core import database, partitions
from warmup_core.types import MailState
from warmup_worker import claiming, settling
from warmup_worker.claiming import Ask
from warmup_worker.clock import boottime
from warmup_worker.connection import Database
from warmup_worker.lease import Identity
from warmup_worker.settling import Outcome

_RETENTION = 90


async def _fill(server: Postgres, mailboxes: int) -> tuple[str, date, Identity]:
    """A database in the middle of its day; its URL, the day and who claims."""
    url = await server.create()
    await ours.fill(url, mailboxes, 25, 400)
    engine = database.create_engine(database.parse_url(url), pool_size=1, statement_seconds=300)
    async with engine.begin() as connection:
        day = await connection.scalar(text("SELECT fleet_day()"))
        await connection.execute(text("UPDATE fleet SET paused = false"))
        incarnation = await connection.scalar(
            text(
                "INSERT INTO workers (number, incarnation, lease_until)"
                " VALUES (1, nextval('incarnations'), clock_timestamp() + interval '1 day') RETURNING incarnation"
            )
        )
    for back in range(1, _RETENTION):
        await partitions.upkeep(engine.begin, day - timedelta(days=back), _RETENTION)
    await engine.dispose()
    return url, day, Identity(1, incarnation)


async def _batch(database: Database, me: Identity, day: date, mailboxes: list[int], count: int) -> None:
    """Claim for each of ``mailboxes`` and say that its mail was sent."""
    asks = [Ask(it, (it * 7919 + 1) % count, 1_800_000, answers=random.random() < 0.3) for it in mailboxes]
    use_bys = [datetime.now(UTC) + timedelta(seconds=30)] * len(asks)
    async with database.direct() as connection:
        claims = await claiming.claim(connection, me, 1, asks, 60, boottime(), use_bys=use_bys, day=day)
    assert len(claims) == len(asks)
    said = "250 2.0.0 Ok: queued as 4F1A2B3C4D"
    outcomes = [
        Outcome(
            it.mailbox_id, day, it.mail_id, MailState.SENT, "dot", said, it.cooldown_ms, dotted=boottime()
        )
        for it in random.sample(claims, len(claims))
    ]
    async with database.alone() as connection:
        await settling.settle(connection, me.incarnation, outcomes)


async def _run(mailboxes: int, sizes: list[int], batches: int, rounds: int) -> None:
    order = iter(random.sample(range(mailboxes), mailboxes))
    with postgres() as server, on_core(WORKER_CORE):
        url, day, me = await _fill(server, mailboxes)
        worker = Database(lambda: database.parse_url(url), 30.0)
        found: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
        for size in sizes * rounds:
            taken = [[next(order) for _ in range(size)] for _ in range(batches)]
            before = machine.cpu_seconds(server.pid), time.process_time()
            for some in taken:
                await _batch(worker, me, day, some, mailboxes)
            after = machine.cpu_seconds(server.pid), time.process_time()
            used = [(end - start) / (size * batches) * 1e6 for start, end in zip(before, after, strict=True)]
            found[size].append((used[0], used[1]))
        await worker.close()
    for size, each in found.items():
        server_us, client_us = ([one[which] for one in each] for which in (0, 1))
        print(
            f"ledger: batch={size} postgres_us={statistics.median(server_us):.0f} client_us={statistics.median(client_us):.0f}"
            f" (Postgres {spread(server_us, '.0f')}, client {spread(client_us, '.0f')})"
        )


def main() -> None:
    """Print the cost of a mail in batches of each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailboxes", type=int, default=100_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(machine.description())
    uvloop.run(_run(given.mailboxes, given.sizes, given.batches, given.rounds))
    print(machine.description())


if __name__ == "__main__":
    main()
