"""The worker as a process: environment in, exit code out, signals between.

Owns what is the process's: logging to stderr one line an event, the event loop (uvloop where installed), SIGTERM and SIGINT.
A second signal changes nothing: what the first began is the fastest safe way out.
Fails: an environment that cannot be used ends with exit code 2 and every fault, before anything is touched.
"""

import asyncio
import logging
import re
import signal
import socket
import sys
from collections.abc import Mapping

from warmup_core.types import Refused
from warmup_worker.engine import FAILED, Engine
from warmup_worker.settings import WorkerSettings, read_settings

log = logging.getLogger(__name__)

UNUSABLE = 2


def main(environ: Mapping[str, str]) -> int:
    """Run a worker until it is told to end. Exit codes: 0 drained, 1 failed, 2 environment unusable, 3 replaced."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        settings = read_settings(environ)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return UNUSABLE
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
    engine = Engine(settings, _local_hostname())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, engine.stop)
    return await engine.run()


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _local_hostname() -> str:
    """What EHLO says: this machine's name, if it can stand there."""
    name = socket.getfqdn()
    return name if re.fullmatch(r"[A-Za-z0-9.-]{1,255}", name) else "localhost"
