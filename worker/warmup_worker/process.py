"""The worker as a process: environment in, exit code out, signals between.

Owns what is the process's: the log, the event loop (uvloop where installed), SIGTERM and SIGINT.
A second signal changes nothing: what the first began is the fastest safe way out.
Fails: an environment that cannot be used ends with exit code 2 and every fault, before anything is touched.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Mapping

from warmup_core.types import Refused
from warmup_worker import logs
from warmup_worker.engine import FAILED, Engine
from warmup_worker.network import local_hostname
from warmup_worker.settings import WorkerSettings, read_settings

try:
    import resource
except ImportError:  # Windows, which knows no such limit
    resource = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

UNUSABLE = 2
_THREADS = "64"
"""Of the event loop, most of which never do anything: together less than a megabyte."""
_COLLECT = (20_000, 50, 100)
"""When Python looks for garbage in cycles, of which a mail leaves hardly any: at its own (700, 10, 10) it looks through the
dialogues under way and the whole shard again and again, for a tenth of all CPU."""


def main(environ: Mapping[str, str]) -> int:
    """Run a worker until it is told to end. Exit codes: 0 drained, 1 failed, 2 environment unusable, 3 replaced."""
    lines = logs.begin()
    try:
        settings = read_settings(environ)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return UNUSABLE
    lines.worker = settings.number
    _open_files()
    gc.set_threshold(*_COLLECT)
    for notice in settings.notices:
        log.warning("%s", notice)
    try:
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            return runner.run(_run(settings))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return UNUSABLE
    except OSError as error:
        log.critical("the worker cannot run: %s", error)
        return FAILED


async def _run(settings: WorkerSettings) -> int:
    engine = Engine(settings, local_hostname())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, engine.stop)
    return await engine.run()


def _open_files() -> None:
    """Allow as many open files as the system lets a process have: a mail in flight is one."""
    if resource is not None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(
            ValueError, OSError
        ):  # "unlimited" is not always a number that may be asked for
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, where it is installed. It asks the resolver in threads of its own, of which slow look-ups get half: of its usual
    four, two zones whose servers do not answer would hold all that there are, and every host's name and the database's wait."""
    os.environ.setdefault("UV_THREADPOOL_SIZE", _THREADS)
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
