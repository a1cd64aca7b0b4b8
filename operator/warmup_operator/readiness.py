"""What the conditions of a fleet say of what was seen. Pure: sentences for a person.

Invariants: the first thing that is wrong gives the reason, the message names all of them; a fleet that sends is Ready, one that
does not says why and what to do.
"""

from collections.abc import Collection, Sequence
from typing import Any

from warmup_core.sizing import SizedBy, Sizing
from warmup_core.types import LEASE_SECONDS, PLURAL
from warmup_operator import pods
from warmup_operator.postgres import View
from warmup_operator.resize import Resize
from warmup_operator.status import Problem, Reason, Verdict

Json = dict[str, Any]

_COUNTS = (
    "status.mailboxes.topReasons has the counts, `warmup pauses list` the ends of pauses;"
    " `warmup mailboxes release` lets those go on whose trouble is mended."
)

HELD_SHARE = 100
"""One mailbox held in so many active ones makes a fleet Degraded; fewer are the daily life of a large one."""


def database_reachable(problems: Sequence[Problem], reached: bool) -> Verdict:
    """Whether the database serves this fleet; Unknown when the look ended before it, as with an unreadable spec."""
    for problem in problems:
        if problem.database:
            return Verdict(False, problem.reason, problem.message)
    if reached:
        return Verdict(True, Reason.REACHABLE, "The database answers and is this fleet's.")
    return Verdict(None, Reason.UNKNOWN, "The database could not be looked at; the condition Ready says why.")


def ready(
    fleet: Json,
    problems: Sequence[Problem],
    view: View | None,
    sizing: Sizing | None,
    resize: Resize | None,
    obstacles: Sequence[str],
    rollout: str,
    operator_namespace: str,
    quota: Verdict,
) -> Verdict:
    """Whether the fleet sends, and as many mails as it is asked for.

    ``obstacles``: what the cluster says of pods that do not come up, a sentence each. ``rollout``: how far a replacement of pods
    is that explains every worker that is away, else empty. ``quota``: the condition QuotaFeasible.
    """
    if problems:
        return Verdict(False, problems[0].reason, " ".join(problem.message for problem in problems))
    if view is None or sizing is None or resize is None:
        return Verdict(None, Reason.UNKNOWN, "Nothing has been looked at yet.")
    hindrance = f" {' '.join(obstacles)}" if obstacles else ""
    if sizing.wanted == 0 and view.row.worker_count == 0:
        return Verdict(
            False, Reason.STOPPED, f"workers.replicas is 0: nothing is sent.{_unfix(fleet, sizing)}"
        )
    if view.row.paused:
        return Verdict(False, Reason.PAUSED, "spec.paused is true: nothing is sent until it is false again.")
    if not view.demand.mailboxes.active:
        return Verdict(False, Reason.NO_MAILBOXES, _import(fleet, view, operator_namespace))
    if view.demand.mailboxes.active == 1:
        return Verdict(False, Reason.MAILBOXES_TOO_FEW, _second(fleet, view, operator_namespace))
    if view.row.worker_count == 0:
        return Verdict(False, Reason.STARTING, f"{resize.reason}; sending begins when all are.{hindrance}")
    if view.silent and not rollout:
        return Verdict(False, Reason.WORKERS_DOWN, f"{_down(fleet, view)}{hindrance}")
    if view.demand.mailboxes.paused >= view.demand.mailboxes.active:
        everybody = f"All {view.demand.mailboxes.active} active mailboxes wait{_most(view)}: nothing is sent until one may."
        return Verdict(False, Reason.MAILBOXES_HELD, f"{everybody} {_COUNTS}")
    if rollout:
        return Verdict(True, Reason.ROLLING_OUT, f"{rollout}{hindrance}")
    if resize.replicas > view.row.worker_count:
        return Verdict(True, Reason.GROWING, _growing(view, resize, hindrance))
    if resize.held_back:
        return Verdict(True, Reason.GROWTH_FAILED, _held_back(view, sizing, resize))
    if quota.reason is Reason.LIMIT_TOO_LOW:
        return quota
    if sizing.by is SizedBy.FIXED:
        fixed = f"{_workers(sizing.wanted)}, as workers.replicas fixes the count.{_unfix(fleet, sizing)}"
        return Verdict(True, Reason.RUNNING, fixed)
    wait = f"; {sizing.wait}" if sizing.wait else ""
    return Verdict(True, Reason.RUNNING, f"{_workers(sizing.wanted)}, sized by {sizing.by}{wait}.")


def resizing(
    view: View | None,
    sizing: Sizing | None,
    resize: Resize | None,
    stateful_set: Json | None,
    obstacles: Sequence[str],
) -> Verdict:
    """Whether the number of workers is on its way to another."""
    if view is None or sizing is None or resize is None:
        return Verdict(None, Reason.UNKNOWN, "It could not be looked at; the condition Ready says why.")
    count = view.row.worker_count
    present = (stateful_set or {}).get("status", {}).get("replicas", 0)
    hindrance = f" {' '.join(obstacles)}" if obstacles else ""
    if resize.replicas > count:
        return Verdict(True, Reason.GROWING, _growing(view, resize, hindrance))
    if resize.held_back:
        return Verdict(False, Reason.GROWTH_FAILED, _held_back(view, sizing, resize))
    if sizing.wanted < count or present > count:
        before = max(present, count)
        leaving = before - sizing.wanted
        return Verdict(
            True, Reason.SHRINKING, f"From {before} to {_workers(sizing.wanted)}: {leaving} leave."
        )
    return Verdict(False, Reason.SETTLED, f"{_workers(count)}, as wanted.")


