"""The one decision of a resize: how many pods, whether the count turns now, what the row remembers. Pure.

```
                     wanted > count, not held back
   settled (c) -----------------------------------------> growing (c -> t; since when stands in the row)
   replicas c  <----------------------------------------- replicas t; 1..c go on sending
     |    ^          wanted <= count again                  |       |
     |    |                                                 |       | Rp is over, and k of the t are live
     |    |                               1..t are all live |       v
     |    +------------------------------ flip: (e+1, t) <--+      held back: k + 1 and more are not tried before retry_after
     |                                                             (Rp, doubled with each failure; a changed spec ends it);
     |    wanted < count                                           flip to p where 1..p are live and p > c; replicas k
     +--> flip first: (e+1, t), then replicas t: the leaving
          pods drain on SIGTERM
```
With k = c, when no new pod came to life, replicas are back at the count. With k > c the pods beyond k make room for those missing
below it, and the growth goes on to k.
Sending never stops: before the flip the old owners claim, after it the new ones. Every arrow is one compare-and-set on the row
of the fleet (``warmup_core.fleet``); whoever comes second observes again.

Invariants: there are never fewer pods asked for than workers that own mailboxes (``replicas >= worker_count``); the count grows
only to numbers 1..t that are all live; nothing is remembered between two decisions but what stands in the row, so a changed wish
in the middle, or another operator, is simply the next decision; a wish that could not be read changes nothing.

| failure | what happens |
|---|---|
| operator dies before or after a write | the next one reads pods and row anew and makes the next decision: raised replicas are |
| | a growth that waits for its flip, a flip whose pods are still there a shrink that waits for its replicas |
| two operators | both decide the same; of two flips or notes one is written, by the epoch and by what was read before |
| a new pod never becomes live | after Rp the fleet takes as many as are live, and its condition names the pod and why |
| the first workers never become live | their pods stay: there is no count to go back to |
| a worker dies in the middle | the flip waits for it, or Rp ends the growth; if it owns mailboxes, only those wait for it |
| the wish goes A, B, A | the growth is forgotten; pods on their way out are not taken for live ones (``leaving``) |
| the operator's view is old | the flip fails on the epoch, the replicas on the StatefulSet's resourceVersion |
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from warmup_core import types
from warmup_core.backoff import doubled
from warmup_core.types import Growth


@dataclass(frozen=True)
class Timing:
    """The operator's time constants in seconds; they guard how soon something happens, never whether it is safe."""

    resize: float = types.RESIZE_SECONDS
    retry: float = types.RETRY_SECONDS
    longest_retry: float = types.LONGEST_RETRY_SECONDS
    lost: float = types.LOST_SECONDS
    rollout: float = types.ROLLOUT_SECONDS


@dataclass(frozen=True)
class Resize:
    """``replicas`` the StatefulSet should have now; ``flip_to``: the count to make by compare-and-set now, or None.

    ``growth``: what the row should remember, with the flip or without; None leaves it. ``held_back``: a growth that failed is
    not tried again yet.
    """

    replicas: int
    flip_to: int | None
    reason: str
    growth: Growth | None = None
    held_back: bool = False


def decide(
    wanted: int,
    worker_count: int,
    live: frozenset[int],
    growth: Growth,
    now: datetime,
    timing: Timing,
    *,
    leaving: frozenset[int] = frozenset(),
    why: str = "",
) -> Resize:
    """``live``: the numbers whose lease runs, ``growth``: the row's, ``now``: the database's clock as it read them.

    ``leaving``: numbers whose pod is on its way out though its lease still runs. ``why``: what the cluster says of pods that do
    not come up, to be remembered with a failure.
    """
    goal, held_back = _goal(wanted, worker_count, growth, now)
    kept = replace(growth, since=None)
    if goal == worker_count:
        reason = f"{wanted} workers are wanted, {growth.failed_target} could not be had" if held_back else ""
        return Resize(worker_count, None, reason, kept if kept != growth else None, held_back)
    if goal < worker_count:
        leave = worker_count - goal
        return Resize(worker_count, goal, "1 worker leaves" if leave == 1 else f"{leave} workers leave", kept)
    ready = live - leaving
    reached = _unbroken(ready)
    if reached >= goal:
        still_unproven = growth.failed_target is not None and growth.failed_target > goal
        memory = kept if still_unproven else Growth()
        return Resize(goal, goal, f"all {goal} workers are live", memory, held_back)
    usable = sum(number <= goal for number in ready)
    reason = f"{usable} of {goal} workers are live"
    if growth.since is None:
        return Resize(goal, None, reason, replace(growth, since=now), held_back)
    affordable = max(usable, worker_count)
    if now < growth.since + timedelta(seconds=timing.resize) or not affordable:
        return Resize(goal, None, reason, held_back=held_back)
    return Resize(
        affordable,
        reached if reached > worker_count else None,
        f"{reason} after {timing.resize:.0f} s",
        _failed(growth, affordable + 1, now, timing, why),
        held_back=True,
    )


def _goal(wanted: int, worker_count: int, growth: Growth, now: datetime) -> tuple[int, bool]:
    """The count to go for, and whether a growth that failed holds it below the wish for now."""
    failed, retry_after = growth.failed_target, growth.retry_after
    if failed is None or retry_after is None or wanted < failed or now >= retry_after:
        return wanted, False
    return max(failed - 1, min(worker_count, wanted)), True


def _unbroken(live: frozenset[int]) -> int:
    """The largest p such that all of 1..p are live."""
    reached = 0
    while reached + 1 in live:
        reached += 1
    return reached


def _failed(growth: Growth, target: int, now: datetime, timing: Timing, why: str) -> Growth:
    pause = doubled(timing.retry, growth.attempts, timing.longest_retry)
    return Growth(None, target, now + timedelta(seconds=pause), growth.attempts + 1, why)
