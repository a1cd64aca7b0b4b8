"""One look at one fleet: observe, decide, apply, report. Every trigger calls the same ``Reconciler.step``.

Level-triggered: what is, is read anew each time; only the pool of connections and the hour of the last counts are kept. One call
is one step of a resize (see ``resize``). Invariants: the StatefulSet is observed before the fleet's row and written with the
resourceVersion observed; a fleet whose demand cannot be read keeps the pods it has; an idle look writes nothing anywhere.
Fails: what the user has to mend becomes a condition; a KubernetesError (no answer, conflict) goes to the loop, which comes again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from warmup_core import capacity
from warmup_core.capacity import Sizing
from warmup_core.fleet import Owner
from warmup_core.spec import WarmupFleetSpec, WorkersStatus
from warmup_operator import inputs, kube, readiness, resources, status
from warmup_operator.kube import Kind, Kube, KubernetesError
from warmup_operator.metrics import Metrics
from warmup_operator.postgres import FleetDatabase, View
from warmup_operator.resize import Resize, decide
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


@dataclass
class Seen:
    """What one look found, filled in as far as it came."""

    fleet: Json
    problems: list[Problem]
    spec: WarmupFleetSpec | None = None
    stateful_set: Json | None = None
    reached: bool = False
    """The database answered and is this fleet's, whatever else is wrong."""
    view: View | None = None
    sizing: Sizing | None = None
    resize: Resize | None = None


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
        seen = Seen(fleet, [])
        if fleet["metadata"].get("deletionTimestamp"):
            await self._last_look(seen)
            return Answer(WRONG_SECONDS)
        await self._observe(seen)
        self._decide(seen)
        await self._apply(seen)
        flipped = await self._flip(seen)
        await self._report(seen)
        return Answer(self._pause(seen, flipped))

    # observe

    async def _observe(self, seen: Seen) -> None:
        metadata = seen.fleet["metadata"]
        self._owner = Owner(await self._kube.cluster_id(), self._namespace, self._name, metadata["uid"])
        seen.stateful_set = await self._kube.get(kube.STATEFUL_SET, self._namespace, self._name)
        try:
            seen.spec = WarmupFleetSpec.model_validate(seen.fleet["spec"])
        except ValidationError as error:
            faults = "; ".join(
                f"spec.{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
            )
            seen.problems.append(
                Problem(Reason.SPEC_INVALID, f"{faults}. Update the CRD and the operator together.")
            )
            return
        given = await inputs.read(self._kube, self._namespace, seen.spec)
        seen.problems += given.problems
        if given.access is None:
            return
        try:
            seen.view = await self._database.observe(
                given.access, self._owner, seen.spec, metadata["generation"]
            )
            seen.reached = True
        except Problem as problem:
            seen.problems.append(problem)
            seen.reached = not problem.database
            return
        if seen.view.row.generation > metadata["generation"]:
            raise KubernetesError(
                409, "the API server answered from an older view of the fleet than the database knows"
            )
        if given.keys is not None:
            lost = inputs.keys_missing(given.keys, seen.view.demand.keys, seen.spec, self._namespace)
            seen.problems += [lost] if lost else []

    async def _last_look(self, seen: Seen) -> None:
        """A fleet on its way out: end its claims and touch nothing else, or its objects would be made again."""
        if self._owner is None:
            uid = seen.fleet["metadata"]["uid"]
            self._owner = Owner(await self._kube.cluster_id(), self._namespace, self._name, uid)
            try:
                spec = WarmupFleetSpec.model_validate(seen.fleet["spec"])
            except ValidationError:
                return
            given = await inputs.read(self._kube, self._namespace, spec)
            if given.access is not None:
                await self._database.use(given.access)
        await self._end()

    async def _end(self) -> None:
        """Best effort: without it the workers end with their pods, and a fleet made again takes the row over."""
        if self._owner is None:
            return
        try:
            if await self._database.delete(self._owner):
                _log.info("%s/%s: deleted, no claim any more", self._namespace, self._name)
        except Problem as problem:
            _log.warning("%s/%s: not marked deleted: %s", self._namespace, self._name, problem)

    # decide

    def _decide(self, seen: Seen) -> None:
        if seen.spec is None or seen.view is None:
            return
        workers = seen.spec.workers
        seen.sizing = capacity.size(
            seen.view.demand.mailboxes.active,
            minimum=workers.min,
            maximum=workers.max,
            max_mailboxes_per_worker=workers.max_mailboxes_per_worker,
            fixed=workers.replicas,
        )
        seen.resize = decide(seen.sizing.wanted, seen.view.row.worker_count, seen.view.live)

    def _replicas(self, seen: Seen) -> int | None:
        """Pods to ask for. Unread demand keeps what is there; in another fleet's database ours have no business."""
        if any(problem.reason is Reason.DATABASE_IN_USE for problem in seen.problems):
            return 0 if seen.stateful_set else None
        if seen.resize is not None:
            return seen.resize.replicas
        return int(seen.stateful_set["spec"]["replicas"]) if seen.stateful_set else None

    # apply

    async def _apply(self, seen: Seen) -> None:
        replicas = self._replicas(seen)
        if seen.spec is None or replicas is None:
            return
        stateful_set = resources.stateful_set(seen.fleet, seen.spec, replicas, self._settings.worker_image)
        wishes = [
            (kube.SERVICE_ACCOUNT, resources.service_account(seen.fleet)),
            (kube.SERVICE, resources.service(seen.fleet)),
            (kube.STATEFUL_SET, stateful_set),
            (kube.DISRUPTION_BUDGET, resources.disruption_budget(seen.fleet)),
        ]
        for kind, manifest in wishes:
            try:
                await self._apply_one(kind, manifest, seen)
            except Problem as problem:
                seen.problems.append(problem)

    async def _apply_one(self, kind: Kind, manifest: Json, seen: Seen) -> None:
        name = manifest["metadata"]["name"]
        live = seen.stateful_set
        if kind is not kube.STATEFUL_SET:
            live = await self._kube.get(kind, self._namespace, name)
        if live is not None and not resources.owned_by(live, seen.fleet):
            raise Problem(
                Reason.NAME_TAKEN,
                f"{kind.kind} {self._namespace}/{name} exists and is not this fleet's; it was left alone."
                f" Delete it (kubectl delete {kind.plural} -n {self._namespace} {name}) or give the fleet another name.",
            )
        if not resources.must_write(manifest, live):
            return
        if live is not None:
            manifest["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        try:
            written = await self._kube.apply(kind, manifest)
        except KubernetesError as error:
            if not error.refused:
                raise
            raise Problem(
                Reason.KUBERNETES_REFUSED, f"{kind.kind} {self._namespace}/{name}: {error}"
            ) from None
        if kind is kube.STATEFUL_SET:
            seen.stateful_set = written

    async def _flip(self, seen: Seen) -> bool:
        """Turn the count when it is due. True: it turned, or somebody else did it; look again at once."""
        if seen.view is None or seen.resize is None or seen.resize.flip_to is None or seen.problems:
            return False
        before, target = seen.view.row, seen.resize.flip_to
        try:
            done = await self._database.flip(before.epoch, target)
        except Problem as problem:
            seen.problems.append(problem)
            return False
        if done:
            message = f"From {before.worker_count} to {target} workers, epoch {before.epoch + 1}: {seen.resize.reason}."
            _log.info("%s/%s: %s", self._namespace, self._name, message)
            await self._kube.tell(seen.fleet, Turn(False, "Resized", message))
        return True

    # report

    async def _report(self, seen: Seen) -> None:
        fleet, view, now = seen.fleet, seen.view, datetime.now(UTC)
        obstacles = await self._obstacles(seen)
        verdicts = {
            "Ready": readiness.ready(
                fleet,
                seen.problems,
                view,
                seen.sizing,
                seen.resize,
                obstacles,
                self._settings.operator_namespace,
            ),
            "DatabaseReachable": readiness.database_reachable(seen.problems, seen.reached),
        }
        before: Json = fleet.get("status", {})
        generation = fleet["metadata"]["generation"]
        answers, turns = status.conditions(verdicts, before.get("conditions", []), generation, now)
        figures = self._figures(seen)
        self._metrics.show(self._namespace, self._name, figures, verdicts["Ready"], view)
        whole = status.build(figures, answers, before, generation, resources.selector_text(fleet))
        counts = self._monotonic() - self._counted_at >= SHOWN_AGAIN * self._settings.idle_seconds
        if status.differs(whole, before, counts=counts):
            await self._kube.apply_status(fleet, whole)
            self._counted_at = self._monotonic()
        for turn in turns:
            _log.info("%s/%s: %s %s", self._namespace, self._name, turn.reason, turn.message)
            await self._kube.tell(fleet, turn)

    def _figures(self, seen: Seen) -> Figures:
        view, sizing = seen.view, seen.sizing
        if view is None or sizing is None:
            return Figures()
        pods = (seen.stateful_set or {}).get("status", {})
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

    async def _obstacles(self, seen: Seen) -> list[str]:
        """Only while workers are missing: what the cluster says of the pods that do not come up."""
        if seen.view is None or seen.sizing is None or seen.problems:
            return []
        if all(number in seen.view.live for number in range(1, seen.sizing.wanted + 1)):
            return []
        pods = await self._kube.list(kube.POD, self._namespace, labels=resources.selector_text(seen.fleet))
        refusals = []
        if len(pods) < seen.sizing.wanted:
            about = f"involvedObject.kind=StatefulSet,involvedObject.name={self._name},reason=FailedCreate"
            refusals = await self._kube.list(kube.CORE_EVENT, self._namespace, fields=about)
        return readiness.obstacles(pods, refusals)

    def _pause(self, seen: Seen, flipped: bool) -> float:
        if flipped:
            return 0.0
        if seen.problems or seen.view is None or seen.sizing is None or seen.resize is None:
            return min(WRONG_SECONDS, self._settings.idle_seconds)
        if seen.sizing.wanted != seen.view.row.worker_count or seen.view.silent:
            return min(WAITING_SECONDS, self._settings.idle_seconds)
        if not seen.view.demand.mailboxes.active:
            return min(WRONG_SECONDS, self._settings.idle_seconds)
        return self._settings.idle_seconds
