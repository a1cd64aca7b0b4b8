"""``python -m bench.queue``: the same mails as jobs of pgqueuer, a task queue on PostgreSQL.

Who fills the queue is not counted, though somebody has to: a job a mail is written before the measuring begins. The batch is
large, because small ones cost it more.
"""

import asyncio
import json

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, Job, PgQueuer, Queries
from pgqueuer.types import QueueExecutionMode

from bench.sending import Target, address, send, target_arguments

_BATCH = 100


async def fill(url: str, mails: int) -> None:
    """An empty queue with a job a mail."""
    connection = await asyncpg.connect(url)
    try:
        queries = Queries(AsyncpgDriver(connection))
        if not await queries.has_table("pgqueuer"):
            await queries.install()
        await queries.clear_queue()
        payloads: list[bytes | None] = [
            json.dumps({"sender": address(number), "recipient": address(number + 1)}).encode()
            for number in range(mails)
        ]
        await queries.enqueue(["send"] * mails, payloads, [0] * mails)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def _run(target: Target, url: str, concurrent: int) -> None:
    connection = await asyncpg.connect(url)
    queuer = PgQueuer.from_asyncpg_connection(connection)

    @queuer.entrypoint("send")
    async def deliver(job: Job) -> None:
        mail = json.loads(job.payload or b"")
        await send(target, mail["sender"], mail["recipient"])

    await queuer.qm.run(
        batch_size=_BATCH, mode=QueueExecutionMode.drain, max_concurrent_tasks=max(concurrent, 2 * _BATCH)
    )
    await connection.close()


if __name__ == "__main__":
    given = target_arguments().parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(Target(given.port, given.ca_file), given.database, given.concurrent))
