"""A real `warmup worker` as a process of its own, with a fleet's environment, ended by its id."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.integration.worker.fleet import KEY_LINE, QUICK, Fleet


def environment(fleet: Fleet, number: int = 1, **more: str) -> dict[str, str]:
    """What a pod would be given."""
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": fleet.url,
        "WARMUP_WORKER_ID": str(number),
        "WARMUP_ENCRYPTION_KEYS": KEY_LINE,
        "WARMUP_SMTP_CA_FILE": str(fleet.ca_file),
        "WARMUP_TELEMETRY_HOST": "127.0.0.1",
        "WARMUP_TELEMETRY_PORT": "0",
        "WARMUP_GRACE_SECONDS": "5",
        "WARMUP_TIMING": json.dumps(asdict(QUICK)),
        **more,
    }


@dataclass
class Process:
    """A started process and where its log goes."""

    popen: subprocess.Popen[bytes]
    log: Path

    def signal(self, number: int) -> None:
        """Send a signal to this process."""
        self.popen.send_signal(number)

    def kill(self) -> None:
        """End it without a word and wait until it is gone."""
        self.popen.kill()
        self.popen.wait(10)

    def text(self) -> str:
        """What it has logged so far."""
        return self.log.read_text()


@contextmanager
def started(environ: Mapping[str, str], log: Path) -> Iterator[Process]:
    """`warmup worker` with exactly this environment; ended at the end if it still runs."""
    with log.open("ab") as output:
        popen = subprocess.Popen(
            [Path(sys.executable).parent / "warmup", "worker"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    process = Process(popen, log)
    try:
        yield process
    finally:
        if popen.poll() is None:
            process.signal(signal.SIGTERM)
            try:
                popen.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
