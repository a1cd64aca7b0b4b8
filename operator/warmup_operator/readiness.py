"""What the Ready and DatabaseReachable conditions say of what was seen. Pure: sentences for a person, with the next command.

Invariants: the first thing that is wrong gives the reason, the message names all of them; a fleet that sends is Ready, one that
does not says why and what to do.
"""

from collections.abc import Sequence
from typing import Any

from warmup_core.capacity import SizedBy, Sizing
from warmup_core.types import PLURAL
from warmup_operator.postgres import View
from warmup_operator.resize import Resize
from warmup_operator.status import Problem, Reason, Verdict

Json = dict[str, Any]


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
    operator_namespace: str,
) -> Verdict:
    """Whether the fleet sends. ``obstacles``: what the cluster says of pods that do not come up, a sentence each."""
    if problems:
        return Verdict(False, problems[0].reason, " ".join(problem.message for problem in problems))
    if view is None or sizing is None or resize is None:
        return Verdict(None, Reason.UNKNOWN, "Nothing has been looked at yet.")
    hindrance = f" {' '.join(obstacles)}" if obstacles else ""
    if sizing.wanted == 0 and view.row.worker_count == 0:
        return Verdict(False, Reason.STOPPED, f"{sizing.reason}: nothing is sent.{_unfix(fleet, sizing)}")
    if view.row.paused:
        return Verdict(False, Reason.PAUSED, "spec.paused is true: nothing is sent until it is false again.")
    if not view.demand.mailboxes.active:
        return Verdict(False, Reason.NO_MAILBOXES, _import(fleet, view, operator_namespace))
    if view.row.worker_count == 0:
        return Verdict(False, Reason.STARTING, f"{resize.reason}; sending begins when all are.{hindrance}")
    if view.silent:
        return Verdict(False, Reason.WORKERS_DOWN, f"{_down(fleet, view)}{hindrance}")
    if sizing.wanted > view.row.worker_count:
        message = f"{resize.reason}; {view.row.worker_count} go on sending meanwhile.{hindrance}"
        return Verdict(True, Reason.GROWING, message)
    return Verdict(
        True, Reason.RUNNING, f"{_workers(sizing.wanted)}, as {sizing.reason}.{_unfix(fleet, sizing)}"
    )


def _import(fleet: Json, view: View, operator_namespace: str) -> str:
    name, namespace = fleet["metadata"]["name"], fleet["metadata"]["namespace"]
    if view.demand.mailboxes.total:
        return f"All {view.demand.mailboxes.total} mailboxes are inactive; activate some, or import others."
    return (
        f"The fleet has no mailboxes. Import some: kubectl exec -i -n {operator_namespace} deploy/warmup-fleet --"
        f" warmup --fleet {namespace}/{name} mailboxes import - < mailboxes.csv"
    )


def _down(fleet: Json, view: View) -> str:
    names = [
        f"{fleet['metadata']['name']}-{number} "
        + ("has never been live" if seconds < 0 else f"was last heard of {_about(seconds)} ago")
        for number, seconds in sorted(view.silent.items())
    ]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{len(names)} of {_workers(view.row.worker_count)} not live: {shown}; their mailboxes wait."


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


def obstacles(pods: Sequence[Json], refusals: Sequence[Json]) -> list[str]:
    """Why pods do not come up: each waiting pod with the kubelet's or scheduler's word, and why one could not be made.

    ``refusals``: core/v1 events of reason FailedCreate about the StatefulSet; the newest speaks.
    """
    found = [
        f"Pod {pod['metadata']['name']}: {why}."
        for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
        if (why := _waiting(pod.get("status", {})))
    ]
    if refusals:
        newest = max(
            refusals, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or "")
        )
        found.append(f"The cluster refuses to make a pod: {str(newest.get('message', '')).strip()}.")
    return found[:3] + ([f"And {len(found) - 3} more."] if len(found) > 3 else [])


def _waiting(status: Json) -> str:
    for container in status.get("containerStatuses", []):
        state = container.get("state", {})
        waiting = state.get("waiting") or state.get("terminated") or {}
        if waiting.get("reason") not in {None, "ContainerCreating", "Completed"}:
            detail = str(waiting.get("message", "")).strip().rstrip(".")
            return f"{waiting['reason']}: {detail}" if detail else str(waiting["reason"])
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"not scheduled: {condition.get('message', '').rstrip('.') or condition.get('reason', '')}"
    return ""
