"""A worker's mailboxes in memory, a heap of the instants at which they wake, and one of those that are due, by urgency.

Memory is a copy: the rows decide. What memory has wrong costs a refused claim, and the refusal brings the row's numbers. A
mailbox that this process has in flight is never overwritten by a reading, nor is one that changed after the reading began.

Invariants: a mailbox that waits has a valid entry in one of the heaps (``wakes_at`` tells which), or is among those that come
back after an outage or a pause; one in flight has none. When it wakes and how urgent it is the schedule says; here it is not
known which one that is. Sums are kept as mailboxes change. No I/O, no clock: ``now`` is the database's, in seconds since the
epoch. Built for a million rows: what concerns many of them at once is done a few at a time (``come_back``).
"""

import heapq
from collections import deque
from collections.abc import Callable, Container, Iterable
from datetime import date

from warmup_core import shards
from warmup_core.pacing import WakeReason
from warmup_core.schedules import Schedule
from warmup_core.types import MailState
from warmup_worker.claiming import Claim, NotClaimed, Refusal
from warmup_worker.mailbox import Mailbox
from warmup_worker.roster import Change, MailboxRow
from warmup_worker.tally import Account, Standing, Tally

_STANDING = {
    WakeReason.SCHEDULED: Standing.SCHEDULED,
    WakeReason.BEHIND: Standing.BEHIND,
    WakeReason.COOLDOWN: Standing.COOLDOWN,
    WakeReason.QUOTA_MET: Standing.QUOTA_MET,
    WakeReason.WINDOW_OVER: Standing.WINDOW_OVER,
    WakeReason.NO_WINDOW: Standing.NO_WINDOW,
}
_RESTING = {WakeReason.COOLDOWN, WakeReason.WINDOW_OVER}
_HERE = {Standing.CONNECTING, Standing.IN_FLIGHT}
_RETRY_SECONDS = 3.0
_NO_RECIPIENT_SECONDS = 10.0
_AT_ONCE = 1000
"""Mailboxes looked at in one call, some 15 ms: a window that closes on a hundred thousand must delay no heartbeat."""
_LIMIT_SPREAD = 0.5
"""Seconds over which those who wait for one token are spread."""


