"""What a worker knows of its day beforehand: how the mails are spread under what all share, and what keeps quotas unmet.

The sentences are those of ``warmup plan`` and of the fleet's condition QuotaFeasible; here they come from the fleet's headcount,
so a fleet of plain processes has them too.
"""

import logging
from collections.abc import Callable
from datetime import timedelta

from warmup_core import feasibility, shortfalls
from warmup_core.capacity import ASSUMED_SEND, Measured
from warmup_core.paces import Crowd, paces
from warmup_core.plan import Enrolled
from warmup_core.planning import Planner
from warmup_core.sizing import Rules
from warmup_worker.lease import Orders
from warmup_worker.pool import Headcount

log = logging.getLogger(__name__)


class Foresight:
    """One worker's. ``measured``: what its sends took, by its slots; None before it has sent enough."""

    def __init__(self, measured: Callable[[int], Measured | None]) -> None:
        self._measured = measured
        self.sentences: tuple[str, ...] = ()
        """What stands in the way of the fleet's full numbers, and what the clock does to today's window."""

    def planner(self, orders: Orders, fleet: Headcount) -> Planner:
        """Plans this day, and says what is new of what stands in its way."""
        settings = orders.settings
        measured = self._measured(settings.max_concurrent_sends)
        send = measured.send if measured else None
        of_worker = -(-fleet.present // orders.worker_count)
        crowd = Crowd(fleet.present, orders.worker_count, of_worker, fleet.largest_user, fleet.largest_domain)
        self._say(orders, crowd, send or ASSUMED_SEND)
        return Planner(orders.day, orders.zone, settings, paces(settings, crowd, send))

    def _say(self, orders: Orders, crowd: Crowd, send: timedelta) -> None:
        enrolled = Enrolled(
            crowd.mailboxes, users=_one(crowd.largest_user), domains=_one(crowd.largest_domain)
        )
        found = shortfalls.of_fleet(orders.settings, Rules(fixed=orders.worker_count), enrolled, send)
        hours = orders.settings.hours(orders.zone)
        change = feasibility.clock_change(orders.day, hours.zone, hours.from_seconds, hours.to_seconds)
        sentences = (*(it.reason for it in found), *([change] if change else []))
        for sentence in sentences:
            if sentence not in self.sentences:
                log.warning("the quota of %s: %s", orders.day, sentence)
        self.sentences = sentences


def _one(largest: int) -> tuple[int, ...]:
    return (largest,) if largest else ()
