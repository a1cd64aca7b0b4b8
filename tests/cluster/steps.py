"""Long steps of preparation, for the person who waits: each says what is done and for how long.

Invariants: of several runs at once, one takes a step and the others wait for it, saying so. A step that is
interrupted leaves no process behind.
Failure: `StepError` with the end of what the command wrote.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import processes


class StepError(Exception):
    """A step failed; the message says which and ends with what its command wrote."""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run(
    title: str,
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> None:
    """Run `command` with `environment` added to ours, saying every 10 s for how long.

    The log of a step that succeeded is not kept.
    """
    started = time.monotonic()
    log.unlink(missing_ok=True)
    say(f"{title} ...")
    process = processes.start(
        command, log=log, environment={**os.environ, **(environment or {})}, directory=directory
    )
    try:
        while process.poll() is None:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                say(f"{title} ... {time.monotonic() - started:.0f} s")
    finally:
        processes.stop(process)
    if process.returncode != 0:
        raise StepError(f"{title} failed with code {process.returncode}:\n{processes.last_lines(log)}")
    log.unlink()
    say(f"{title}: done after {time.monotonic() - started:.0f} s")


def held(path: Path) -> bool:
    """Whether somebody holds the lock on `path` now."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the kernel lets go of it when we die."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that holds {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
