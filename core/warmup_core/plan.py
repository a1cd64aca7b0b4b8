"""What a fleet needs and whether it will do, said beforehand: workers, limits, money, and what cannot leave a user. Pure.

The question is that of a working day on which every ramp is over: each mailbox sends its full number. Whatever stands in the
way is a ``Shortfall`` with the setting's name and the value that would do (``warmup_core.shortfalls``); a plan without one fits.
Each part is answered by its owner: ``capacity`` for one worker, ``sizing`` for the count, ``bottlenecks`` for the limits,
``pairing`` for what cannot leave a user or a domain, ``costs`` for the bill.
Fails: nothing; a fleet without a mailbox raises ValueError, for there is nothing to ask.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Final, NamedTuple

from warmup_core import bottlenecks, capacity, costs, feasibility, pairing, sizing
from warmup_core.bottlenecks import Judged, Load
from warmup_core.capacity import ASSUMED_SEND, Capacity
from warmup_core.costs import Cost, PriceList
from warmup_core.ramp import Quota
from warmup_core.schedules import Interval, choose
from warmup_core.settings import FleetSettings
from warmup_core.sizing import Need, Present, Rules, Sizing

MAIL_BYTES: Final = 6_000
"""A received mail, with the headers that servers add."""
MONTH_DAYS: Final = 30
_MONDAY: Final = date(2024, 1, 1)
_GROWN: Final = 3_650
"""Working days after which every ramp is over."""


class Kind(NamedTuple):
    """Mailboxes that are alike: at one mail host, with their own number in place of the ramp, their own window's length."""

    host: str = ""
    own: int | None = None
    window: timedelta | None = None


@dataclass(frozen=True)
class Enrolled:
    """Who takes part. ``users``, ``domains``, ``hosts``: how many mailboxes each has; empty where that is not known.

    ``alike``: how many there are of each kind; None where all are alike. ``today``: the sum of today's quotas.
    """

    mailboxes: int
    users: tuple[int, ...] = ()
    domains: tuple[int, ...] = ()
    hosts: tuple[int, ...] = ()
    alike: Mapping[Kind, int] | None = None
    today: int | None = None

    @classmethod
    def evenly(cls, mailboxes: int, users: int = 0, domains: int = 0, hosts: int = 0) -> "Enrolled":
        """Mailboxes spread evenly over so many users, domains and hosts; 0: not known."""
        return cls(
            mailboxes, _spread(mailboxes, users), _spread(mailboxes, domains), _spread(mailboxes, hosts)
        )

    def quotas(self, settings: FleetSettings) -> dict[Kind, tuple[Quota, int]]:
        """What each kind of mailbox owes on a working day after its ramp, and how many there are of the kind."""
        hours = settings.hours("UTC")
        day = next(it for n in range(7) if hours.open_on(it := _MONDAY + timedelta(days=n)))
        return {
            kind: (settings.quota(day, _GROWN, kind.host, kind.own), count)
            for kind, count in (self.alike or {Kind(): self.mailboxes}).items()
        }


@dataclass(frozen=True)
class Mails:
    """A working day's mails after every ramp. ``most``: of one mailbox; ``today``: today's quotas, where they are known."""

    most: int
    per_day: int
    per_hour: int
    per_second: float
    per_month: int
    window: timedelta
    today: int | None


@dataclass(frozen=True)
class Worker:
    """What one worker does, ``mailboxes`` at their full number. In mode Interval: its runs, and a run's sends and delays."""

    capacity: Capacity
    send: timedelta
    mailboxes: int
    runs: int | None = None
    run: tuple[timedelta, timedelta] | None = None


@dataclass(frozen=True)
class Fleet:
    """What all workers do together. ``by_mails`` and ``without_headroom``: how many the mails alone want."""

    sizing: Sizing
    by_mailboxes: int
    by_mails: int
    without_headroom: int
    per_day: int
    per_hour: int
    mailboxes: int


@dataclass(frozen=True)
class Staying:
    """The share of mails, in percent, that cannot leave their group: of all mails, and of the largest group's own."""

    percent: int
    largest: int
    of_largest_percent: int


@dataclass(frozen=True)
class Inbox:
    """What one mailbox receives, and nobody removes."""

    mails_per_day: int
    bytes_per_day: int
    bytes_per_month: int
    bytes_per_year: int


@dataclass(frozen=True)
class Plan:
    """The figures, part by part."""

    enrolled: Enrolled
    mails: Mails
    worker: Worker
    fleet: Fleet
    limits: tuple[Judged, ...]
    inside_user: Staying | None
    inside_domain: Staying | None
    inbox: Inbox
    costs: tuple[Cost, ...]
    currency: str


