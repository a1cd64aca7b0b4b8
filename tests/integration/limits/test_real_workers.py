"""Worker processes under a limit of the fleet: frozen, killed and started again, and no window ever holds more than the limit."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from tests.cluster import processes
from tests.integration.limits.claimants import SHORT, limited
from tests.integration.limits.windows import claimed, fullest
from tests.integration.worker.fleet import KEY_LINE, Fleet
from tests.waiting import until

LIMIT = 12
_TIMING = {**asdict(SHORT), "lease": 3.0, "heartbeat": 0.4, "statement": 2.0}


def start(fleet: Fleet, number: int, directory: Path) -> subprocess.Popen[bytes]:
    """`warmup worker` as a person runs it."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DATABASE_URL": fleet.url,
        "WARMUP_WORKER_ID": str(number),
        "WARMUP_ENCRYPTION_KEYS": KEY_LINE,
        "WARMUP_SMTP_CA_FILE": str(fleet.ca_file),
        "WARMUP_TELEMETRY_HOST": "127.0.0.1",
        "WARMUP_TELEMETRY_PORT": "0",
        "WARMUP_TIMING": json.dumps(_TIMING),
    }
    command = [sys.executable, "-m", "warmup_cli", "worker"]
    return processes.start(command, log=directory / f"worker-{number}.log", environment=environment)


@contextlib.contextmanager
def running(
    fleet: Fleet, numbers: Sequence[int], directory: Path
) -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    """Worker processes, whoever stands in the dict at the end is ended."""
    workers = {number: start(fleet, number, directory) for number in numbers}
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.send_signal(signal.SIGCONT)
            processes.stop(worker)


async def sent(fleet: Fleet, count: int) -> None:
    """Wait for that many more acceptances."""
    before = len(fleet.server.journal.accepted)
    await until(
        lambda: len(fleet.server.journal.accepted) >= before + count, f"{count} mails more", within=40
    )


def fits(mail_from: Sequence[datetime], claims: Sequence[datetime], seconds: float) -> bool:
    """Whether no window at the server holds more than the limit and the claims of the 2 s before it."""
    window, late = timedelta(seconds=seconds), timedelta(seconds=2)
    return all(
        sum(first <= it <= first + window for it in mail_from)
        <= LIMIT + sum(first - late <= it < first for it in claims)
        for first in mail_from
    )


async def test_freezing_and_killing_workers_never_lets_a_window_pass_the_limit(
    fleet: Fleet, tmp_path: Path
) -> None:
    await fleet.start(limited(emails_per_mailbox_per_day=400, per_minute_limit=LIMIT), workers=3)
    await fleet.enrol(24)
    with running(fleet, (1, 2, 3), tmp_path) as workers:
        await sent(fleet, 20)
        for _ in range(4):  # longer than a token lives, so whatever is in hand has gone stale
            workers[1].send_signal(signal.SIGSTOP)
            await asyncio.sleep(2 * SHORT.token)
            workers[1].send_signal(signal.SIGCONT)
            await asyncio.sleep(SHORT.token / 2)
        for number in (2, 3, 2):
            workers[number].kill()
            workers[number].wait()
            workers[number] = start(fleet, number, tmp_path)
            await sent(fleet, 6)
        await sent(fleet, 10)
    claims = await claimed(fleet)
    assert fullest(claims, SHORT.minute) <= LIMIT
    assert fits([it.at for it in fleet.server.journal.of("mail-from")], claims, SHORT.minute)
    assert {row.number for row in await fleet.rows("SELECT DISTINCT number FROM mails")} == {1, 2, 3}
