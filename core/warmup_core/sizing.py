"""How many workers a fleet should have, which term decided it, and when a change of the count has to wait. Pure.

The formula: ``max(ceil(demand x headroom / capacity), ceil(mailboxes / maxMailboxesPerWorker), min)``, at most ``max``.
A fixed count overrides it. Between the formula and the count stands what keeps a fleet from flapping:

::

    more are wanted    the present ones cannot do it without the headroom -> at once
                       else -> when resizeCooldown is over: the headroom is there to be used meanwhile
    fewer are wanted   ``workers.max`` was lowered -> at once
                       else -> when resizeCooldown is over, and only where fewer would do for MARGIN_PERCENT more, too

Invariants: the answer lies in [min, max] unless it is fixed, or Recommend keeps what is. More mailboxes or mails never want
fewer workers. While the demand stays within MARGIN_PERCENT nothing shrinks twice. An unknown capacity (0) binds nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from warmup_core.spec import Workers
from warmup_core.types import milliseconds

MARGIN_PERCENT: Final = 10
"""How much more demand fewer workers must be able to take before a fleet shrinks."""


class SizedBy(StrEnum):
    """The term that binds."""

    MAILBOXES = "Mailboxes"
    MAILS = "Mails"
    MIN = "Min"
    MAX = "Max"
    FIXED = "Fixed"


@dataclass(frozen=True)
class Need:
    """What the fleet has to do: active mailboxes, the mails of today's quotas, and the mails one worker can send a day."""

    mailboxes: int
    mails: int
    capacity: int


@dataclass(frozen=True)
class Rules:
    """``spec.workers`` as far as it sizes. ``fixed`` is ``workers.replicas``: None lets the fleet size itself, 0 stops it."""

    minimum: int = 1
    maximum: int = 100
    max_mailboxes_per_worker: int | None = 2000
    headroom_percent: int = 20
    fixed: int | None = None
    cooldown: timedelta = timedelta()
    recommend: bool = False

    @classmethod
    def of(cls, workers: Workers) -> "Rules":
        """The rules that a manifest gives."""
        return cls(
            minimum=workers.min,
            maximum=workers.max,
            max_mailboxes_per_worker=workers.max_mailboxes_per_worker,
            headroom_percent=workers.headroom_percent,
            fixed=workers.replicas,
            cooldown=timedelta(milliseconds=milliseconds(workers.resize_cooldown)),
            recommend=workers.sizing == "Recommend",
        )


@dataclass(frozen=True)
class Terms:
    """The formula: workers by mailboxes and by mails (0 where a term does not count), the answer, and what bound it."""

    by_mailboxes: int
    by_mails: int
    wanted: int
    by: SizedBy


@dataclass(frozen=True)
class Present:
    """What is: workers that own mailboxes, pods asked for, the database's clock, and when it saw the last resize."""

    count: int
    replicas: int
    now: datetime
    resized_at: datetime | None = None


@dataclass(frozen=True)
class Sizing:
    """``wanted``: workers the fleet should have now. ``ideal``: what the formula, or the fixed count, gives; ``by`` its term.

    ``reason`` has the figures, so it moves with them; ``wait``, why the count is not the ideal one yet, does not.
    """

    wanted: int
    ideal: int
    by: SizedBy
    need: Need
    reason: str
    wait: str = ""


def terms(need: Need, rules: Rules, headroom_percent: int) -> Terms:
    """The formula, whatever the count is now, with this headroom."""
    by_mailboxes = _ceil(need.mailboxes, rules.max_mailboxes_per_worker or 0)
    by_mails = _ceil(need.mails * (100 + headroom_percent), 100 * need.capacity)
    asked = max(by_mailboxes, by_mails)
    if asked > rules.maximum:
        return Terms(by_mailboxes, by_mails, rules.maximum, SizedBy.MAX)
    if asked < rules.minimum or not asked:
        return Terms(by_mailboxes, by_mails, rules.minimum, SizedBy.MIN)
    return Terms(
        by_mailboxes, by_mails, asked, SizedBy.MAILS if by_mails > by_mailboxes else SizedBy.MAILBOXES
    )


