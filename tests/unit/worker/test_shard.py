"""The shard in memory: its sums are those of a full count whatever happens to its mailboxes, and it wakes the right one."""

import itertools
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from warmup_core import pacing
from warmup_core.settings import FleetSettings
from warmup_core.types import MailState
from warmup_worker.claiming import Claim, NotClaimed, Refusal
from warmup_worker.roster import MailboxRow
from warmup_worker.shard import Mailbox, Plan, Shard
from warmup_worker.tally import Standing, reason_of

DAY = date(2026, 11, 25)
OPENS = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
PLAN = Plan.of(DAY, "UTC", FleetSettings())


def row(mailbox_id: int, read_at: float = 0.0, **changes: object) -> MailboxRow:
    made = MailboxRow(
        id=mailbox_id,
        user_id=1,
        address=f"box{mailbox_id}@orchard.example",
        display_name="",
        smtp_host="smtp.example",
        smtp_port=587,
        smtp_security="starttls",
        changed_at=0.0,
        in_flight=False,
        not_before=0.0,
        hold_reason=None,
        username="x",
        sealed=None,
        quota=3,
        spent=0,
        sent=0,
        in_doubt=0,
        failed=0,
        read_at=read_at,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def claim(mailbox: Mailbox, mail_id: int, day: date = DAY) -> Claim:
    at = datetime.fromtimestamp(OPENS, UTC)
    return Claim(mailbox.id, mail_id, day, mailbox.spent, at, 2, "b@x.example", "Ben", 0, 0.0)


class Sums(RuleBasedStateMachine):
    """Any order of readings, turns, refusals and drops."""

    @initialize()
    def begin(self) -> None:
        self.ticks = itertools.count(1)
        self.shard = Shard(lambda: float(next(self.ticks)))
        self.shard.plan = PLAN
        self.now = OPENS + 3600.0
        self.turns: list[tuple[Mailbox, Claim | None]] = []

    @rule(
        ids=st.sets(st.integers(1, 6)),
        spent=st.integers(0, 3),
        in_flight=st.booleans(),
        quota=st.integers(3, 5),
        late=st.booleans(),
    )
    def read(self, ids: set[int], spent: int, in_flight: bool, quota: int, late: bool) -> None:
        read_at = 0.0 if late else float(next(self.ticks))
        self.shard.put(
            [row(it, read_at, spent=spent, sent=spent, in_flight=in_flight, quota=quota) for it in ids],
            self.now,
        )

    @rule(ids=st.sets(st.integers(1, 6), max_size=2))
    def drop(self, ids: set[int]) -> None:
        self.shard.drop(ids)

    @rule(seconds=st.floats(0, 30_000))
    def pass_time(self, seconds: float) -> None:
        self.now = min(self.now + seconds, OPENS + 90_000)

    @rule()
    def take(self) -> None:
        if (mailbox := self.shard.begin(self.now)) is not None:
            assert mailbox.wakes_at < 0
            assert all(other is not mailbox for other, _ in self.turns)
            self.turns.append((mailbox, None))

    @rule(reason=st.sampled_from(Refusal))
    def refuse(self, reason: Refusal) -> None:
        if self.turns and self.turns[0][1] is None:
            mailbox, _ = self.turns.pop(0)
            self.shard.refused(mailbox, NotClaimed(mailbox.id, reason, self.now + 60, 3, 2), self.now, 0.5)

    @rule()
    def grant(self) -> None:
        if self.turns and self.turns[0][1] is None and self.turns[0][0].spent < self.turns[0][0].quota:
            mailbox, _ = self.turns.pop(0)
            granted = claim(mailbox, 1)
            self.shard.claimed(mailbox, granted)
            self.turns.append((mailbox, granted))

    @rule(state=st.sampled_from([MailState.SENT, MailState.FAILED, MailState.IN_DOUBT]), hold=st.booleans())
    def end(self, state: MailState, hold: bool) -> None:
        if self.turns and self.turns[0][1] is not None:
            mailbox, granted = self.turns.pop(0)
            assert granted is not None
            until = self.now + 120
            self.shard.ended(mailbox, state, granted.day, "rcpt: no" if hold else None, until, self.now)

    @rule()
    def defer(self) -> None:
        if self.turns and self.turns[0][1] is None:
            mailbox, _ = self.turns.pop(0)
            self.shard.deferred(mailbox, "connect: refused", self.now + 60, self.now)

    @invariant()
    def sums_are_those_of_a_full_count(self) -> None:
        account, all_of_them = self.shard.account(self.now), list(self.shard.mailboxes.values())
        assert account.mailboxes == len(all_of_them)
        assert account.due == sum(it.quota for it in all_of_them)
        assert account.sent == sum(it.sent for it in all_of_them)
        assert account.in_doubt == sum(it.in_doubt for it in all_of_them)
        assert account.met == sum(it.sent >= it.quota for it in all_of_them)
        assert account.reasons == dict(sorted(Counter(map(reason_of, all_of_them)).items()))
        assert account.due == (
            account.sent
            + account.in_doubt
            + account.in_flight
            + account.scheduled
            + account.deferred
            + account.skipped
        )
        elapsed = min(1.0, (self.now - OPENS) / 86_400)
        assert account.behind == sum(max(0, int(elapsed * it.quota) - it.spent) for it in all_of_them)

    @invariant()
    def whoever_waits_will_wake_and_whoever_is_under_way_will_not(self) -> None:
        first = self.shard.next_wake()
        waiting = [it.wakes_at for it in self.shard.mailboxes.values() if it.wakes_at >= 0]
        assert first == (min(waiting) if waiting else None)
        for mailbox in self.shard.mailboxes.values():
            here = mailbox.standing in {Standing.CONNECTING, Standing.IN_FLIGHT}
            assert here == any(mailbox is other for other, _ in self.turns)
            if mailbox.standing is Standing.ELSEWHERE:
                assert mailbox.id in self.shard.look_again, "nobody would ever look at it again"


TestSums = Sums.TestCase
TestSums.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_reading_that_began_before_a_change_does_not_undo_it() -> None:
    shard = Shard(lambda: 10.0)
    shard.plan = PLAN
    shard.put([row(1, read_at=1.0)], OPENS + 86_000)
    mailbox = shard.begin(OPENS + 86_000)
    assert mailbox is not None
    shard.claimed(mailbox, claim(mailbox, 1))
    shard.ended(mailbox, MailState.SENT, DAY, None, OPENS + 86_100, OPENS + 86_000)
    shard.put([row(1, read_at=9.0)], OPENS + 86_000)
    assert (mailbox.spent, mailbox.sent) == (1, 1)
    assert shard.look_again == {1}
    shard.put([row(1, read_at=11.0, spent=1, sent=1)], OPENS + 86_000)
    assert shard.look_again == set()


def test_a_mail_of_yesterday_does_not_count_today() -> None:
    shard = Shard(lambda: 1.0)
    shard.plan = PLAN
    shard.put([row(1)], OPENS + 86_000)
    mailbox = shard.begin(OPENS + 86_000)
    assert mailbox is not None
    yesterday = claim(mailbox, 1, DAY - timedelta(days=1))
    shard.claimed(mailbox, yesterday)
    shard.ended(mailbox, MailState.SENT, yesterday.day, None, OPENS, OPENS + 86_000)
    assert (mailbox.spent, mailbox.sent) == (0, 0)


def test_what_found_no_slot_before_the_window_closed_is_not_sent_after_it() -> None:
    shard = Shard(lambda: 1.0)
    shard.plan = Plan(DAY, pacing.Window(PLAN.window.opens, PLAN.window.opens + timedelta(hours=1)))
    shard.put([row(one) for one in range(1, 3000)], OPENS + 10)
    assert shard.begin(OPENS + 3600) is None
    account = shard.account(OPENS + 3600)
    assert account.reasons == {"window over": 2999}
    assert account.skipped == account.due


def test_a_resize_keeps_what_stays_ours_and_forgets_the_rest() -> None:
    shard = Shard(lambda: 1.0)
    shard.plan = PLAN
    shard.put([row(one) for one in range(10)], OPENS)
    shard.keep_owned(2, 3)
    assert sorted(shard.mailboxes) == [1, 4, 7]
