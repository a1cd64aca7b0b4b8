"""What a mailbox owes on a quota day: how many mails, in which parts of its windows, and where its ramp stands then. Pure.

Most mailboxes have one window a day, inside the quota day and on it: their day follows from their row alone. A window that goes
across the fleet's midnight, or lies in a zone far from the fleet's, is shared out between two quota days (``days``); for those
the mails that each window has seen so far are needed, and the caller counts them in the ledger (``to_count``).

The ramp goes by windows: ``ramp_on`` is the first working day, in the mailbox's own zone, whose window meets the last quota day
that was planned, ``ramp_day`` the working days with a mail before it. The next working day counts that one too if it had a mail.

Invariants: planning again without a mail between changes nothing; the mails of a window's portions never pass its quota, those
of a day never ``emailsPerMailboxPerDay``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from warmup_core import days
from warmup_core.days import DayPlan, Portion, Sending
from warmup_core.hours import Hours, OwnHours
from warmup_core.pacing import UNHINDERED, Pace, Window
from warmup_core.settings import FleetSettings

Paces = Callable[[timedelta, int], Pace]
"""How fast the mails of a window of this length may follow each other, when each mailbox has so many."""


def unhindered(length: timedelta, mails: int) -> Pace:
    """No bound is known."""
    return UNHINDERED


class Case(NamedTuple):
    """What a mailbox's day depends on; those of one case share one plan. ``sent_then``: whether the window of ``ramp_on`` had
    a mail."""

    ramp_day: int
    ramp_on: date | None
    sent_then: bool
    host: str
    override: int | None
    own: OwnHours


class Counted(NamedTuple):
    """The mails that a window has seen, failed ones left out: before the quota day, and on it."""

    before: int = 0
    today: int = 0

    @property
    def any(self) -> bool:
        """Whether it has seen a mail at all."""
        return self.before + self.today > 0


@dataclass(frozen=True)
class Planned:
    """A mailbox's quota day and its ramp; ``ramp_on`` is None where no working day meets the day."""

    day: DayPlan
    ramp_on: date | None
    ramp_day: int


@dataclass(frozen=True)
class _Kind:
    """What mailboxes with the same hours share. ``plain``: one window, inside the quota day and of that day."""

    hours: Hours
    windows: tuple[tuple[date, Window], ...]
    plain: bool


class Planner:
    """Plans mailboxes for one quota day of a fleet in ``zone``. Keeps what mailboxes have in common, so most cost a look-up."""

    def __init__(self, day: date, zone: str, settings: FleetSettings, paces: Paces = unhindered) -> None:
        self.day, self.settings = day, settings
        self.span = days.quota_day(day, ZoneInfo(zone))
        self._fleet, self._paces = settings.hours(zone), paces
        self._kinds: dict[OwnHours, _Kind] = {}
        self._plans: dict[Case, Planned] = {}
        self._shared: dict[tuple[Portion, ...], DayPlan] = {(): days.NOTHING}

    def to_count(self, case: Case) -> tuple[tuple[date, Window], ...]:
        """The windows, by the day on which they open, whose mails have to be counted to plan this case; mostly none."""
        kind = self._kind(case.own)
        if kind.plain:
            return ()
        known = {opens_on for opens_on, _ in kind.windows}
        if case.ramp_on is None or case.ramp_on in known or case.ramp_on > self.day:
            return kind.windows
        return ((case.ramp_on, kind.hours.window(case.ramp_on)), *kind.windows)

    def plan(self, case: Case, counted: Mapping[date, Counted] | None = None) -> Planned:
        """The day of a mailbox. ``counted``: the mails of each window of ``to_count``; without it as if all had gone by plan."""
        if counted is None and (known := self._plans.get(case)) is not None:
            return known
        kind = self._kind(case.own)
        ramp_day, ramp_on, sent = case.ramp_day, case.ramp_on, case.sent_then
        if counted is not None and ramp_on is not None and ramp_on in counted:
            sent = counted[ramp_on].any
        first: tuple[date, int] | None = None
        sendings = []
        for opens_on, window in kind.windows:
            seen = None if counted is None else counted.get(opens_on, Counted())
            if kind.hours.open_on(opens_on) and (ramp_on is None or opens_on > ramp_on):
                ramp_day += ramp_on is not None and sent
                ramp_on, sent = opens_on, seen is None or seen.any
            if kind.hours.open_on(opens_on) and first is None:
                first = (opens_on, ramp_day)
            quota = self.settings.quota(opens_on, ramp_day, case.host, case.override, kind.hours.days).mails
            sending = Sending(opens_on, window, quota)
            before = sending.planned_by(self.span.opens) if seen is None else seen.before
            sendings.append(replace(sending, spent_before=before))
        found = days.portions(self.span, sendings, self.settings.emails_per_mailbox_per_day)
        portions = tuple(
            replace(portion, pace=self._paces(portion.window.length, portion.mails))
            for portion in found
            if portion.mails
        )
        plan = self._shared.setdefault(portions, DayPlan(portions))
        planned = Planned(plan, *(first or (None, case.ramp_day)))
        if counted is None:
            self._plans[case] = planned
        return planned

    def _kind(self, own: OwnHours) -> _Kind:
        kind = self._kinds.get(own)
        if kind is None:
            hours = self._fleet.of(own)
            windows = days.windows_in(self.span, hours.zone, hours.from_seconds, hours.to_seconds)
            plain = len(windows) == 1 and windows[0][0] == self.day and _inside(windows[0][1], self.span)
            kind = self._kinds[own] = _Kind(hours, windows, plain)
        return kind


def _inside(window: Window, span: Window) -> bool:
    return span.opens <= window.opens and window.closes <= span.closes


def missed(plan: DayPlan, counted: Mapping[date, Counted], at: datetime) -> int:
    """The mails that portions which are over by ``at`` lack, the last one left out: the day does not make them up."""
    return sum(
        max(0, portion.mails - counted.get(portion.opens_on, Counted()).today)
        for portion in plan.portions[:-1]
        if portion.window.closes <= at
    )
