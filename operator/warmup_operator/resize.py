"""The one decision of a resize: how many pods, and whether the count turns now. Pure; the protocol's table for the operator.

    wanted > count:  replicas = wanted -> rows 1..wanted live -> flip
    wanted < count:  flip -> replicas = wanted

Invariants: there are never fewer pods asked for than workers that own mailboxes (``replicas >= worker_count``); nothing is
remembered between two decisions, so a changed wish in the middle is simply the next decision; a wish that could not be read
changes nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Resize:
    """``replicas`` the StatefulSet should have now; ``flip_to``: the count to make by compare-and-set now, or None."""

    replicas: int
    flip_to: int | None
    reason: str


def decide(wanted: int, worker_count: int, live: frozenset[int]) -> Resize:
    """``live``: the numbers whose lease runs. Flipping needs every row 1..wanted live only when growing."""
    replicas = max(wanted, worker_count)
    if wanted < worker_count:
        return Resize(replicas, wanted, f"{worker_count - wanted} workers leave")
    missing = [number for number in range(1, wanted + 1) if number not in live]
    if wanted > worker_count and not missing:
        return Resize(replicas, wanted, f"all {wanted} workers are live")
    if wanted > worker_count:
        return Resize(replicas, None, f"{wanted - len(missing)} of {wanted} workers are live")
    return Resize(replicas, None, "")
