"""One loop a fleet: woken by events, else it comes round when it promised; and the truth of liveness.

Owns the loops, keyed by namespace and name. Events only wake; every ``list_seconds`` the fleets are listed, so a lost event costs
that at most. A step may take ``STEP_SECONDS``; errors are counted, said once a turn, and tried again with growing pauses. When
one last ended well stands in the fleet's metrics, for liveness only asks whether any fleet's does.

Liveness (``faults``) fails when
- a loop has not come round within three times the pause it promised and the time a step may take,
- no step of any fleet has succeeded for ``stale_seconds`` although there are fleets,
- the list has shown a change for three rounds that the watch has not told of: the watch is dead,
- the listing itself has not come round.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from warmup_operator.kube import KubernetesError
from warmup_operator.listing import Listing
from warmup_operator.metrics import Metrics
from warmup_operator.reconcile import Answer

Json = dict[str, Any]
Key = tuple[str, str]
_log = logging.getLogger(__name__)

STEP_SECONDS = 60.0
GATHER_SECONDS = 0.2
"""After a wake: events come in bursts, one look answers all of them."""
_PAUSES = (1.0, 2.0, 5.0, 10.0)
_PATIENCE = 3


class Steps(Protocol):
    """What a loop turns: see ``Reconciler``."""

    async def step(self) -> Answer:
        """Look once."""

    async def close(self) -> None:
        """Let go."""


@dataclass
class _Loop:
    key: Key
    wake: asyncio.Event
    came_round: float
    promised: float = 0.0
    """The pause it said it would make, in seconds."""
    task: asyncio.Task[None] | None = None
    failures: int = 0
    heard: Json = field(default_factory=dict)
    """What of the fleet the watch told last, see ``essence``."""
    owed_since: float | None = None
    """Since when the list shows something that the watch has not told."""


def essence(fleet: Json) -> Json:
    """What of a fleet is worth a look: not its status, which is our own hand."""
    metadata = fleet["metadata"]
    return {name: metadata.get(name) for name in ("uid", "generation", "deletionTimestamp", "annotations")}


class Loops:
    """All fleets of this operator. ``monotonic``: seconds; ``fleets``: lists them; ``make``: a fleet's ``Steps``.

    ``list_seconds`` and ``stale_seconds``: see ``OperatorSettings``.
    """

    def __init__(
        self,
        make: Callable[[str, str], Steps],
        fleets: Callable[[], Awaitable[Listing]],
        metrics: Metrics,
        list_seconds: float,
        stale_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._make, self._fleets, self._metrics = make, fleets, metrics
        self._list_seconds, self._stale_seconds, self._monotonic = list_seconds, stale_seconds, monotonic
        self._loops: dict[Key, _Loop] = {}
        self._succeeded = self._listed = monotonic()
        self._lister: asyncio.Task[None] | None = None
        self.ready = False

    def start(self) -> None:
        """Begin to list."""
        self._lister = asyncio.create_task(self._list_forever(), name="list of fleets")

    async def stop(self) -> None:
        """End every loop where it stands; each step is safe to end anywhere."""
        tasks = [loop.task for loop in self._loops.values()] + [self._lister]
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def heard(self, fleet: Json, *, deleted: bool) -> None:
        """The watch told of a fleet: wake its loop when something has changed that is not our own status."""
        key = (fleet["metadata"]["namespace"], fleet["metadata"]["name"])
        told = {} if deleted else essence(fleet)
        loop = self._loops.get(key)
        if loop is not None:
            loop.owed_since = None
        elif deleted:
            return
        if loop is None or deleted or loop.heard != told:
            self.wake(*key)
        self._loops[key].heard = told

    def wake(self, namespace: str, name: str, *, known_only: bool = False) -> None:
        """Have a fleet looked at now; ``known_only``: not when it has no loop (an orphaned object of a fleet long gone)."""
        loop = self._loops.get((namespace, name))
        if loop is None:
            if known_only:
                return
            if not self._loops:
                self._succeeded = self._monotonic()  # nothing was due while there was no fleet
            loop = _Loop((namespace, name), asyncio.Event(), self._monotonic())
            self._loops[loop.key] = loop
            loop.task = asyncio.create_task(self._run(loop), name=f"fleet {namespace}/{name}")
            self._metrics.fleets.set(len(self._loops))
            self._metrics.begin(*loop.key)
        loop.wake.set()

    def faults(self) -> list[str]:
        """Why this process should be restarted; empty while all is well."""
        now, found = self._monotonic(), []
        for (namespace, name), loop in self._loops.items():
            late = now - loop.came_round
            if late > _PATIENCE * loop.promised + STEP_SECONDS:
                found.append(
                    f"the loop of {namespace}/{name} promised to come round in {loop.promised:.0f} s and has not"
                    f" for {late:.0f} s"
                )
            if loop.owed_since is not None and now - loop.owed_since > _PATIENCE * self._list_seconds:
                found.append(
                    f"the watch has not told of {namespace}/{name} for {now - loop.owed_since:.0f} s"
                )
        if self._loops and now - self._succeeded > self._stale_seconds:
            found.append(f"no fleet has been reconciled for {now - self._succeeded:.0f} s")
        if now - self._listed > max(_PATIENCE * self._list_seconds, self._stale_seconds):
            found.append(f"the fleets have not been listed for {now - self._listed:.0f} s")
        return found

    async def _list_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(STEP_SECONDS):
                    self._compare(await self._fleets())
                self._listed, self.ready = self._monotonic(), True
            except Exception as error:
                self._metrics.errors.labels(_reason(error)).inc()
                _log.warning("the fleets cannot be listed: %s", error)
            await asyncio.sleep(self._list_seconds)

    def _compare(self, listing: Listing) -> None:
        """Wake what is new, changed or gone, and note what the watch owes us."""
        listed: Mapping[Key, Json] = {
            (fleet["metadata"]["namespace"], fleet["metadata"]["name"]): essence(fleet)
            for fleet in listing.fleets
        }
        known = {key for key in self._loops if key[0] not in listing.refused}
        for key in set(listed) | known:
            loop = self._loops.get(key)
            if loop is not None and loop.heard == listed.get(key, {}):
                loop.owed_since = None
                continue
            self.wake(*key)
            loop = self._loops[key]
            loop.owed_since = self._monotonic() if loop.owed_since is None else loop.owed_since

    async def _run(self, loop: _Loop) -> None:
        namespace, name = loop.key
        steps = self._make(namespace, name)
        try:
            while True:
                loop.wake.clear()
                answer = await self._step(loop, steps)
                if answer.gone and not loop.wake.is_set():
                    break
                loop.came_round, loop.promised = self._monotonic(), answer.after
                await _woken(loop.wake, answer.after)
        finally:
            # Before any await: a wake from now on makes a new loop.
            del self._loops[loop.key]
            self._metrics.fleets.set(len(self._loops))
            await steps.close()

    async def _step(self, loop: _Loop, steps: Steps) -> Answer:
        try:
            with self._metrics.seconds.time():
                async with asyncio.timeout(STEP_SECONDS):
                    answer = await steps.step()
        except Exception as error:
            pause = _PAUSES[min(loop.failures, len(_PAUSES) - 1)]
            loop.failures += 1
            self._metrics.errors.labels(_reason(error)).inc()
            # The traceback only of what nobody foresaw.
            expected = type(error).__module__.startswith("warmup_") or isinstance(error, TimeoutError)
            _log.warning(
                "%s/%s: %s; again in %.0f s",
                *loop.key,
                error or "no end in time",
                pause,
                exc_info=not expected,
            )
            return Answer(pause)
        loop.failures = 0
        self._succeeded = self._monotonic()
        self._metrics.looked(*loop.key)
        return answer


def _reason(error: Exception) -> str:
    """One word for the metric."""
    return error.reason if isinstance(error, KubernetesError) else type(error).__name__


async def _woken(wake: asyncio.Event, seconds: float) -> None:
    """Sleep, at most until woken; then a moment more to gather what comes with it."""
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
    except TimeoutError:
        pass