class Shard:
    """The mailboxes of one worker, by id. ``age_clock`` orders readings and local changes (``boottime``)."""

    def __init__(self, age_clock: Callable[[], float]) -> None:
        self.mailboxes: dict[int, Mailbox] = {}
        self.day: date | None = None
        """The quota's day that the mailboxes were read for; None before the first reading."""
        self.schedule: Schedule | None = None
        """How their mails are spread; None before the first heartbeat."""
        self.look_again: set[int] = set()
        """To be read again with the next heartbeat: in flight under another process, or a reading came at a bad moment."""
        self._age_clock = age_clock
        self._able_since: float | None = None
        self._asleep: list[tuple[float, int]] = []
        self._due: list[tuple[float, float, int]] = []
        self._coming_back: deque[int] = deque()
        self._tally = Tally()

    def account(self, now: float) -> Account:
        """The sums over all mailboxes."""
        return self._tally.account(now)

    def put(self, rows: Iterable[MailboxRow], now: float, *, anew: bool = False) -> None:
        """Take in rows as read, each mailbox once: new ones, and changes of known ones.

        ``anew``: under other settings, or for another day. Else whoever waits for a limit goes on waiting: no row knows
        of that, and it would log in to be refused again.
        """
        taken: list[Mailbox] = []
        for row in rows:
            mailbox_id, waits_on = row.id, False
            mailbox = self.mailboxes.get(mailbox_id)
            if mailbox is None:
                mailbox = self.mailboxes[mailbox_id] = Mailbox(row)
            elif mailbox.standing in _HERE or mailbox.touched > row.read_at:
                mailbox.configure(row)
                self.look_again.add(mailbox_id)
                continue
            else:
                waits_on = not anew and self._waits_on(mailbox, row, now)
                self._tally.remove(mailbox)
                mailbox.configure(row)
                mailbox.count(row)
            if row.in_flight:
                self.look_again.add(mailbox_id)
                self._stand(mailbox, Standing.ELSEWHERE)
            else:
                self.look_again.discard(mailbox_id)
                if not waits_on:
                    self.place(mailbox, now)
            taken.append(mailbox)
        self._tally.add_all(taken)

    @staticmethod
    def _waits_on(mailbox: Mailbox, row: MailboxRow, now: float) -> bool:
        """Whether it waits for a limit and this row, read meanwhile, changes nothing about that."""
        waits = mailbox.standing is Standing.LIMITED and mailbox.wakes_at > now
        return waits and row.spent < row.quota and not mailbox.changed_since(row.enrolment)

    def knows(self, change: Change) -> bool:
        """Whether memory has this change already: as it was read, or gone."""
        mailbox = self.mailboxes.get(change.id)
        return mailbox.enrolment.changed_at == change.changed_at if mailbox is not None else not change.active

    def drop(self, ids: Iterable[int]) -> None:
        """Forget mailboxes: not active, not ours, or gone. One in flight ends under its own send."""
        for mailbox_id in ids:
            mailbox = self.mailboxes.pop(mailbox_id, None)
            if mailbox is not None:
                self._tally.remove(mailbox)
            self.look_again.discard(mailbox_id)

    def keep_owned(self, number: int, count: int, ids: Iterable[int]) -> None:
        """Drop those of ``ids`` that another worker owns under a new count."""
        self.drop([it for it in ids if not shards.owns(number, it, count)])

    def able_again(self, now: float) -> None:
        """This worker may send from now on: whoever was due meanwhile comes back, to take its place in what follows."""
        self._able_since = now
        self._coming_back.extend(mailbox_id for _, _, mailbox_id in self._due)
        self._due.clear()

    def come_back(self, now: float, most: int) -> bool:
        """Place up to ``most`` of those that come back; whether there may be more. Nobody should begin before all have."""
        for _ in range(most):
            if self._coming_back:
                mailbox_id = self._coming_back.popleft()
            elif self._asleep and self._able_since is not None and self._asleep[0][0] < self._able_since:
                mailbox_id = heapq.heappop(self._asleep)[1]
            else:
                return False
            mailbox = self.mailboxes.get(mailbox_id)
            if mailbox is not None and self._comes_back(mailbox):
                mailbox.wakes_at = -1.0
                self.place(mailbox, now)
        return True

    def _comes_back(self, mailbox: Mailbox) -> bool:
        """Whether nothing has happened to it meanwhile: its pause is over, or it was due before this worker was able to send."""
        if mailbox.standing is Standing.PAUSED:
            return mailbox.waits_for is None
        return self._able_since is not None and 0 <= mailbox.wakes_at < self._able_since

    def next_wake(self) -> float | None:
        """When the first mailbox wakes of those that are not due yet; None when none will."""
        while self._asleep:
            at, mailbox_id = self._asleep[0]
            if self._waits(mailbox_id, at):
                return at
            heapq.heappop(self._asleep)
        return None

    def begin(self, now: float) -> Mailbox | None:
        """Take the most urgent of the mailboxes that are due; None while none is, or after so much work that others are to have
        their turn first (``unfinished``)."""
        for _ in range(_AT_ONCE):
            if (at := self.next_wake()) is not None and at <= now:
                mailbox_id = heapq.heappop(self._asleep)[1]
                heapq.heappush(self._due, (self.mailboxes[mailbox_id].deadline, at, mailbox_id))
                continue
            if not self._due:
                return None
            _, at, mailbox_id = heapq.heappop(self._due)
            if not self._waits(mailbox_id, at):
                continue
            mailbox = self.mailboxes[mailbox_id]
            if now < mailbox.closes:
                self._miss(mailbox, now)
                self._stand(mailbox, Standing.CONNECTING)
                return mailbox
            mailbox.wakes_at = -1.0
            self.place(mailbox, now)  # it was due in time and no slot came free
        return None

    def unfinished(self, now: float) -> bool:
        """Whether there may be more that are due."""
        return bool(self._due) or ((at := self.next_wake()) is not None and at <= now)

    def _waits(self, mailbox_id: int, at: float) -> bool:
        """Whether an entry of a heap still is its mailbox's."""
        mailbox = self.mailboxes.get(mailbox_id)
        return mailbox is not None and mailbox.wakes_at == at

    def put_back(self, mailbox: Mailbox, now: float) -> None:
        """A mailbox that was begun was not started after all."""
        self._stand_due(mailbox, now)

    def claimed(self, mailbox: Mailbox, claim: Claim) -> None:
        """A mail of this mailbox is in flight here."""
        if claim.day == self.day:
            with self._tally.changing(mailbox):
                mailbox.spent = claim.k + 1
        self._stand(mailbox, Standing.IN_FLIGHT)

    def refused(self, mailbox: Mailbox, refusal: NotClaimed, now: float, draw: float) -> None:
        """The claim was not granted: take over what the rows say and wake again when that may have changed."""
        with self._tally.changing(mailbox):
            if refusal.not_before:
                mailbox.not_before = refusal.not_before
            if refusal.quota is not None and refusal.spent is not None:
                mailbox.quota, mailbox.spent = refusal.quota, refusal.spent
        if refusal.reason in {Refusal.COOLDOWN, Refusal.QUOTA, Refusal.WINDOW}:
            self.place(mailbox, now)
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
        self._stand_due(mailbox, now)
        return True

    def pause(self, mailbox: Mailbox, gate: tuple[str, str], rule: str, until: float | None) -> None:
        """A mailbox that was begun waits for the end of a pause, or without ``until`` for word of it."""
        self._limit(mailbox, rule)
        self._stand(mailbox, Standing.PAUSED, until)
        mailbox.waits_for = gate

    def resume(self, gates: Container[tuple[str, str]]) -> None:
        """Let those come back who wait for the end of one of these pauses."""
        for mailbox in self.mailboxes.values():
            if mailbox.standing is Standing.PAUSED and mailbox.waits_for in gates:
                mailbox.waits_for = None
                self._coming_back.append(mailbox.id)

    def _limit(self, mailbox: Mailbox, limit: str | None) -> None:
        """Name the limit that binds a mailbox; it counts while its standing is LIMITED."""
        with self._tally.changing(mailbox):
            mailbox.limit = limit

    def no_recipient(self, mailbox: Mailbox, now: float) -> None:
        """The pool holds nobody to write to: look again a little later."""
        self._stand(mailbox, Standing.NO_RECIPIENT, now + _NO_RECIPIENT_SECONDS)

    def deferred(self, mailbox: Mailbox, hold: str, until: float, now: float) -> None:
        """No connection or no login: rest until ``until``."""
        with self._tally.changing(mailbox):
            mailbox.failures += 1
            mailbox.hold = hold
            mailbox.not_before = max(mailbox.not_before, until)
        self.place(mailbox, now)

    def ended(
        self, mailbox: Mailbox, state: MailState, day: date, hold: str | None, until: float, now: float
    ) -> None:
        """A mail of ``day`` is settled: count it, rest until ``until``, and go on."""
        with self._tally.changing(mailbox):
            mailbox.hold, mailbox.not_before = hold, until
            mailbox.failures = mailbox.failures + 1 if hold else 0
            if day == self.day:
                mailbox.spent -= state is MailState.FAILED
                mailbox.failed += state is MailState.FAILED
                mailbox.sent += state is MailState.SENT
                mailbox.in_doubt += state is MailState.IN_DOUBT
        self.place(mailbox, now)

    def place(self, mailbox: Mailbox, now: float) -> None:
        """Let a mailbox wake when the schedule says."""
        if self.schedule is None or self.day is None:
            return
        self._miss(mailbox, now)
        at, reason, closes, deadline = mailbox.next_mail(self.schedule, self.day, now, self._able_since)
        if at is not None and at <= now and 0 <= mailbox.wakes_at <= now and mailbox.deadline == deadline:
            at = mailbox.wakes_at  # it is due already, in its place among the others
        mailbox.closes, mailbox.deadline = closes, deadline
        standing = _STANDING[reason]
        rests = mailbox.not_before > now and reason in _RESTING
        if mailbox.hold and rests and now < mailbox.closes:
            standing = Standing.DEFERRED
        self._stand(mailbox, standing, at)

    def _miss(self, mailbox: Mailbox, now: float) -> None:
        """Count what is missed by now: before the next mail is, or it would be taken for one of those."""
        missed = mailbox.missed_by(now)
        if missed != mailbox.missed:
            with self._tally.changing(mailbox):
                mailbox.missed = missed

    def _stand_due(self, mailbox: Mailbox, now: float) -> None:
        """Let a mailbox stand among those that are due."""
        self._stand(mailbox, Standing.BEHIND)
        mailbox.wakes_at = now
        if self.mailboxes.get(mailbox.id) is mailbox:
            heapq.heappush(self._due, (mailbox.deadline, now, mailbox.id))

    def _stand(self, mailbox: Mailbox, standing: Standing, wakes_at: float | None = None) -> None:
        """Give a mailbox its standing and its entry in the heap, if it is still ours."""
        self._tally.move(mailbox, standing)
        mailbox.touched = self._age_clock()
        mailbox.waits_for = None
        entered, mailbox.wakes_at = mailbox.wakes_at, -1.0 if wakes_at is None else wakes_at
        if wakes_at is not None and wakes_at != entered and self.mailboxes.get(mailbox.id) is mailbox:
            heapq.heappush(self._asleep, (wakes_at, mailbox.id))
