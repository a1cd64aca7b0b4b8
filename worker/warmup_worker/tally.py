"""Sums over a worker's mailboxes that cost the same to read however many there are.

A mailbox is taken out before it changes and put back after, so the sums are always those of a full count. Mails behind are
found from a histogram of (day's plan, quota, spent): mailboxes that agree in them are behind by the same number of mails.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from warmup_core.days import DayPlan

K = TypeVar("K")


class Standing(StrEnum):
    """Where a mailbox stands: the reason why it sends nothing this instant."""

    SCHEDULED = "scheduled"
    BEHIND = "due, waits for a free slot"
    COOLDOWN = "cooldown"
    DEFERRED = "deferred"
    CONNECTING = "connecting"
    IN_FLIGHT = "in flight"
    ELSEWHERE = "in flight elsewhere"
    LIMITED = "limit"
    PAUSED = "paused"
    REFUSED = "claim refused, tries again"
    QUOTA_MET = "quota met"
    WINDOW_OVER = "window over"
    NO_WINDOW = "the clock skips the window"
    NO_RECIPIENT = "no recipient"


_DEFERRED = (Standing.DEFERRED, Standing.PAUSED)
_SKIPPED = (Standing.WINDOW_OVER, Standing.NO_WINDOW, Standing.NO_RECIPIENT)


class Counted(Protocol):
    """What is summed of a mailbox."""

    plan: DayPlan
    quota: int
    spent: int
    missed: int
    sent: int
    in_doubt: int
    failed: int
    standing: Standing
    hold: str | None
    limit: str | None
    counted: bool
    """Whether it is in the sums."""


@dataclass(frozen=True)
class Account:
    """due = sent + in_doubt + in_flight + scheduled + deferred + skipped, in mails; ``failed`` ones are to be sent again
    under a new name and so are among the scheduled or deferred. ``met``, ``by_sent`` (by how many mails were sent) and
    ``reasons`` count mailboxes."""

    mailboxes: int
    due: int
    sent: int
    in_doubt: int
    failed: int
    in_flight: int
    scheduled: int
    deferred: int
    skipped: int
    met: int
    behind: int
    by_sent: Mapping[int, int]
    reasons: Mapping[str, int]

    def sent_at_least(self, mails: int) -> int:
        """Mailboxes that sent this many mails today or more, whatever their own quota is."""
        return sum(mailboxes for sent, mailboxes in self.by_sent.items() if sent >= mails)


def reason_of(mailbox: Counted) -> str:
    """The standing, with the rule or phase that the hold of a deferred mailbox names, the limit that binds, or the rule that
    made it pause: a closed set."""
    standing = mailbox.standing
    if standing is Standing.DEFERRED and mailbox.hold:
        return f"{standing}: {mailbox.hold.partition(':')[0][:40]}"
    if (standing is Standing.LIMITED or standing is Standing.PAUSED) and mailbox.limit:
        return f"{standing}: {mailbox.limit}"
    return str(standing._value_)


class Tally:
    """The running sums."""

    def __init__(self) -> None:
        self._by_numbers: Counter[tuple[DayPlan, int, int]] = Counter()
        self._by_sent: Counter[int] = Counter()
        self._reasons: Counter[str] = Counter()
        self._in_doubt = self._failed = self._deferred = self._skipped = self._met = 0

    def add(self, mailbox: Counted) -> None:
        """Put in a mailbox that is not."""
        self._count(mailbox, 1)

    def add_all(self, mailboxes: Iterable[Counted]) -> None:
        """Put in mailboxes that are not, each once: those that are alike in what is summed at once."""
        alike = defaultdict[tuple[object, ...], list[Counted]](list)
        for it in mailboxes:
            it.counted = True
            numbers = (it.plan, it.quota, it.spent, it.missed, it.sent, it.in_doubt, it.failed)
            alike[numbers, it.standing, it.hold, it.limit].append(it)
        for group in alike.values():
            self._count(group[0], len(group))

    def remove(self, mailbox: Counted) -> None:
        """Take a mailbox out as it went in, if it is in."""
        if mailbox.counted:
            self._count(mailbox, -1)

    def move(self, mailbox: Counted, standing: Standing) -> None:
        """Give a mailbox another standing, the cheap way: its numbers stay."""
        if not mailbox.counted:
            mailbox.standing = standing
            return
        self._stand(mailbox, -1)
        mailbox.standing = standing
        self._stand(mailbox, 1)

    def changing(self, mailbox: Counted) -> AbstractContextManager[None]:
        """Take a mailbox out of the sums while its numbers change, if it is in."""
        return Changing(self, mailbox) if mailbox.counted else nullcontext()

    def _count(self, mailbox: Counted, times: int) -> None:
        """Put in so many mailboxes that are like this one; negative: take them out."""
        mailbox.counted = times > 0
        _count(self._by_numbers, (mailbox.plan, mailbox.quota, mailbox.spent), times)
        self._skipped += times * mailbox.missed
        _count(self._by_sent, mailbox.sent, times)
        self._in_doubt += times * mailbox.in_doubt
        self._failed += times * mailbox.failed
        self._met += times * (mailbox.sent >= mailbox.quota)
        self._stand(mailbox, times)

    def _stand(self, mailbox: Counted, times: int) -> None:
        _count(self._reasons, reason_of(mailbox), times)
        if mailbox.standing in _DEFERRED:
            self._deferred += times * (mailbox.quota - mailbox.spent - mailbox.missed)
        elif mailbox.standing in _SKIPPED:
            self._skipped += times * (mailbox.quota - mailbox.spent - mailbox.missed)

    def account(self, now: float) -> Account:
        """The sums at ``now`` (seconds since the epoch). Behind: mails whose slot is over, unclaimed."""
        at = datetime.fromtimestamp(now, UTC)
        due = sum(quota * mailboxes for (_, quota, _), mailboxes in self._by_numbers.items())
        spent = sum(spent * mailboxes for (_, _, spent), mailboxes in self._by_numbers.items())
        sent = sum(sent * mailboxes for sent, mailboxes in self._by_sent.items())
        behind = sum(
            mailboxes * max(0, plan.expected(at) - spent)
            for (plan, _, spent), mailboxes in self._by_numbers.items()
        )
        return Account(
            mailboxes=sum(self._by_numbers.values()),
            due=due,
            sent=sent,
            in_doubt=self._in_doubt,
            failed=self._failed,
            in_flight=spent - sent - self._in_doubt,
            scheduled=due - spent - self._deferred - self._skipped,
            deferred=self._deferred,
            skipped=self._skipped,
            met=self._met,
            behind=behind,
            by_sent=dict(sorted(self._by_sent.items())),
            reasons=dict(sorted(self._reasons.items())),
        )


def _count(counter: Counter[K], key: K, times: int) -> None:
    """Add to a counter that keeps no zeros: each reading brings plans of its own, and those of before go with their mailboxes."""
    left = counter[key] + times
    if left:
        counter[key] = left
    else:
        del counter[key]


class Changing:
    """A mailbox is out of the sums inside this block."""

    __slots__ = ("_mailbox", "_tally")

    def __init__(self, tally: Tally, mailbox: Counted) -> None:
        self._tally, self._mailbox = tally, mailbox

    def __enter__(self) -> None:
        self._tally.remove(self._mailbox)

    def __exit__(self, *_: object) -> None:
        self._tally.add(self._mailbox)
