"""When the partitions are kept, and beside what: each hour and when the day turns, by the operator or by worker 1.

Moving many rows into their day's partition takes longer than a look or a round may, so an upkeep is a task with a connection and
a timeout of its own: whoever asks waits for it a moment, for usually that is enough, and then goes on.
Invariants: one upkeep at a time; one that failed, even in part, is tried again with growing pauses, an hour at most, for each try
takes strong locks. Late is harmless: rows wait in the default partition, so a fault only warns.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import date
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from warmup_core import database, partitions
from warmup_core.backoff import doubled
from warmup_core.partitions import Upkeep
from warmup_core.types import Refused

_log = logging.getLogger(__name__)

STATEMENT_SECONDS: Final = 300.0
"""For moving a day's rows."""
_EVERY: Final = 3600.0
_FIRST_PAUSE: Final = 300.0


class Upkeeper:
    """``engine``: makes one of a single connection, for one upkeep. ``monotonic``: seconds of a clock that never goes back."""

    def __init__(
        self, engine: Callable[[], AsyncEngine], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine, self._monotonic = engine, monotonic
        self._task: asyncio.Task[bool] | None = None
        self._day: date | None = None
        self._again = 0.0
        self._failures = 0

    async def keep(self, today: date, retention_days: int, patience: float) -> None:
        """Begin the upkeep that is due, and wait so many seconds for it."""
        if self._task is None:
            if self._day == today and self._monotonic() < self._again:
                return
            self._day = today
            self._task = asyncio.create_task(self._run(today, retention_days), name="upkeep")
        elif not self._task.done():
            return  # patience was had with it before
        done, _ = await asyncio.wait({self._task}, timeout=patience)
        if not done:
            return
        task, self._task = self._task, None
        self._failures = 0 if task.result() else self._failures + 1
        pause = doubled(_FIRST_PAUSE, self._failures - 1, _EVERY) if self._failures else _EVERY
        self._again = self._monotonic() + pause

    async def end(self) -> None:
        """Break off what runs; nothing is left half done."""
        task, self._task, self._day = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self, today: date, retention_days: int) -> bool:
        """Whether nothing failed."""
        try:
            engine = self._engine()
        except Refused as refused:
            _log.warning("partitions not kept: %s", refused)
            return False
        try:
            done = await partitions.upkeep(engine.begin, today, retention_days)
            _tell(done, engine)
            return not done.failed
        except (SQLAlchemyError, *database.FAULTS) as error:
            _log.warning("partitions not kept: %s", database.explain(error, engine.url))
        except Refused as refused:  # the URL of a new connection
            _log.warning("partitions not kept: %s", refused)
        finally:
            await engine.dispose()
        return False


def _tell(done: Upkeep, engine: AsyncEngine) -> None:
    if done.made or done.dropped:
        _log.info("partitions made: %s; dropped: %s", done.made, done.dropped)
    if done.alert:
        _log.warning("%s", done.alert)
    for name, error in done.failed.items():
        _log.warning("partitions not kept: %s: %s", name, database.explain(error, engine.url))
