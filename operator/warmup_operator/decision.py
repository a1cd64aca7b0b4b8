"""What one look at a fleet concludes: the size, the step towards it, the pods to ask for, when to look again. Pure.

Invariants: a fleet whose database cannot be read, or has another schema, keeps the pods it has as they are, for newer ones could
not work with it; one whose database another fleet uses keeps none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from warmup_core.sizing import Need, Present, Rules, Sizing, size
from warmup_core.spec_status import SizingStatus, WorkersStatus
from warmup_operator import pods, readiness, resize
from warmup_operator.observe import Observed
from warmup_operator.postgres import View
from warmup_operator.resize import Resize, Timing
from warmup_operator.status import Figures, Problem, Reason

Json = dict[str, Any]

WRONG_SECONDS = 5.0
"""To the next look while something is wrong."""
WAITING_SECONDS = 2.0
"""To the next look while workers are on their way: their leases are rows, and rows wake nobody."""
SILENT_SECONDS = 300.0
"""How long a worker that has fallen silent is waited for so; by then its pod is back, or was deleted with its lost node."""


@dataclass(frozen=True)
class Cluster:
    """What the pods tell; nothing is asked while exactly the workers' are there. ``obstacles``: a sentence each."""

    pods: Sequence[Json] = ()
    obstacles: Sequence[str] = ()


@dataclass(frozen=True)
class Decision:
    """What should be. ``replicas``: pods to ask for; None leaves the cluster alone."""

    sizing: Sizing | None
    resize: Resize | None
    replicas: int | None


def sizing_of(seen: Observed) -> Sizing | None:
    """How many workers are wanted; None where it cannot be told."""
    if seen.spec is None or seen.view is None:
        return None
    row, demand = seen.view.row, seen.view.demand
    replicas = int(seen.stateful_set["spec"]["replicas"]) if seen.stateful_set else 0
    return size(
        Need(demand.mailboxes.active, demand.mails, seen.view.capacity.mails),
        Rules.of(seen.spec.workers),
        Present(row.worker_count, replicas, row.at, row.resized_at),
    )


def decide(seen: Observed, sizing: Sizing | None, cluster: Cluster, timing: Timing) -> Decision:
    """The step towards the size, and the pods to ask for."""
    asked = int(seen.stateful_set["spec"]["replicas"]) if seen.stateful_set else None
    if any(problem.reason is Reason.DATABASE_IN_USE for problem in seen.problems):
        return Decision(None, None, 0 if seen.stateful_set else None)
    if sizing is None or seen.view is None:
        return Decision(None, None, None)
    view = seen.view
    unasked = frozenset(number for number in view.live if number > (asked or 0))
    leaving = pods.terminating(cluster.pods) | unasked
    step = resize.decide(
        sizing.wanted,
        view.row.worker_count,
        view.live,
        view.row.growth,
        view.row.at,
        timing,
        leaving=leaving,
        why=readiness.missing(seen.fleet, view.live - leaving, sizing.wanted, cluster.obstacles),
    )
    return Decision(sizing, step, step.replicas)


def due(step: Resize, stateful_set: Json | None) -> bool:
    """Whether the fleet's row has to be written. The time of a growth runs only once its pods could be asked for."""
    asked = stateful_set is not None and stateful_set["spec"]["replicas"] == step.replicas
    return step.flip_to is not None or (step.growth is not None and asked)


def must_ask(view: View, sizing: Sizing, stateful_set: Json | None) -> bool:
    """Whether pods are looked at: workers are missing, or more pods are there than should be."""
    expected = max(sizing.wanted, view.row.worker_count)
    present = (stateful_set or {}).get("status", {}).get("replicas", 0)
    return view.row.worker_count < expected or bool(view.silent) or present > expected


def pause(view: View | None, decision: Decision, problems: Sequence[Problem], idle: float) -> float:
    """Seconds to the next look: few while something may turn any moment, else ``idle``, however unwell the fleet is."""
    step = decision.resize
    if problems or view is None or step is None:
        return min(WRONG_SECONDS, idle)
    moves = step.replicas != view.row.worker_count or step.flip_to is not None
    if moves or any(out < SILENT_SECONDS for out in view.silent.values()):
        return min(WAITING_SECONDS, idle)
    return idle if view.demand.mailboxes.active else min(WRONG_SECONDS, idle)


def figures_of(view: View | None, sizing: Sizing | None, stateful_set: Json | None) -> Figures:
    """What the status counts; nothing where the database could not be looked at."""
    if view is None or sizing is None:
        return Figures()
    present = (stateful_set or {}).get("status", {})
    live = sum(number <= sizing.wanted for number in view.live)
    return Figures(
        epoch=view.row.epoch,
        workers=WorkersStatus(
            summary=f"{live}/{sizing.wanted}",
            wanted=sizing.wanted,
            ready=present.get("readyReplicas", 0),
            replicas=present.get("replicas", 0),
        ),
        sizing=SizingStatus(
            by=sizing.by,
            wanted=sizing.ideal,
            demand_per_day=sizing.need.mails,
            capacity_per_worker=sizing.need.capacity,
            reason=sizing.reason,
        ),
        mailboxes=view.demand.mailboxes.model_copy(update={"unowned": view.unowned}),
        today=view.demand.today,
        yesterday=view.demand.yesterday,
    )