def size(need: Need, rules: Rules, present: Present) -> Sizing:
    """The workers that the fleet should have now."""
    found = terms(need, rules, rules.headroom_percent)
    why = explain(need, rules, found)
    if rules.fixed is not None:
        reason = (
            f"workers.replicas fixes the count at {rules.fixed}; by itself it would be {found.wanted}: {why}"
        )
        return Sizing(rules.fixed, rules.fixed, SizedBy.FIXED, need, reason)
    wanted, wait = _now(need, rules, present, found)
    return Sizing(wanted, found.wanted, found.by, need, f"{why}; {wait}" if wait else why, wait)


def _now(need: Need, rules: Rules, present: Present, found: Terms) -> tuple[int, str]:
    """The count to go to now, and what a difference from the formula waits for."""
    count, wanted = present.count, found.wanted
    if rules.recommend:
        kept = count or rules.minimum
        why = f"workers.sizing is Recommend, so the count stays {kept} where it would be {wanted}"
        return kept, "" if kept == wanted else why
    if count == 0 or count > rules.maximum:
        return wanted, ""
    roomy = terms(_more(need), rules, rules.headroom_percent).wanted
    if found.by is SizedBy.MAILS and count < present.replicas:
        # A growth is under way. What is measured moves a little all the time, and that is no reason to break it off.
        target = max(wanted, min(present.replicas, roomy))
        if count < target <= present.replicas:
            return target, ""
    if wanted < count and roomy >= count:
        return count, f"the count stays {count}: fewer would not do for {MARGIN_PERCENT} % more"
    hurry = wanted > count and terms(need, rules, 0).wanted > count
    rested_at = present.resized_at + rules.cooldown if present.resized_at else present.now
    if wanted != count and not hurry and present.now < rested_at:
        return count, f"the count stays {count} until resizeCooldown is over at {rested_at:%H:%M:%S} UTC"
    return wanted, ""


def explain(need: Need, rules: Rules, found: Terms) -> str:
    """The sentence that names the term that binds, and what the cheaper choice would be."""
    mailboxes = f"{need.mailboxes} mailboxes, at most {rules.max_mailboxes_per_worker} a worker, want {found.by_mailboxes}"
    mails = (
        f"{need.mails} mails a day with {rules.headroom_percent} % headroom, {need.capacity} a worker,"
        f" want {found.by_mails}"
    )
    match found.by:
        case SizedBy.MAILBOXES:
            cheaper, how = (
                max(found.by_mails, rules.minimum),
                "by mails alone, workers.maxMailboxesPerWorker: null,",
            )
            sentence = mailboxes
        case SizedBy.MAILS:
            cheaper, how, sentence = terms(need, rules, 0).wanted, "without headroom", mails
        case SizedBy.MAX:
            asked = mails if found.by_mails > found.by_mailboxes else mailboxes
            return f"workers.max is {rules.maximum}; {asked}"
        case SizedBy.MIN | SizedBy.FIXED:
            cheaper, how = max(found.by_mailboxes, found.by_mails, 1), "without it"
            sentence = f"workers.min is {rules.minimum} and {need.mailboxes} mailboxes want no more"
    return f"{sentence}; {how} {cheaper} would do" if cheaper < found.wanted else sentence


def _more(need: Need) -> Need:
    return Need(
        _ceil(need.mailboxes * (100 + MARGIN_PERCENT), 100),
        _ceil(need.mails * (100 + MARGIN_PERCENT), 100),
        need.capacity,
    )


def _ceil(amount: int, each: int) -> int:
    """Workers for ``amount`` at ``each``; none where a worker's share is not known."""
    return -(-amount // each) if each else 0
