"""Sums over a worker's mailboxes that cost the same to read however many there are.

A mailbox is taken out before it changes and put back after, so the sums are always those of a full count. Mails behind are
found from a histogram of (quota, spent): mailboxes with the same two numbers are behind by the same number of mails.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from warmup_core import pacing
from warmup_core.pacing import Window


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
    NO_RECIPIENT = "no recipient"


_DEFERRED = {Standing.DEFERRED, Standing.PAUSED}
_SKIPPED = {Standing.WINDOW_OVER, Standing.NO_RECIPIENT}


class Counted(Protocol):
    """What is summed of a mailbox."""

    quota: int
    spent: int
    sent: int
    in_doubt: int
    failed: int
    standing: Standing
    hold: str | None
    limit: str | None


@dataclass(frozen=True)
class Account:
    """due = sent + in_doubt + in_flight + scheduled + deferred + skipped, in mails; ``failed`` ones are to be sent again
    under a new name and so are among the scheduled or deferred. ``met`` and ``reasons`` count mailboxes."""

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
    reasons: dict[str, int]


def reason_of(mailbox: Counted) -> str:
    """The standing, with the rule or phase that the hold of a deferred mailbox names, the limit that binds, or the rule that
    made it pause: a closed set."""
    if mailbox.standing is Standing.DEFERRED and mailbox.hold:
        return f"{mailbox.standing}: {mailbox.hold.partition(':')[0][:40]}"
    if mailbox.standing in {Standing.LIMITED, Standing.PAUSED} and mailbox.limit:
        return f"{mailbox.standing}: {mailbox.limit}"
    return mailbox.standing.value


class Tally:
    """The running sums."""

    def __init__(self) -> None:
        self._by_numbers: Counter[tuple[int, int]] = Counter()
        self._reasons: Counter[str] = Counter()
        self._sent = self._in_doubt = self._failed = self._deferred = self._skipped = self._met = 0

    def add(self, mailbox: Counted, sign: int = 1) -> None:
        """Put a mailbox in (``sign`` 1) or take it out as it went in (-1)."""
        left = sign * (mailbox.quota - mailbox.spent)
        self._by_numbers[(mailbox.quota, mailbox.spent)] += sign
        self._reasons[reason_of(mailbox)] += sign
        self._sent += sign * mailbox.sent
        self._in_doubt += sign * mailbox.in_doubt
        self._failed += sign * mailbox.failed
        self._met += sign * (mailbox.sent >= mailbox.quota)
        if mailbox.standing in _DEFERRED:
            self._deferred += left
        elif mailbox.standing in _SKIPPED:
            self._skipped += left

    def account(self, now: float, window: Window | None) -> Account:
        """The sums at ``now`` (seconds since the epoch). Behind: mails whose slot of the window is over, unclaimed."""
        due = sum(quota * mailboxes for (quota, _), mailboxes in self._by_numbers.items())
        spent = sum(spent * mailboxes for (_, spent), mailboxes in self._by_numbers.items())
        behind = 0
        if window is not None:
            elapsed = pacing.elapsed(window, datetime.fromtimestamp(now, UTC))
            behind = sum(
                mailboxes * max(0, int(elapsed * quota) - spent)
                for (quota, spent), mailboxes in self._by_numbers.items()
            )
        return Account(
            mailboxes=sum(self._by_numbers.values()),
            due=due,
            sent=self._sent,
            in_doubt=self._in_doubt,
            failed=self._failed,
            in_flight=spent - self._sent - self._in_doubt,
            scheduled=due - spent - self._deferred - self._skipped,
            deferred=self._deferred,
            skipped=self._skipped,
            met=self._met,
            behind=behind,
            reasons={reason: mailboxes for reason, mailboxes in sorted(self._reasons.items()) if mailboxes},
        )
