"""One look at one fleet: observe, decide, apply, flip, report. Every trigger calls the same ``Reconciler.step``.

Level-triggered: what is, is read anew each time; only the pool of connections and the hour of the last counts are kept. One call
is one step of a resize (see ``resize``). Invariants: a fleet whose demand cannot be read keeps the pods it has; an idle look
writes nothing anywhere; pods that would work for another fleet's database are called off.
Fails: what the user has to mend becomes a condition; a KubernetesError (no answer, conflict) goes to the loop, which comes again.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from warmup_core import capacity
from warmup_core.capacity import Sizing
from warmup_core.fleet import Owner
from warmup_core.spec import WorkersStatus
from warmup_operator import apply, kube, observe, readiness, resize, resources, status
from warmup_operator.kube import Kube, KubernetesError
from warmup_operator.metrics import Metrics
from warmup_operator.observe import Observed
from warmup_operator.postgres import FleetDatabase, View
from warmup_operator.resize import Resize
from warmup_operator.settings import OperatorSettings
from warmup_operator.status import Figures, Problem, Reason, Turn

Json = dict[str, Any]
_log = logging.getLogger(__name__)

WRONG_SECONDS = 5.0
"""To the next look while something is wrong."""
WAITING_SECONDS = 2.0
"""To the next look while workers are on their way: their leases are rows, and rows wake nobody."""
SHOWN_AGAIN = 0.9
"""Counts are written when this share of the idle time has passed, lest a look a moment too early skips a turn."""


@dataclass(frozen=True)
class Answer:
    """``after``: seconds until the next look, 0 for at once; ``gone``: the fleet is no more."""

    after: float
    gone: bool = False


@dataclass(frozen=True)
class Decision:
    """What should be. ``replicas``: pods to ask for; None leaves the cluster alone."""

    sizing: Sizing | None
    resize: Resize | None
    replicas: int | None


def decide(seen: Observed) -> Decision:
    """The size, the step towards it, and the pods to ask for. Pure."""
    if any(problem.reason is Reason.DATABASE_IN_USE for problem in seen.problems):
        return Decision(None, None, 0 if seen.stateful_set else None)
    if seen.spec is None or seen.view is None:
        present = int(seen.stateful_set["spec"]["replicas"]) if seen.stateful_set else None
        return Decision(None, None, present)
    workers = seen.spec.workers
    sizing = capacity.size(
        seen.view.demand.mailboxes.active,
        minimum=workers.min,
        maximum=workers.max,
        max_mailboxes_per_worker=workers.max_mailboxes_per_worker,
        fixed=workers.replicas,
    )
    step = resize.decide(sizing.wanted, seen.view.row.worker_count, seen.view.live)
    return Decision(sizing, step, step.replicas)


class Reconciler:
    """Holds one fleet's database pool between looks. ``monotonic``: seconds of a clock that never goes back."""

    def __init__(
        self,
        namespace: str,
        name: str,
        cluster: Kube,
        settings: OperatorSettings,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        self._namespace, self._name = namespace, name
        self._kube, self._settings, self._metrics = cluster, settings, metrics
        self._monotonic = monotonic
        self._database = FleetDatabase()
        self._owner: Owner | None = None
        self._counted_at = float("-inf")

    async def close(self) -> None:
        """End the pool and forget the fleet's figures."""
        self._metrics.forget(self._namespace, self._name)
        await self._database.close()

    async def step(self) -> Answer:
        """Look once and do the one thing that is due. Raises KubernetesError."""
        fleet = await self._kube.get(kube.FLEET, self._namespace, self._name)
        if fleet is None:
            await self._end()
            return Answer(0, gone=True)
        if fleet["metadata"].get("deletionTimestamp"):
            # On its way out: end its claims and touch nothing else, or its objects would be made again.
            if self._owner is None:
                await observe.find_database(self._kube, self._database, fleet)
            self._owner = await observe.owner_of(self._kube, fleet)
            await self._end()
            return Answer(WRONG_SECONDS)
        self._owner = await observe.owner_of(self._kube, fleet)
        seen = await observe.observe(self._kube, self._database, fleet, self._owner)
        decision = decide(seen)
        stateful_set, problems = seen.stateful_set, list(seen.problems)
        if seen.spec is not None and decision.replicas is not None:
            applied = await apply.apply(
                self._kube, fleet, seen.spec, stateful_set, decision.replicas, self._settings.worker_image
            )
            stateful_set = applied.stateful_set
            problems += applied.problems
        flipped = not problems and await self._flip(fleet, seen.view, decision.resize, problems)
        await self._report(seen, decision, stateful_set, problems)
        return Answer(0 if flipped else self._pause(seen.view, decision, problems))

    async def _flip(
        self, fleet: Json, view: View | None, step: Resize | None, problems: list[Problem]
    ) -> bool:
        """Turn the count when it is due. True: it turned, or somebody else was faster; look again at once."""
        if view is None or step is None or step.flip_to is None:
            return False
        try:
            done = await self._database.flip(view.row.epoch, step.flip_to)
        except Problem as problem:
            problems.append(problem)
            return False
        if done:
            counts = f"From {view.row.worker_count} to {step.flip_to} workers"
            message = f"{counts}, epoch {view.row.epoch + 1}: {step.reason}."
            _log.info("%s/%s: %s", self._namespace, self._name, message)
            await self._tell(fleet, Turn(False, "Resized", message))
        return True

    async def _end(self) -> None:
        """Best effort: without it the workers end with their pods, and a fleet made again takes the row over."""
        if self._owner is None:
            return
        try:
            if await self._database.delete(self._owner):
                _log.info("%s/%s: deleted, no claim any more", self._namespace, self._name)
        except Problem as problem:
            _log.warning("%s/%s: not marked deleted: %s", self._namespace, self._name, problem)

    async def _report(
        self, seen: Observed, decision: Decision, stateful_set: Json | None, problems: Sequence[Problem]
    ) -> None:
        """Status where it has changed, an event for each condition that turned."""
        fleet, generation = seen.fleet, seen.fleet["metadata"]["generation"]
        obstacles = [] if problems else await self._obstacles(seen, decision)
        verdicts = {
            "Ready": readiness.ready(
                fleet,
                problems,
                seen.view,
                decision.sizing,
                decision.resize,
                obstacles,
                self._settings.operator_namespace,
            ),
            "DatabaseReachable": readiness.database_reachable(problems, seen.reached),
        }
        before: Json = fleet.get("status", {})
        answers, turns = status.conditions(
            verdicts, before.get("conditions", []), generation, datetime.now(UTC)
        )
        figures = figures_of(seen.view, decision.sizing, stateful_set)
        self._metrics.show(self._namespace, self._name, figures, verdicts["Ready"], seen.view)
        whole = status.build(figures, answers, before, generation, resources.selector_text(fleet))
        counts = self._monotonic() - self._counted_at >= SHOWN_AGAIN * self._settings.idle_seconds
        if status.differs(whole, before, counts=counts):
            await self._kube.apply_status(fleet, whole)
            self._counted_at = self._monotonic()
        for turn in turns:
            _log.info("%s/%s: %s %s", self._namespace, self._name, turn.reason, turn.message)
            await self._tell(fleet, turn)

    async def _tell(self, fleet: Json, turn: Turn) -> None:
        """An event. One that cannot be posted ends no look: the status says the same."""
        try:
            await self._kube.tell(fleet, turn)
        except KubernetesError as error:
            _log.warning("%s/%s: no event %s: %s", self._namespace, self._name, turn.reason, error)

    async def _obstacles(self, seen: Observed, decision: Decision) -> list[str]:
        """Only while workers are missing: what the cluster says of the pods that do not come up."""
        if seen.view is None or decision.sizing is None:
            return []
        wanted = decision.sizing.wanted
        if all(number in seen.view.live for number in range(1, wanted + 1)):
            return []
        pods = await self._kube.list(kube.POD, self._namespace, labels=resources.selector_text(seen.fleet))
        refusals = []
        if len(pods) < wanted:
            about = f"involvedObject.kind=StatefulSet,involvedObject.name={self._name},reason=FailedCreate"
            refusals = await self._kube.list(kube.CORE_EVENT, self._namespace, fields=about)
        return readiness.obstacles(pods, refusals)

    def _pause(self, view: View | None, decision: Decision, problems: Sequence[Problem]) -> float:
        idle = self._settings.idle_seconds
        if problems or view is None or decision.sizing is None:
            return min(WRONG_SECONDS, idle)
        if decision.sizing.wanted != view.row.worker_count or view.silent:
            return min(WAITING_SECONDS, idle)
        return idle if view.demand.mailboxes.active else min(WRONG_SECONDS, idle)


def figures_of(view: View | None, sizing: Sizing | None, stateful_set: Json | None) -> Figures:
    """What the status counts; nothing where the database could not be looked at. Pure."""
    if view is None or sizing is None:
        return Figures()
    pods = (stateful_set or {}).get("status", {})
    live = sum(number <= sizing.wanted for number in view.live)
    return Figures(
        epoch=view.row.epoch,
        workers=WorkersStatus(
            summary=f"{live}/{sizing.wanted}",
            wanted=sizing.wanted,
            ready=pods.get("readyReplicas", 0),
            replicas=pods.get("replicas", 0),
            sized_by=sizing.by,
        ),
        mailboxes=view.demand.mailboxes,
        today=view.demand.today,
    )
