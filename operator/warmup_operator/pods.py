"""What a fleet's pods tell: which are on their way out, which a lost node will never let go, why one does not come up. Pure.

Invariants: a pod never proves that a worker lives (its lease does); it only says what stands in the way. A pod is lost when it is
Terminating and its worker's lease has been out for so long that a kubelet which still served it would have ended it: then its
node is gone, nobody else will remove it, and its number cannot run anywhere until somebody does. Removing one that still runs is
safe, because the database fences it: a newer process of the number takes its incarnation.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

_NUMBER = "apps.kubernetes.io/pod-index"

NAMED = 10
"""How many of those that do not send a condition names; it says how many more there are."""


def number_of(pod: Json) -> int:
    """The worker's number; 0 for a pod that the StatefulSet did not make."""
    text = str(pod["metadata"].get("labels", {}).get(_NUMBER, ""))
    return int(text) if text.isdecimal() else 0


def terminating(pods: Sequence[Json]) -> frozenset[int]:
    """The numbers whose pod is on its way out."""
    return frozenset(number_of(pod) for pod in pods if _deleted(pod))


def lost(
    pods: Sequence[Json], live: Collection[int], expired: Mapping[int, float], now: datetime, seconds: float
) -> list[Json]:
    """Terminating pods whose lease has been out for ``seconds``. ``live``: the numbers whose lease runs. ``expired``: since when
    leases are out, in seconds, by number.

    A number that never had a lease, as in a growth that was given up, gives nothing to go by but the deadline of its deletion.
    """
    found = []
    for pod in pods:
        number = number_of(pod)
        if not _deleted(pod) or not number or number in live:
            continue
        out_for = expired.get(number, -1.0)
        if out_for < 0:
            out_for = (now - _instant(pod["metadata"]["deletionTimestamp"])).total_seconds()
        if out_for >= seconds:
            found.append(pod)
    return found


def _deleted(pod: Json) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def obstacles(pods: Sequence[Json], refusals: Sequence[Json]) -> list[str]:
    """Why pods do not come up: waiting pods, each with the kubelet's or scheduler's word, and why one could not be made.

    ``refusals``: core/v1 events of reason FailedCreate about the StatefulSet; the newest speaks.
    """
    found = [
        f"Pod {pod['metadata']['name']}: {why}."
        for pod in sorted(pods, key=lambda pod: (number_of(pod), str(pod["metadata"]["name"])))
        if (why := _waiting(pod.get("status", {})))
    ]
    told = found[:NAMED] + ([f"And {len(found) - NAMED} more."] if len(found) > NAMED else [])
    if refusals:
        newest = max(
            refusals, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or "")
        )
        told.append(f"The cluster refuses to make a pod: {str(newest.get('message', '')).strip()}.")
    return told


def name_some(names: Sequence[str]) -> str:
    """As many as a condition names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


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
