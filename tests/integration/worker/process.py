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

from tests.cluster import processes
from tests.integration.worker.fleet import KEY_LINE, PATIENT, Fleet
from tests.waiting import minding, until
from warmup_worker.timing import Timing


def environment(fleet: Fleet, number: int = 1, timing: Timing = PATIENT, /, **more: str) -> dict[str, str]:
    """What a pod would be given."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DATABASE_URL": fleet.url,
        "WARMUP_WORKER_ID": str(number),
        "WARMUP_ENCRYPTION_KEYS": KEY_LINE,
        "WARMUP_SMTP_CA_FILE": str(fleet.ca_file),
        "WARMUP_TELEMETRY_HOST": "127.0.0.1",
        "WARMUP_TELEMETRY_PORT": "0",
        "WARMUP_GRACE_SECONDS": "30",
        "WARMUP_TIMING": json.dumps(asdict(timing)),
        **more,
    }


@dataclass
class Process:
    """A started process and where its log goes."""

    popen: subprocess.Popen[bytes]
    log: Path
    may_end: bool = False

    def signal(self, number: int) -> None:
        """Send a signal to this process; after SIGTERM it may end."""
        self.may_end = self.may_end or number == signal.SIGTERM
        self.popen.send_signal(number)

    def kill(self) -> None:
        """End it without a word and wait until it is gone."""
        self.may_end = True
        self.popen.kill()
        self.popen.wait(60)

    def text(self) -> str:
        """What it has logged so far."""
        return self.log.read_text()

    async def address(self) -> str:
        """Where its own server listens, such as 127.0.0.1:34567, once it has said so."""
        await until(lambda: "telemetry on" in self.text(), "its port")
        return self.text().partition("telemetry on ")[2].partition('"')[0]

    def fault(self) -> str | None:
        """Its last words, where it has ended and nobody had asked it to."""
        if self.may_end or self.popen.poll() is None:
            return None
        return f"a worker has ended with {self.popen.returncode}:\n{processes.last_lines(self.log)}"


@contextmanager
def started(environ: Mapping[str, str], log: Path) -> Iterator[Process]:
    """`warmup worker` with exactly this environment; ended at the end if it still runs.

    Whoever waits for what it does is told at once if it ends by itself.
    """
    command = [str(Path(sys.executable).parent / "warmup"), "worker"]
    process = Process(processes.start(command, log=log, environment=environ), log)
    try:
        with minding(process.fault):
            yield process
    finally:
        processes.stop(process.popen, 40)
