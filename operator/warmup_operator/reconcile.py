"""One look at one fleet: observe, decide, apply, flip, report. Every trigger calls the same ``Reconciler.step``.

Level-triggered: what is, is read anew each time; only the pool of connections, the hour of the last counts, the version of the
fleet last seen and what was last told of a purge are kept. ``decision`` says what a look concludes; one call is one step of a
resize (see ``resize``). Invariant: an idle look writes nothing anywhere.
Fails: what the user has to mend becomes a condition; a KubernetesError (no answer, conflict) goes to the loop, which comes again.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from warmup_core.fleet import Owner
from warmup_core.sizing import Rules, Sizing
from warmup_operator import apply, ending, foresight, kube, observe, pods, readiness, resources, status
from warmup_operator.decision import (
    WRONG_SECONDS,
    Cluster,
    Decision,
    decide,
    due,
    figures_of,
    must_ask,
    pause,
    sizing_of,
)
from warmup_operator.ending import Finalizing
from warmup_operator.kube import Kube, KubernetesError
from warmup_operator.metrics import Metrics
from warmup_operator.observe import Observed
from warmup_operator.postgres import FleetDatabase, View
from warmup_operator.resize import Resize
from warmup_operator.served import Served
from warmup_operator.settings import OperatorSettings
from warmup_operator.status import Problem, Turn

Json = dict[str, Any]
_log = logging.getLogger(__name__)

SHOWN_AGAIN = 0.9
"""Counts are written when this share of the idle time has passed, lest a look a moment too early skips a turn."""


@dataclass(frozen=True)
class Answer:
    """``after``: seconds until the next look, 0 for at once; ``gone``: the fleet is no more."""

    after: float
    gone: bool = False


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
        self._served = Served(cluster)
        self._owner: Owner | None = None
        self._version = ""
        """The resourceVersion of the fleet as it was last read."""
        self._counted_at = float("-inf")
        self._purge_waits = ""
        """The message of the last event PurgeWaits."""

    async def close(self) -> None:
        """End the pool and forget the fleet's figures."""
        self._metrics.forget(self._namespace, self._name)
        await self._database.close()

    async def step(self) -> Answer:
        """Look once and do the one thing that is due. Raises KubernetesError."""
        fleet = await self._kube.get(kube.FLEET, self._namespace, self._name)
        if fleet is None:
            # The end of a fleet rests on two answers of the present, not on one that may be of the past.
            await self._kube.confirm_absent(kube.FLEET, self._namespace, self._name, self._version)
            await self._end()
            return Answer(0, gone=True)
        kube.refuse_older(fleet["metadata"]["resourceVersion"], self._version)
        self._version = fleet["metadata"]["resourceVersion"]
        if fleet["metadata"].get("deletionTimestamp"):
            # On its way out: touch nothing else, or its objects would be made again.
            await self._leave(fleet)
            return Answer(WRONG_SECONDS)
        self._owner = await observe.owner_of(self._kube, fleet)
        fleet = await self._finalize(fleet, ending.finalizing(fleet))
        seen = await observe.observe(self._kube, self._database, fleet, self._owner)
        sizing = sizing_of(seen)
        cluster = await self._cluster(seen, sizing)
        decision = decide(seen, sizing, cluster, self._settings.timing)
        stateful_set, problems = seen.stateful_set, list(seen.problems)
        if seen.spec is not None and decision.replicas is not None:
            applied = await apply.apply(
                self._kube, fleet, seen.spec, stateful_set, decision.replicas, self._settings.worker_image
            )
            stateful_set = applied.stateful_set
            problems += applied.problems
        turned = await self._turn(fleet, seen.view, decision.resize, stateful_set, problems)
        if seen.view is not None:
            await self._remove_lost(seen.view, cluster.pods)
        await self._report(seen, decision, cluster, stateful_set, problems)
        return Answer(0 if turned else pause(seen.view, decision, problems, self._settings.idle_seconds))

    async def _turn(
        self,
        fleet: Json,
        view: View | None,
        step: Resize | None,
        stateful_set: Json | None,
        problems: list[Problem],
    ) -> bool:
        """Write what the step asks for into the fleet's row. True: it is written, or somebody else was faster: look again.

        Whatever else is wrong with the fleet is no reason not to: the database itself says who is live.
        """
        if view is None or step is None or not due(step, stateful_set):
            return False
        try:
            done = await self._database.turn(view.row, step)
        except Problem as problem:
            problems.append(problem)
            return False
        if done and step.flip_to is not None:
            counts = f"From {view.row.worker_count} to {step.flip_to} workers"
            message = f"{counts}, epoch {view.row.epoch + 1}: {step.reason}."
            await self._tell(fleet, Turn(False, "Resized", message))
        return True

    async def _remove_lost(self, view: View, present: Sequence[Json]) -> None:
        """Delete by force the pods that a lost node keeps Terminating, so that their numbers can run elsewhere."""
        for pod in pods.lost(present, view.live, view.expired, datetime.now(UTC), self._settings.timing.lost):
            name = pod["metadata"]["name"]
            await self._kube.remove_pod(pod)
            _log.warning(
                "%s/%s: pod %s of a lost node (%s) deleted by force: Terminating, and its lease has been out for %.0f s",
                self._namespace,
                self._name,
                name,
                pod["spec"].get("nodeName", "none"),
                view.expired.get(pods.number_of(pod), -1),
            )

    async def _end(self) -> None:
        """Best effort: without it the workers end with their pods, and a fleet made again takes the row over."""
        if self._owner is None:
            return
        try:
            if await self._database.delete(self._owner):
                _log.info("%s/%s: deleted, no claim any more", self._namespace, self._name)
        except Problem as problem:
            _log.warning("%s/%s: not marked deleted: %s", self._namespace, self._name, problem)

    async def _leave(self, fleet: Json) -> None:
        """A fleet on its way out: end its claims, and purge it first where it waits for that."""
        self._owner = await observe.owner_of(self._kube, fleet)
        await observe.find_database(self._kube, self._database, fleet)
        if ending.must_purge(fleet):
            change = await self._purge(fleet, self._owner)
        else:
            await self._end()
            change = ending.finalizing(fleet)
        await self._finalize(fleet, change)

    async def _finalize(self, fleet: Json, change: Finalizing) -> Json:
        """Set our finalizer or take it away; returns the fleet as it stands then."""
        if change.wanted is None:
            return fleet
        _log.info("%s/%s: %s", self._namespace, self._name, change.reason)
        fleet = await self._kube.set_finalizers(fleet, ending.finalizers(fleet, change.wanted))
        self._version = fleet["metadata"]["resourceVersion"]
        return fleet

    async def _purge(self, fleet: Json, owner: Owner) -> Finalizing:
        """Empty the database if nothing is in flight; the finalizer goes when it is done. Why it waits is told once."""
        try:
            if await self._database.empty(owner):
                return Finalizing(False, "purged: the database holds nothing of the fleet any more")
            _log.info("%s/%s: purge waits for mail in flight", self._namespace, self._name)
        except Problem as problem:
            way = "mend it, or set deletionPolicy to Retain to let the fleet go and keep the data"
            message = f"The database cannot be emptied: {problem}; {way}."
            if message != self._purge_waits:
                await self._tell(fleet, Turn(True, "PurgeWaits", message))
                self._purge_waits = message
        return Finalizing(None)

    async def _report(
        self,
        seen: Observed,
        decision: Decision,
        cluster: Cluster,
        stateful_set: Json | None,
        problems: Sequence[Problem],
    ) -> None:
        """Status where it has changed, an event for each condition that turned."""
        fleet, generation = seen.fleet, seen.fleet["metadata"]["generation"]
        view, sizing, step = seen.view, decision.sizing, decision.resize
        rollout = await self._rollout(stateful_set, view)
        quota = foresight.quota_feasible(view, Rules.of(seen.spec.workers) if seen.spec else None)
        verdicts = {
            "Ready": readiness.ready(
                fleet,
                problems,
                view,
                sizing,
                step,
                cluster.obstacles,
                rollout,
                self._settings.operator_namespace,
                quota,
            ),
            "QuotaFeasible": quota,
            "DatabaseReachable": readiness.database_reachable(problems, seen.reached),
            "Resizing": readiness.resizing(view, sizing, step, stateful_set, cluster.obstacles),
            "Paused": readiness.paused(view),
            "Degraded": readiness.degraded(fleet, view, sizing, step, rollout, await self._served.lacking()),
        }
        before: Json = fleet.get("status", {})
        answers, turns = status.conditions(
            verdicts, before.get("conditions", []), generation, datetime.now(UTC)
        )
        figures = figures_of(seen.view, decision.sizing, stateful_set)
        self._metrics.show(self._namespace, self._name, figures, verdicts, seen.view)
        whole = status.build(figures, answers, before, generation, resources.selector_text(fleet))
        counts = self._monotonic() - self._counted_at >= SHOWN_AGAIN * self._settings.idle_seconds
        if status.differs(whole, before, counts=counts):
            await self._kube.apply_status(fleet, whole)
            self._counted_at = self._monotonic()
        for turn in turns:
            await self._tell(fleet, turn)

    async def _rollout(self, stateful_set: Json | None, view: View | None) -> str:
        """How far a replacement of pods is that explains who is away, see ``readiness.rollout``.

        The StatefulSet was read before the rows, so a rollout that has begun since may have taken a worker already.
        """
        if view is None:
            return ""
        told = readiness.rollout(stateful_set, view, self._settings.timing.rollout)
        if told or not view.silent:
            return told
        newest = await self._kube.get(kube.STATEFUL_SET, self._namespace, self._name)
        return readiness.rollout(newest, view, self._settings.timing.rollout)

    async def _tell(self, fleet: Json, turn: Turn) -> None:
        """A line in the log and an event. One that cannot be posted ends no look; in a namespace that ends none can be."""
        _log.info("%s/%s: %s %s", self._namespace, self._name, turn.reason, turn.message)
        try:
            await self._kube.tell(fleet, turn)
        except KubernetesError as error:
            _log.warning("%s/%s: no event %s: %s", self._namespace, self._name, turn.reason, error)

    async def _cluster(self, seen: Observed, sizing: Sizing | None) -> Cluster:
        """Ask after the pods, only while some are missing or too many."""
        if seen.view is None or sizing is None or not must_ask(seen.view, sizing, seen.stateful_set):
            return Cluster()
        expected = max(sizing.wanted, seen.view.row.worker_count)
        present = await self._kube.list(kube.POD, self._namespace, labels=resources.selector_text(seen.fleet))
        refusals = []
        if len(present) < expected:
            about = f"involvedObject.kind=StatefulSet,involvedObject.name={self._name},reason=FailedCreate"
            refusals = await self._kube.list(kube.CORE_EVENT, self._namespace, fields=about)
        return Cluster(present, pods.obstacles(present, refusals))
