"""The schema brought up to date beside the looks: a migration takes as long as its statements do, and a look may not.

Owns the one run, and when the next is tried. Invariants: one run at a time, in one transaction, so whatever ends it leaves
nothing half done; one that failed is tried again with growing pauses, for each try takes the migration's strong locks.
Fails: ``Problem``: SchemaMigrating while it runs, and what it failed with until it is tried again.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from warmup_core import schema
from warmup_core.backoff import doubled
from warmup_operator.status import Problem, Reason

_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 300.0
_TOUCHED_NOTHING: Final = frozenset({Reason.SCHEMA_BUSY, Reason.SCHEMA_TOO_NEW})
"""Found before any lock was asked for that others wait on."""


class Migration:
    """``upgrade``: brings the schema up to date, or raises Problem. ``monotonic``: seconds of a clock that never goes back."""

    def __init__(
        self,
        upgrade: Callable[[], Coroutine[Any, Any, None]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upgrade, self._monotonic = upgrade, monotonic
        self._task: asyncio.Task[None] | None = None
        self._since = ""
        self._failures, self._again = 0, 0.0
        self._fault: tuple[Reason, str] | None = None

    async def bring(self, patience: float) -> None:
        """Begin the run if none is there, and wait so many seconds for it. Raises Problem."""
        if self._task is None:
            if self._fault is not None and self._monotonic() < self._again:
                raise Problem(*self._fault)
            self._task = asyncio.create_task(self._upgrade(), name="migration")
            self._since = f"{datetime.now(UTC):%H:%M} UTC"
        done, _ = await asyncio.wait({self._task}, timeout=patience)
        if not done:
            raise Problem(
                Reason.SCHEMA_MIGRATING,
                f"Since {self._since} the operator brings the schema to {schema.REVISIONS[-1]}, which takes as long as the"
                " migration's statements do. Workers that run go on; all else waits for it.",
            )
        task, self._task = self._task, None
        try:
            task.result()
        except Problem as problem:
            if problem.reason in _TOUCHED_NOTHING:
                raise
            pause = doubled(_FIRST_PAUSE, self._failures, _LONGEST_PAUSE)
            self._failures, self._again = self._failures + 1, self._monotonic() + pause
            tried = f"The migration is tried again after {pause:.0f} s; by hand: `warmup database upgrade`."
            self._fault = (problem.reason, f"{problem.message.rstrip('.')}. {tried}")
            raise Problem(*self._fault) from None
        self._failures, self._fault = 0, None

    async def end(self) -> None:
        """Break off what runs, and forget what failed."""
        task, self._task = self._task, None
        self._failures, self._fault = 0, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
