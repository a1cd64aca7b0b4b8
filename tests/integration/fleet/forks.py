"""Operators by the dozen: the process of ``python -m warmup_operator`` without a second of imports for each.

A fork server (of the standard library) imports the operator once; each operator is a fork of it, a process with an environment,
a log and an end of its own. It runs ``warmup_operator.__main__.run`` and nothing else of ours. The kernel ends the forks with the
fork server, and that one ends with the tests.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

_PR_SET_PDEATHSIG = 1

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["warmup_operator.__main__", "tests.integration.fleet.forks"])


def start(environment: Mapping[str, str], log: Path) -> BaseProcess:
    """Start an operator with exactly this environment; stdout and stderr go to the end of ``log``."""
    process = _context.Process(target=_run, args=(dict(environment), log))
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    """SIGKILL, and wait until it is gone. Harmless when it has ended."""
    process.kill()
    process.join()


def _run(environment: dict[str, str], log: Path) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(environment)
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    from warmup_operator.__main__ import run  # preloaded in the fork server

    logging.getLogger().handlers.clear()
    run()
