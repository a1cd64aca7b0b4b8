"""Whether a worker is ready, and the sentence that says why or why not. Pure.

Ready means that this process can do its part now or has none to do: a number beyond the count is ready and owns nothing. A
paused fleet is ready too. Readiness decides nothing about ownership; it is for people and for rollouts.
"""

from dataclasses import dataclass

from warmup_core.fleet import PROCESSES
from warmup_worker.lease import Orders
from warmup_worker.wanted import WantedFleet


@dataclass(frozen=True)
class Readiness:
    """``ready`` and a sentence."""

    ready: bool
    reason: str


def readiness(
    number: int,
    orders: Orders | None,
    wanted: WantedFleet | None,
    *,
    registered: bool,
    replaced: bool,
    draining: bool,
    loaded: bool,
    trouble: str | None,
) -> Readiness:
    """Judge. ``trouble``: what the database, the schema or worker 1's part complains about now."""
    if draining:
        return Readiness(False, "Draining: this worker ends.")
    if replaced:
        return Readiness(False, f"Replaced: a newer process runs as worker {number}.")
    if trouble is not None:
        return Readiness(False, trouble)
    if not registered:
        return Readiness(False, "Not registered yet.")
    if orders is None:
        return Readiness(False, "No fleet yet: nobody has written the fleet's row.")
    if wanted is not None and orders.owner != PROCESSES:
        return Readiness(
            False,
            f"The database belongs to the fleet {orders.owner}; WARMUP_WORKER_COUNT is for one of its own.",
        )
    if orders.deleted:
        return Readiness(False, "The fleet is deleted.")
    if wanted is not None and wanted.worker_count != orders.worker_count:
        return Readiness(
            False,
            f"WARMUP_WORKER_COUNT is {wanted.worker_count} here, the fleet has {orders.worker_count} workers. "
            "Worker 1 decides: give it the same count.",
        )
    if number > orders.worker_count:
        return Readiness(
            True, f"Worker {number} is beyond the count of {orders.worker_count}: it owns no mailboxes."
        )
    if not loaded:
        return Readiness(False, "The mailboxes are being read.")
    if orders.paused:
        return Readiness(True, "The fleet is paused: nothing is sent.")
    return Readiness(True, f"Worker {number} of {orders.worker_count}.")
