"""``python -m bench.shard``: a worker with a million mailboxes: how soon it has read them, what they weigh, what idling costs.

The quotas of the day are planned already, as after a restart. Last line:
``shard: mailboxes=N read_seconds=S ready_seconds=S bytes_a_mailbox=B idle_cpu=P idle_transactions_per_second=T``.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import asyncpg

from bench import machine, ours, shipped
from bench.stage import postgres
from tests.submission.authority import in_directory

_USERS, _DOMAINS = 10_000, 5_000
_IDLE_SECONDS = 30.0
# What lies in the credentials is never opened here: no mail is sent.
_FILL = """
TRUNCATE users CASCADE;
INSERT INTO users (id, name) SELECT n, 'user' || n FROM generate_series(0, {users} - 1) n;
INSERT INTO mailboxes (id, user_id, address, display_name, smtp_host, smtp_port, smtp_security, ramp_on, changed_at)
    SELECT n, n % {users}, 'box' || n || '@domain' || n % {domains} || '.example', 'Box ' || n, 'mail.example', 587,
        'starttls', fleet_day(), now() - interval '2 days' FROM generate_series(0, {mailboxes} - 1) n;
INSERT INTO credentials (mailbox_id, username, key_id, nonce, ciphertext)
    SELECT id, address, 'bench', substring(int8send(id) || int8send(id) FROM 1 FOR 12), sha256(int8send(id)) FROM mailboxes;
INSERT INTO quotas (day, mailbox_id, quota) SELECT fleet_day(), id, 30 FROM mailboxes;
"""


async def fill(url: str, mailboxes: int) -> None:
    """A paused fleet with so many mailboxes."""
    await ours.fill(url, 0, 1, 100)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'")
        await connection.execute(
            _FILL.format(users=_USERS, domains=_DOMAINS, mailboxes=mailboxes), timeout=600
        )
        await connection.execute("VACUUM ANALYZE", timeout=600)
    finally:
        await connection.close()


async def _transactions(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(
            await connection.fetchval(
                "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
            )
        )
    finally:
        await connection.close()


def run(mailboxes: int) -> str:
    """All of it, as the last line."""
    with tempfile.TemporaryDirectory(prefix="warmup-bench-") as name, postgres() as server:
        folder = Path(name)
        in_directory(folder, "localhost")
        resident: list[float] = []
        ready = 0.0
        url = ""
        for count in (0, mailboxes):
            url = asyncio.run(server.create())
            asyncio.run(fill(url, count))
            log = folder / f"{count}.log"
            started = time.perf_counter()
            with ours.running(url, folder / "ca.crt", log, paused=True) as worker:
                ready = time.perf_counter() - started
                time.sleep(5)  # what was needed only for the reading is given back
                before, transactions = machine.cpu_seconds(worker.pid), asyncio.run(_transactions(url))
                time.sleep(_IDLE_SECONDS)
                busy = (machine.cpu_seconds(worker.pid) - before) / _IDLE_SECONDS
                sent = (asyncio.run(_transactions(url)) - transactions) / _IDLE_SECONDS
                resident.append(machine.resident_mb(worker.pid))
        read = next(it for it in map(json.loads, log.read_text().splitlines()) if "read in" in it["message"])
    seconds = float(read["message"].rsplit("read in ", 1)[1].removesuffix(" s"))
    print(f"resident: {resident[0]:.0f} MB without mailboxes, {resident[1]:.0f} MB with {mailboxes}")
    return (
        f"shard: mailboxes={mailboxes} read_seconds={seconds:.1f} ready_seconds={ready:.1f}"
        f" bytes_a_mailbox={(resident[1] - resident[0]) * 1e6 / mailboxes:.0f} idle_cpu={busy:.1%}"
        f" idle_transactions_per_second={sent:.1f}"
    )


def main() -> None:
    """The shard alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailboxes", type=int, default=1_000_000)
    print(machine.description(), shipped.description(), sep="\n", flush=True)
    print(run(parser.parse_args().mailboxes))


if __name__ == "__main__":
    main()
