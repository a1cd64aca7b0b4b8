"""A worker's mailboxes in memory, and a heap of the instants at which they wake.

Memory is a copy: the rows decide. What memory has wrong costs a refused claim, and the refusal brings the row's numbers. A
mailbox that this process has in flight is never overwritten by a reading, nor is one that changed after the reading began.

Invariants: a mailbox has at most one valid entry in the heap (``wakes_at`` tells which); one in flight has none. Sums are
kept as mailboxes change. No I/O, no clock: ``now`` is the database's, in seconds since the epoch. Built for a hundred
thousand rows.
"""

import heapq
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from warmup_core import pacing, shards
from warmup_core.credentials import Sealed
from warmup_core.pacing import WakeReason, Window
from warmup_core.settings import FleetSettings
from warmup_core.types import MailState
from warmup_worker.claiming import Claim, NotClaimed, Refusal
from warmup_worker.roster import Change, MailboxRow
from warmup_worker.tally import Account, Standing, Tally

_STANDING = {
    WakeReason.SCHEDULED: Standing.SCHEDULED,
    WakeReason.BEHIND: Standing.BEHIND,
    WakeReason.COOLDOWN: Standing.COOLDOWN,
    WakeReason.QUOTA_MET: Standing.QUOTA_MET,
    WakeReason.WINDOW_OVER: Standing.WINDOW_OVER,
}
_RESTING = {WakeReason.COOLDOWN, WakeReason.WINDOW_OVER}
_HERE = {Standing.CONNECTING, Standing.IN_FLIGHT}
_RETRY_SECONDS = 3.0
_NO_RECIPIENT_SECONDS = 10.0
_LIMIT_SPREAD = 0.5
"""Seconds over which those who wait for one token are spread."""


@dataclass(frozen=True)
class Plan:
    """The day that the shard is paced for."""

    day: date
    window: Window

    @classmethod
    def of(cls, day: date, zone: str, settings: FleetSettings) -> "Plan":
        """The day's window by the fleet's zone and settings."""
        opens, closes = settings.window_from_seconds, settings.window_to_seconds
        return cls(day, pacing.window(day, ZoneInfo(zone), opens, closes))


class Mailbox:
    """One mailbox of ours. ``failures`` counts those in a row, for the backoff."""

    __slots__ = (
        "address", "changed_at", "display_name", "failed", "failures", "hold", "id", "in_doubt", "limit", "not_before",
        "quota", "sealed", "sent", "smtp_host", "smtp_port", "smtp_security", "spent", "standing", "touched", "user_id",
        "username", "waits_for", "wakes_at",
    )  # fmt: skip

    def __init__(self, row: MailboxRow) -> None:
        self.id = row.id
        self.failures = 0
        self.touched = row.read_at
        self.wakes_at = 0.0
        self.standing = Standing.SCHEDULED
        self.limit: str | None = None
        self.waits_for: str | tuple[str, str] | None = None
        """The gate that it was set aside at, or the pause (scope, key) that it waits for."""
        self.configure(row)
        self.count(row)

    def configure(self, row: MailboxRow) -> None:
        """Take over what a person or an import wrote."""
        self.changed_at = row.changed_at
        self.user_id = row.user_id
        self.address = row.address
        self.display_name = row.display_name
        self.smtp_host = row.smtp_host
        self.smtp_port = row.smtp_port
        self.smtp_security = row.smtp_security
        self.username: str | None = row.username
        self.sealed: Sealed | None = row.sealed

    def count(self, row: MailboxRow) -> None:
        """Take over what workers wrote."""
        self.not_before = row.not_before
        self.hold: str | None = row.hold_reason
        if self.hold is None:
            self.failures = 0
        self.quota, self.spent = row.quota, row.spent
        self.sent, self.in_doubt, self.failed = row.sent, row.in_doubt, row.failed


