"""How fast the mails of a fleet's mailboxes may follow each other: the pace of everything that they share. Pure.

``pacing`` spreads a mailbox's mails so that one turn of all who share a limit still fits behind the last one; here is what a
turn takes, from the fleet's settings and from who shares what. A limit that cannot let a window's mails through anyway spreads
nothing: it holds mails back at each claim (``warmup_core.shortfalls`` names it beforehand).
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from warmup_core import bottlenecks, feasibility
from warmup_core.bottlenecks import Load
from warmup_core.feasibility import Bound
from warmup_core.pacing import UNHINDERED, Pace
from warmup_core.planning import Paces
from warmup_core.settings import FleetSettings


@dataclass(frozen=True)
class Crowd:
    """Who shares what: active mailboxes of the fleet, of the largest user and domain (0: no limit asks), of this worker."""

    mailboxes: int
    workers: int
    of_worker: int
    largest_user: int = 0
    largest_domain: int = 0


def paces(settings: FleetSettings, crowd: Crowd, send: timedelta | None) -> Paces:
    """The pace by the length of a window and the mails of each mailbox in it.

    ``send``: how long a mail holds its slot, as it was measured; None while nobody knows. A guess would make a worker whose sends
    are quicker wait for nothing: slots hold mails back by themselves.
    """
    cooldown = timedelta(milliseconds=settings.cooldown_max_ms)
    sharing = Load(crowd.mailboxes, crowd.workers, crowd.largest_user, crowd.largest_domain)
    slots = []
    if send:
        count, owned = settings.max_concurrent_sends, max(1, crowd.of_worker)
        slots.append(Bound("workers.maxConcurrentSends", count, send, owned))

    @cache
    def pace(length: timedelta, mails: int) -> Pace:
        if not mails or length <= timedelta():
            return UNHINDERED
        shared = [*bottlenecks.shared(settings, sharing, length), *slots]
        fitting = [bound for bound in shared if bound.possible(length) >= mails]
        return feasibility.pace(length, cooldown=cooldown, send=send or timedelta(), bounds=fitting)

    return pace