def make(
    settings: FleetSettings,
    rules: Rules,
    enrolled: Enrolled,
    prices: PriceList,
    *,
    send: timedelta = ASSUMED_SEND,
    mail_bytes: int = MAIL_BYTES,
) -> Plan:
    """The plan. ``send``: how long a mail takes from connecting to the reply. Raises ValueError."""
    if enrolled.mailboxes < 1:
        raise ValueError("a plan is for at least one mailbox")
    mails = _mails(settings, enrolled)
    worker = _worker(settings, enrolled, mails, send)
    fleet = _fleet(rules, enrolled, mails, worker)
    load = Load(
        mails.per_day,
        fleet.sizing.wanted,
        max(enrolled.users, default=0) * mails.most,
        max(enrolled.domains, default=0) * mails.most,
    )
    received = -(-mails.per_day // enrolled.mailboxes)
    return Plan(
        enrolled=enrolled,
        mails=mails,
        worker=worker,
        fleet=fleet,
        limits=bottlenecks.judge(settings, load, mails.window),
        inside_user=_staying(enrolled.users),
        inside_domain=_staying(enrolled.domains),
        inbox=Inbox(received, *(received * mail_bytes * days for days in (1, MONTH_DAYS, 365))),
        costs=costs.bill(
            prices, workers=fleet.sizing.wanted, mails=mails.per_month, mailboxes=enrolled.mailboxes
        ),
        currency=prices.currency,
    )


def _mails(settings: FleetSettings, enrolled: Enrolled) -> Mails:
    quotas = enrolled.quotas(settings).values()
    per_day, window = sum(quota.mails * count for quota, count in quotas), settings.window_length
    return Mails(
        most=max(quota.mails for quota, _ in quotas),
        per_day=per_day,
        per_hour=_an_hour(per_day, window),
        per_second=per_day / window.total_seconds(),
        per_month=per_day * MONTH_DAYS * len(settings.days) // 7,
        window=window,
        today=enrolled.today,
    )


def _worker(settings: FleetSettings, enrolled: Enrolled, mails: Mails, send: timedelta) -> Worker:
    schedule = choose(settings)
    found = capacity.of_worker(
        schedule,
        mails.window,
        send=send,
        hourly_limit=settings.per_worker_per_hour_limit,
        largest_host=max(enrolled.hosts, default=0) / enrolled.mailboxes,
    )
    mailboxes = found.mails // mails.most if mails.most else enrolled.mailboxes
    if not isinstance(schedule, Interval):
        return Worker(found, send, mailboxes)
    runs = mails.window // feasibility.batches(schedule, send, 1).period
    return Worker(found, send, mailboxes, runs, feasibility.run(schedule, send))


def _fleet(rules: Rules, enrolled: Enrolled, mails: Mails, worker: Worker) -> Fleet:
    need = Need(enrolled.mailboxes, mails.per_day, worker.capacity.mails)
    # Nobody works yet, so nothing waits: the count is the formula's.
    found = sizing.size(
        need, replace(rules, recommend=False), Present(0, 0, datetime(1970, 1, 1, tzinfo=UTC))
    )
    terms = sizing.terms(need, rules, rules.headroom_percent)
    per_day = found.wanted * worker.capacity.mails
    return Fleet(
        sizing=found,
        by_mailboxes=terms.by_mailboxes,
        by_mails=terms.by_mails,
        without_headroom=sizing.terms(need, rules, 0).by_mails,
        per_day=per_day,
        per_hour=_an_hour(per_day, mails.window),
        mailboxes=found.wanted * worker.mailboxes,
    )


def _staying(sizes: tuple[int, ...]) -> Staying | None:
    if not sizes:
        return None
    inside = pairing.inside(sizes)
    percent, of_largest = (_percent(inside, whole) for whole in (sum(sizes), max(sizes)))
    return Staying(percent, max(sizes), of_largest)


def _percent(part: int, whole: int) -> int:
    """Rounded, but 0 only for nothing and 100 only for all."""
    found = round(100 * part / whole)
    return min(max(found, 1 if part else 0), 100 if part == whole else 99)


def _an_hour(mails: int, window: timedelta) -> int:
    return round(Fraction(mails * 3600) / Fraction(window / timedelta(seconds=1)))


def _spread(mailboxes: int, groups: int) -> tuple[int, ...]:
    """As even as whole mailboxes go; a group without a mailbox is none."""
    groups = min(groups, mailboxes)
    return tuple(mailboxes * (n + 1) // groups - mailboxes * n // groups for n in range(groups))
