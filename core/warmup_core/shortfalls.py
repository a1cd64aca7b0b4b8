"""What stands in the way of a plan: each setting with its value, the value that would do, and the sentence. Pure.

Four kinds: too few workers, a limit that is too low for the fleet, a mailbox that cannot send its number in its window, and a
provider that admits fewer. All are named, not the first alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from warmup_core import feasibility, plan, providers
from warmup_core.capacity import ASSUMED_SEND
from warmup_core.costs import NO_PRICES
from warmup_core.feasibility import Bound, Obstacle
from warmup_core.pacing import Window
from warmup_core.plan import Enrolled, Plan
from warmup_core.ramp import BoundBy, ProviderLimit, Quota
from warmup_core.schedules import Interval, choose
from warmup_core.settings import FleetSettings
from warmup_core.sizing import Rules

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Shortfall:
    """One setting. ``value`` and ``needed`` are None where the sentence alone can say it."""

    name: str
    value: int | None
    needed: int | None
    reason: str


def of_fleet(
    settings: FleetSettings, rules: Rules, enrolled: Enrolled, send: timedelta = ASSUMED_SEND
) -> tuple[Shortfall, ...]:
    """What keeps a fleet's full numbers from being sent, as ``warmup plan`` says it; nothing for a fleet without a mailbox."""
    if not enrolled.mailboxes:
        return ()
    return find(plan.make(settings, rules, enrolled, NO_PRICES, send=send), settings, rules)


def find(plan: Plan, settings: FleetSettings, rules: Rules) -> tuple[Shortfall, ...]:
    """Everything that keeps a quota from being met."""
    return (
        *_workers(plan, rules),
        *(Shortfall(it.name, it.value, it.needed, it.reason) for it in plan.limits if not it.ok),
        *_mailboxes(plan, settings),
        *_providers(plan, settings),
    )


def notes(plan: Plan, rules: Rules) -> tuple[str, ...]:
    """What to know although it stands in nobody's way."""
    found = []
    spare = plan.fleet.per_day * 100 // plan.mails.per_day - 100 if plan.mails.per_day else 0
    if 0 <= spare < rules.headroom_percent and plan.mails.per_day:
        found.append(
            f"The workers have {spare} % to spare; workers.headroomPercent asks for {rules.headroom_percent}."
        )
    if plan.mails.today is not None and plan.mails.today < plan.mails.per_day:
        found.append(
            f"Today's quotas ask for {plan.mails.today} mails: some ramps are not over, or it is a day off."
        )
    if plan.inside_user is None:
        found.append(
            "How many mails must stay inside a user or a domain is not known: give --users and --domains."
        )
    return tuple(found)


def _workers(plan: Plan, rules: Rules) -> Iterator[Shortfall]:
    """Too few of them for the mails of a day."""
    count, one = plan.fleet.sizing.wanted, plan.worker.capacity.mails
    if plan.fleet.per_day >= plan.mails.per_day:
        return
    name, value = ("workers.max", rules.maximum) if rules.fixed is None else ("workers.replicas", rules.fixed)
    needed = -(-plan.mails.per_day // one) if one else None
    cure = f"{needed} are needed" if needed else "no number of workers would do"
    reason = (
        f"{name} of {value}: {count} x {one} mails a day are {plan.fleet.per_day} of {plan.mails.per_day},"
        f" {plan.fleet.mailboxes} < {plan.enrolled.mailboxes} mailboxes at {plan.mails.most} a day; {cure}"
    )
    yield Shortfall(name, value, needed, reason)


def _mailboxes(plan: Plan, settings: FleetSettings) -> Iterator[Shortfall]:
    """Whether each has the time for its number, in the fleet's window or its own: cooldown, send, in mode Interval a run."""
    most: dict[timedelta | None, tuple[int, int]] = {}
    for kind, (quota, count) in plan.enrolled.quotas(settings).items():
        largest, mailboxes = most.get(kind.window, (0, 0))
        most[kind.window] = (max(largest, quota.mails), mailboxes + count)
    for window, (mails, mailboxes) in sorted(most.items(), key=lambda it: it[0] or timedelta()):
        whose = f"of {mailboxes} mailboxes with a window of their own: " if window is not None else ""
        for obstacle in _one_mailbox(plan, settings, window or plan.mails.window, mails):
            yield Shortfall(obstacle.name, None, None, whose + obstacle.reason)


def _one_mailbox(plan: Plan, settings: FleetSettings, window: timedelta, mails: int) -> Sequence[Obstacle]:
    schedule, bounds = choose(settings), []
    if isinstance(schedule, Interval):
        period = feasibility.batches(schedule, plan.worker.send, 1).period
        bounds.append(Bound("pacing.interval.every", 1, period))
    cooldown = timedelta(milliseconds=settings.cooldown_max_ms)
    return feasibility.feasible(
        window, mails, cooldown=cooldown, send=plan.worker.send, bounds=bounds
    ).obstacles


def _providers(plan: Plan, settings: FleetSettings) -> Iterator[Shortfall]:
    """Where a mailbox is asked for more than its provider admits in any 24 hours."""
    judged: set[tuple[ProviderLimit, int]] = set()
    for kind, (quota, _) in plan.enrolled.quotas(settings).items():
        limit = providers.mailbox_limit(kind.host, settings.per_mailbox_per_day_limits)
        if limit is None or (limit, quota.mails) in judged:
            continue
        judged.add((limit, quota.mails))
        yield from _provider(limit, quota, kind.own, settings)


def _provider(
    limit: ProviderLimit, quota: Quota, override: int | None, settings: FleetSettings
) -> Iterator[Shortfall]:
    name = f"limits.providers[{limit.name}]"
    asked = settings.emails_per_mailbox_per_day if override is None else override
    if quota.by is BoundBy.PROVIDER:
        reason = f"{name} of {limit.mails}: a mailbox there is asked for {asked} mails a day and sends {quota.mails}"
        yield Shortfall(name, limit.mails, asked, f"{reason}; it has to be at least {asked}")
        return
    if 2 * quota.mails <= limit.mails:
        return
    opens = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=settings.window_from_seconds)
    days = [Window(at, at + settings.window_length) for at in (opens, opens + _DAY, opens + 2 * _DAY)]
    answer = feasibility.feasible_in_a_row(
        [(day, quota.mails) for day in days], Bound(name, limit.mails, _DAY)
    )
    if not answer.ok:
        yield Shortfall(name, limit.mails, None, answer.obstacles[0].reason)