def paused(view: View | None) -> Verdict:
    """Whether the fleet is told to stand still."""
    if view is None:
        return Verdict(None, Reason.UNKNOWN, "It could not be looked at; the condition Ready says why.")
    if view.row.paused:
        return Verdict(True, Reason.PAUSED, "spec.paused is true: the pods stay and nothing is sent.")
    return Verdict(False, Reason.SENDING, "spec.paused is false.")


def degraded(
    fleet: Json,
    view: View | None,
    sizing: Sizing | None,
    resize: Resize | None,
    rollout: str,
    lacking: Sequence[str] = (),
) -> Verdict:
    """Whether something keeps part of the fleet from sending, while the rest of it may go on.

    ``lacking``: fields of the CRD that the API server does not serve; whether the spec had any cannot be known.
    """
    if lacking:
        cure = "Bring this release's CRD: helm upgrade, or kubectl apply --server-side -f crds/warmupfleets.yaml."
        return Verdict(
            True,
            Reason.CRD_OUTDATED,
            f"The API server's CRD is older than this operator and drops {pods.name_some(lacking)}: set, they count as not set."
            f" {cure}",
        )
    if view is None or sizing is None or resize is None:
        return Verdict(None, Reason.UNKNOWN, "It could not be looked at; the condition Ready says why.")
    if view.silent and not rollout:
        return Verdict(True, Reason.WORKERS_DOWN, _down(fleet, view))
    if resize.held_back:
        return Verdict(True, Reason.GROWTH_FAILED, _held_back(view, sizing, resize))
    mailboxes = view.demand.mailboxes
    if mailboxes.paused * HELD_SHARE >= mailboxes.active > 0:
        share = f"At least one in {HELD_SHARE} active mailboxes waits{_most(view)}."
        return Verdict(True, Reason.MAILBOXES_HELD, f"{share} {_COUNTS}")
    return Verdict(False, Reason.HEALTHY, "Nothing is wrong that keeps mail from going out.")


def missing(fleet: Json, live: Collection[int], wanted: int, obstacles: Sequence[str]) -> str:
    """Which of the wanted workers are not live, and what the cluster says of their pods."""
    names = [f"{fleet['metadata']['name']}-{number}" for number in range(1, wanted + 1) if number not in live]
    return " ".join([f"Not live: {pods.name_some(names)}.", *obstacles]) if names else ""


def rollout(stateful_set: Json | None, view: View, seconds: float) -> str:
    """How far the replacement of pods is, if one is under way; empty when a worker has been away for longer than it explains."""
    status = (stateful_set or {}).get("status", {})
    if status.get("updateRevision", "") == status.get("currentRevision", ""):
        return ""
    if any(not 0 <= out < seconds for out in view.silent.values()):
        return ""
    done, present = status.get("updatedReplicas", 0), status.get("replicas", 0)
    return f"{done} of {present} pods run what the spec asks for; the others are replaced one after the other, draining first."


def _growing(view: View, resize: Resize, hindrance: str) -> str:
    return f"{resize.reason}; {view.row.worker_count} go on sending meanwhile.{hindrance}"


def _held_back(view: View, sizing: Sizing, resize: Resize) -> str:
    growth = resize.growth or view.row.growth
    again = f"{growth.retry_after:%H:%M} UTC" if growth.retry_after else "the next look"
    return (
        f"{_workers(sizing.wanted)} wanted, {view.row.worker_count} could be had and send."
        f" {growth.reason} Tried again at {again}, or at once when the spec changes.".replace("  ", " ")
    )


def _import(fleet: Json, view: View, operator_namespace: str) -> str:
    if view.demand.mailboxes.total:
        return f"All {view.demand.mailboxes.total} mailboxes are inactive; activate some, or import others."
    return f"The fleet has no mailboxes. Import some: {_command(fleet, operator_namespace)}"


def _second(fleet: Json, view: View, operator_namespace: str) -> str:
    alone = "Only one mailbox is active, and mail goes only between mailboxes of the fleet: it has nobody to write to."
    if view.demand.mailboxes.total > 1:
        return f"{alone} Activate a second one."
    return f"{alone} Import a second one: {_command(fleet, operator_namespace)}"


def _command(fleet: Json, operator_namespace: str) -> str:
    name, namespace = fleet["metadata"]["name"], fleet["metadata"]["namespace"]
    return (
        f"kubectl exec -i -n {operator_namespace} deploy/warmup-fleet --"
        f" warmup --fleet {namespace}/{name} mailboxes import - < mailboxes.csv"
    )


def _most(view: View) -> str:
    """What most of those wait for."""
    widest = next(iter(view.demand.mailboxes.top_reasons), None)
    return f", most of them for {widest.reason} ({widest.words.rstrip('.')})" if widest else ""


def _down(fleet: Json, view: View) -> str:
    names = [
        f"{fleet['metadata']['name']}-{number} "
        + (
            "has never been live"
            if seconds < 0
            else f"was last heard of {_about(seconds + LEASE_SECONDS)} ago"
        )
        for number, seconds in sorted(view.silent.items())
    ]
    return (
        f"{len(names)} of {_workers(view.row.worker_count)} not live: {pods.name_some(names)};"
        f" {view.unowned} mailboxes have no live owner and wait."
    )


def _about(seconds: float) -> str:
    """Coarse on purpose: a message that changed every second would be written every second."""
    if seconds < 60:
        return "less than a minute"
    return f"{int(seconds // 60)} min" if seconds < 7200 else f"{int(seconds // 3600)} h"


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _unfix(fleet: Json, sizing: Sizing) -> str:
    if sizing.by is not SizedBy.FIXED:
        return ""
    return (
        f" To let it size itself again: kubectl patch {PLURAL} {fleet['metadata']['name']}"
        f' -n {fleet["metadata"]["namespace"]} --type=merge -p \'{{"spec":{{"workers":{{"replicas":null}}}}}}\''
    )
