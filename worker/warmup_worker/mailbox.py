"""One mailbox of a worker in memory: what its row says, how far its day is, and when its next mail is due.

A copy: the rows decide. ``missed`` are the mails that an earlier part of its day was too short for; the day does not make them
up, so the place of the next mail in the day's plan is ``spent + missed``.
"""

from datetime import UTC, date, datetime
from functools import lru_cache

from warmup_core import days
from warmup_core.pacing import Wake, WakeReason
from warmup_core.schedules import Owed, Schedule
from warmup_worker.roster import Enrolment, MailboxRow
from warmup_worker.tally import Standing

Next = tuple[float | None, WakeReason, float, float]
"""When a mailbox claims its next mail (None: not today) and why then; when the window closes that the mail belongs to, and the
deadline that says how urgent it is. Seconds since the epoch."""


class Mailbox:
    """One mailbox of ours. ``failures`` counts those in a row, for the backoff."""

    __slots__ = (
        "closes", "counted", "deadline", "enrolment", "failed", "failures", "hold", "id", "in_doubt", "limit", "missed",
        "not_before", "plan", "quota", "sent", "spent", "standing", "touched", "waits_for", "wakes_at",
    )  # fmt: skip

    def __init__(self, row: MailboxRow) -> None:
        self.id = row.id
        self.failures = 0
        self.counted = False
        self.touched = row.read_at
        self.wakes_at = -1.0
        """When it wakes by its entry in one of the shard's heaps; negative while it has none."""
        self.closes = 0.0
        """When the window closes that its next mail belongs to."""
        self.deadline = 0.0
        """How urgent its next mail is."""
        self.standing = Standing.SCHEDULED
        self.limit: str | None = None
        self.waits_for: str | tuple[str, str] | None = None
        """The gate that it was set aside at, or the pause (scope, key) that it waits for."""
        self.configure(row)
        self.count(row)

    def configure(self, row: MailboxRow) -> None:
        """Take over what a person or an import wrote: as it is enrolled now, so far as we have read."""
        self.enrolment = row.enrolment

    def changed_since(self, enrolled: Enrolment) -> bool:
        """Whether it is known to be enrolled otherwise by now."""
        return self.enrolment.changed_at != enrolled.changed_at

    def count(self, row: MailboxRow) -> None:
        """Take over what workers wrote."""
        self.not_before = row.not_before
        self.hold: str | None = row.hold_reason
        if self.hold is None:
            self.failures = 0
        self.plan = row.plan
        self.quota, self.spent, self.missed = row.quota, row.spent, row.missed
        self.sent, self.in_doubt, self.failed = row.sent, row.in_doubt, row.failed

    def missed_by(self, now: float) -> int:
        """The mails that the portions which are over lack, the last one left out."""
        missed, before = self.missed, 0
        if not missed and len(self.plan.portions) <= 1:
            return 0
        for portion in self.plan.portions[:-1]:
            before += portion.mails
            if portion.window.closes.timestamp() <= now:
                missed = max(missed, before - self.spent)
        return max(0, min(missed, self.quota - self.spent))

    def next_mail(self, schedule: Schedule, day: date, now: float, able_since: float | None) -> Next:
        """What the schedule says of this mailbox. ``able_since``: when its worker became able to send."""
        if self.spent >= self.quota:  # by the rows, whatever the plan in memory says
            return None, WakeReason.QUOTA_MET, self.closes, self.deadline
        portions = self.plan.portions
        if len(portions) == 1 and not self.missed and self.spent < portions[0].mails:
            portion = portions[0]
            rhythm, seed = portion.rhythm, f"{self.id}{_of_window(day, portion.opens_on)}"
            at, reason = schedule.moment(now, rhythm, self.spent, self.not_before, seed, able_since)
            return at, reason, rhythm.closes, rhythm.deadline(portion.mails - self.spent)
        return self._next_of(schedule, day, now, able_since)

    def comes_back(self, over: float, waited: float) -> float:
        """When it goes on after a pause that was over at ``over``, by its own place: see ``pacing.Rhythm``."""
        for portion in self.plan.portions:
            if portion.mails and portion.rhythm.closes >= self.closes:
                seed = f"{self.id}/{portion.opens_on}"
                return portion.rhythm.comes_back(over, waited, self.deadline, seed)
        return over

    def _next_of(self, schedule: Schedule, day: date, now: float, able_since: float | None) -> Next:
        """The same for any mailbox: several windows, one of which is over perhaps, or no mail."""
        instant = datetime.fromtimestamp(now, UTC)
        since = None if able_since is None else datetime.fromtimestamp(able_since, UTC)
        not_before = datetime.fromtimestamp(self.not_before, UTC)
        closes, deadline = self.closes, self.deadline
        done, wakes = self.spent + self.missed, list[Wake]()
        for portion in self.plan.portions:
            spent = min(portion.mails, max(0, done))
            seed = f"{self.id}{_of_window(day, portion.opens_on)}"
            owed = Owed(portion.window, portion.mails, spent, not_before, seed, portion.pace)
            wakes.append(schedule.wake(instant, owed, since))
            closes, deadline = portion.window.closes.timestamp(), owed.deadline.timestamp()
            if wakes[-1].at is not None:
                break
            done -= portion.mails
        wake = days.soonest(wakes)
        if self.missed and wake.reason is WakeReason.QUOTA_MET:  # the rest of it is
            wake = Wake(None, WakeReason.WINDOW_OVER)
        return None if wake.at is None else wake.at.timestamp(), wake.reason, closes, deadline


@lru_cache(maxsize=64)
def _of_window(day: date, opens_on: date) -> str:
    """What the seeds of all mailboxes with this window end with."""
    return f"/{day}/{opens_on}"
