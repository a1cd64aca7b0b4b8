"""Which of a fleet's limits cannot let a day's mails through, and the value that would. Pure.

``feasibility`` asks for one mailbox whether its quota fits; here the question is the whole fleet's: the sum of a day's quotas,
however they differ, against each limit. A limit counts by what it keeps up for ever (``limits``), not by its number.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from warmup_core import limits
from warmup_core.feasibility import Bound, words
from warmup_core.limits import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS, TOKEN_SECONDS
from warmup_core.settings import FleetSettings

_MINUTE: Final = timedelta(seconds=MINUTE_SECONDS)
_HOUR: Final = timedelta(seconds=HOUR_SECONDS)
_DAY: Final = timedelta(seconds=DAY_SECONDS)


@dataclass(frozen=True)
class Load:
    """A day's mails: of the whole fleet, of its largest user and of its largest domain of senders (0: unknown), and how many
    workers share them."""

    mails: int
    workers: int
    largest_user: int = 0
    largest_domain: int = 0


@dataclass(frozen=True)
class Judged:
    """One limit against its part of the load. ``possible``: mails in the window; ``needed``: the value that would do."""

    name: str
    value: int
    load: int
    possible: int
    needed: int
    reason: str

    @property
    def ok(self) -> bool:
        """Whether the limit lets its load through."""
        return self.possible >= self.load


def judge(settings: FleetSettings, load: Load, window: timedelta) -> tuple[Judged, ...]:
    """Every limit that is set, against its part of the load in a window of this length."""
    return tuple(_judged(part, window) for part in _parts(settings, load, window))


def shared(settings: FleetSettings, sharing: Load, window: timedelta) -> tuple[Bound, ...]:
    """Every limit that is set, with the mailboxes that share it: ``sharing`` counts mailboxes instead of mails."""
    parts = _parts(settings, sharing, window)
    return tuple(replace(part.bound, sharers=part.mails) for part in parts if part.mails)


def per_worker_per_hour(count: int) -> Bound:
    """``limits.perWorkerPerHour`` as workers keep it."""
    return _reserved("limits.perWorkerPerHour", count, _HOUR)


@dataclass(frozen=True)
class _Part:
    """A limit in force, the mails that it has to let through, whose they are, and how many such parts there are."""

    bound: Bound
    mails: int
    whose: str = "the fleet"
    parts: int = 1


def _parts(settings: FleetSettings, load: Load, window: timedelta) -> Iterator[_Part]:
    if (count := settings.per_minute_limit) is not None:
        yield _Part(_reserved("limits.perMinute", count, _MINUTE), load.mails)
    if (count := settings.per_hour_limit) is not None:
        yield _Part(_reserved("limits.perHour", count, _HOUR), load.mails)
    if (count := settings.per_worker_per_hour_limit) is not None and load.workers:
        each = -(-load.mails // load.workers)
        yield _Part(per_worker_per_hour(count), each, f"each of {load.workers} workers", load.workers)
    if (count := settings.per_user_per_hour_limit) is not None and load.largest_user:
        hour = Bound("limits.perUserPerHour", count, _HOUR, 1, lambda n: limits.limit(n, HOUR_SECONDS))
        yield _Part(hour, load.largest_user, "the largest user")
    if (count := settings.per_domain_per_day_limit) is not None and load.largest_domain:
        share = min(1.0, window / _DAY)
        day = Bound(
            "limits.perDomainPerDay", count, _DAY, 1, lambda n: limits.limit(n, DAY_SECONDS, open_share=share)
        )
        yield _Part(day, load.largest_domain, "the largest domain")


def _reserved(name: str, count: int, period: timedelta) -> Bound:
    """A limit whose tokens workers reserve ahead."""
    seconds = period.total_seconds()
    return Bound(name, count, period, 1, lambda n: limits.limit(n, seconds, use_seconds=TOKEN_SECONDS))


def _judged(part: _Part, window: timedelta) -> Judged:
    bound, possible = part.bound, part.bound.possible(window)
    needed = bound.needed(window, part.mails)
    reason = f"{bound.name} of {bound.count} lets {possible} of the {part.mails} mails of {part.whose} through in {words(window)}"
    if part.parts > 1:
        reason += f", {bound.count * part.parts} an hour together"
    if possible < part.mails:
        reason += f"; it has to be at least {needed}"
    return Judged(bound.name, bound.count, part.mails, possible, needed, reason)