class Shard:
    """The mailboxes of one worker, by id. ``age_clock`` orders readings and local changes (``boottime``)."""

    def __init__(self, age_clock: Callable[[], float]) -> None:
        self.mailboxes: dict[int, Mailbox] = {}
        self.plan: Plan | None = None
        self.look_again: set[int] = set()
        """To be read again with the next heartbeat: in flight under another process, or a reading came at a bad moment."""
        self._age_clock = age_clock
        self._heap: list[tuple[float, int]] = []
        self._tally = Tally()

    def account(self, now: float) -> Account:
        """The sums over all mailboxes."""
        return self._tally.account(now, self.plan.window if self.plan else None)

    def put(self, rows: Iterable[MailboxRow], now: float) -> None:
        """Take in rows as read: new mailboxes, and changes of known ones."""
        for row in rows:
            mailbox = self.mailboxes.get(row.id)
            if mailbox is None:
                mailbox = self.mailboxes[row.id] = Mailbox(row)
                self._tally.add(mailbox)
            elif mailbox.standing in _HERE or mailbox.touched > row.read_at:
                mailbox.configure(row)
                self.look_again.add(row.id)
                continue
            else:
                with self._changing(mailbox):
                    mailbox.configure(row)
                    mailbox.count(row)
            if row.in_flight:
                self.look_again.add(row.id)
                self._stand(mailbox, Standing.ELSEWHERE)
            else:
                self.look_again.discard(row.id)
                self.schedule(mailbox, now)

    def knows(self, change: Change) -> bool:
        """Whether memory has this change already: as it was read, or gone."""
        mailbox = self.mailboxes.get(change.id)
        return mailbox.changed_at == change.changed_at if mailbox is not None else not change.active

    def drop(self, ids: Iterable[int]) -> None:
        """Forget mailboxes: not active, not ours, or gone. One in flight ends under its own send."""
        for mailbox_id in ids:
            mailbox = self.mailboxes.pop(mailbox_id, None)
            if mailbox is not None:
                self._tally.add(mailbox, -1)
            self.look_again.discard(mailbox_id)

    def keep_owned(self, number: int, count: int) -> None:
        """Drop what another worker owns under a new count."""
        self.drop([it for it in self.mailboxes if not shards.owns(number, it, count)])

    def next_wake(self) -> float | None:
        """When the first mailbox wakes; None when none will."""
        while self._heap:
            at, mailbox_id = self._heap[0]
            mailbox = self.mailboxes.get(mailbox_id)
            if mailbox is not None and mailbox.wakes_at == at:
                return at
            heapq.heappop(self._heap)
        return None

    def begin(self, now: float) -> Mailbox | None:
        """Take the mailbox that has been due for longest; None while none is due."""
        while self.plan is not None:
            at = self.next_wake()
            if at is None or at > now:
                return None
            mailbox = self.mailboxes[heapq.heappop(self._heap)[1]]
            if now < self.plan.window.closes.timestamp():
                self._stand(mailbox, Standing.CONNECTING)
                return mailbox
            self._stand(mailbox, Standing.WINDOW_OVER)  # it was due in time and no slot came free
        return None

    def claimed(self, mailbox: Mailbox, claim: Claim) -> None:
        """A mail of this mailbox is in flight here."""
        if self.plan is not None and claim.day == self.plan.day:
            with self._changing(mailbox):
                mailbox.spent = claim.k + 1
        self._stand(mailbox, Standing.IN_FLIGHT)

    def refused(self, mailbox: Mailbox, refusal: NotClaimed, now: float, draw: float) -> None:
        """The claim was not granted: take over what the rows say and wake again when that may have changed."""
        with self._changing(mailbox):
            if refusal.not_before:
                mailbox.not_before = refusal.not_before
            if refusal.quota is not None and refusal.spent is not None:
                mailbox.quota, mailbox.spent = refusal.quota, refusal.spent
        if refusal.reason in {Refusal.COOLDOWN, Refusal.QUOTA}:
            self.schedule(mailbox, now)
            return
        if refusal.reason is Refusal.LIMIT:
            self._limit(mailbox, refusal.limit)
            self._stand(mailbox, Standing.LIMITED, now + refusal.wait + _LIMIT_SPREAD * draw)
            return
        if refusal.reason in {Refusal.IN_FLIGHT, Refusal.UNPLANNED, Refusal.INACTIVE, Refusal.NOT_MINE}:
            self.look_again.add(mailbox.id)
        if refusal.reason is Refusal.IN_FLIGHT:
            self._stand(mailbox, Standing.ELSEWHERE)
        else:
            self._stand(mailbox, Standing.REFUSED, now + _RETRY_SECONDS * (0.5 + draw))

    def set_aside(self, mailbox: Mailbox, gate: str, limit: str) -> None:
        """A mailbox that was begun waits for a gate, beside the heap."""
        self._limit(mailbox, limit)
        self._stand(mailbox, Standing.LIMITED)
        mailbox.waits_for = gate

    def bring_back(self, mailbox_id: int, gate: str, now: float) -> bool:
        """Wake a mailbox that was set aside; False where it no longer waits for this gate."""
        mailbox = self.mailboxes.get(mailbox_id)
        if mailbox is None or mailbox.waits_for != gate:
            return False
        self._stand(mailbox, Standing.BEHIND, now)
        return True

    def pause(self, mailbox: Mailbox, gate: tuple[str, str], rule: str, until: float | None) -> None:
        """A mailbox that was begun waits for the end of a pause, or without ``until`` for word of it."""
        self._limit(mailbox, rule)
        self._stand(mailbox, Standing.PAUSED, until)
        mailbox.waits_for = gate

    def resume(self, gates: Container[tuple[str, str]], now: float) -> None:
        """Wake those who wait for the end of one of these pauses."""
        for mailbox in list(self.mailboxes.values()):
            if mailbox.standing is Standing.PAUSED and mailbox.waits_for in gates:
                self.schedule(mailbox, now)

    def _limit(self, mailbox: Mailbox, limit: str | None) -> None:
        """Name the limit that binds a mailbox; it counts while its standing is LIMITED."""
        with self._changing(mailbox):
            mailbox.limit = limit

    def no_recipient(self, mailbox: Mailbox, now: float) -> None:
        """The pool holds nobody to write to: look again a little later."""
        self._stand(mailbox, Standing.NO_RECIPIENT, now + _NO_RECIPIENT_SECONDS)

    def deferred(self, mailbox: Mailbox, hold: str, until: float, now: float) -> None:
        """No connection or no login: rest until ``until``."""
        with self._changing(mailbox):
            mailbox.failures += 1
            mailbox.hold = hold
            mailbox.not_before = max(mailbox.not_before, until)
        self.schedule(mailbox, now)

    def ended(
        self, mailbox: Mailbox, state: MailState, day: date, hold: str | None, until: float, now: float
    ) -> None:
        """A mail of ``day`` is settled: count it, rest until ``until``, and go on."""
        with self._changing(mailbox):
            mailbox.hold, mailbox.not_before = hold, until
            mailbox.failures = mailbox.failures + 1 if hold else 0
            if self.plan is not None and day == self.plan.day:
                mailbox.spent -= state is MailState.FAILED
                mailbox.failed += state is MailState.FAILED
                mailbox.sent += state is MailState.SENT
                mailbox.in_doubt += state is MailState.IN_DOUBT
        self.schedule(mailbox, now)

    def schedule(self, mailbox: Mailbox, now: float) -> None:
        """Let a mailbox wake when its plan says."""
        if self.plan is None:
            return
        seed = f"{mailbox.id}/{self.plan.day}"
        instant = datetime.fromtimestamp(now, UTC)
        not_before = datetime.fromtimestamp(mailbox.not_before, UTC)
        wake = pacing.wake(instant, self.plan.window, mailbox.quota, mailbox.spent, not_before, seed)
        standing = _STANDING[wake.reason]
        rests = mailbox.not_before > now and wake.reason in _RESTING
        if mailbox.hold and rests and now < self.plan.window.closes.timestamp():
            standing = Standing.DEFERRED
        self._stand(mailbox, standing, wake.at.timestamp() if wake.at else None)

    def _stand(self, mailbox: Mailbox, standing: Standing, wakes_at: float | None = None) -> None:
        """Give a mailbox its standing and its entry in the heap, if it is still ours."""
        with self._changing(mailbox):
            mailbox.standing = standing
        mailbox.touched = self._age_clock()
        mailbox.waits_for = None
        mailbox.wakes_at = -1.0 if wakes_at is None else wakes_at
        if wakes_at is not None and self.mailboxes.get(mailbox.id) is mailbox:
            heapq.heappush(self._heap, (wakes_at, mailbox.id))

    @contextmanager
    def _changing(self, mailbox: Mailbox) -> Iterator[None]:
        """Take a mailbox out of the sums while its numbers change; one dropped meanwhile is in no sum."""
        counted = self.mailboxes.get(mailbox.id) is mailbox
        if counted:
            self._tally.add(mailbox, -1)
        yield
        if counted:
            self._tally.add(mailbox)
