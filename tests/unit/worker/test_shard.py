"""The shard in memory: its sums are those of a full count whatever happens to its mailboxes, and it wakes the right one."""

import copy
import itertools
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from warmup_core.days import DayPlan, Portion
from warmup_core.limits import Kind
from warmup_core.pacing import Pace, Window
from warmup_core.schedules import Continuous, Interval, Schedule
from warmup_core.types import MailState
from warmup_worker.claiming import Claim, NotClaimed, Refusal
from warmup_worker.mailbox import Mailbox
from warmup_worker.roster import Enrolment, MailboxRow
from warmup_worker.shard import Shard
from warmup_worker.tally import Standing, reason_of

DAY = date(2026, 11, 25)
OPENS = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
ALL_DAY = Window(datetime(2026, 11, 25, tzinfo=UTC), datetime(2026, 11, 26, tzinfo=UTC))
ENROLMENT = Enrolment(0, 1, "", "", "smtp.example", 587, "starttls", "x", None, None, 0.0)
PLANS = {quota: DayPlan((Portion(DAY, ALL_DAY, quota),)) for quota in range(1, 10)}


def planned(
    day: date = DAY, schedule: Schedule | None = None, clock: Callable[[], float] = lambda: 1.0
) -> Shard:
    """A shard that knows its day and its schedule."""
    shard = Shard(clock)
    shard.day, shard.schedule = day, schedule or Continuous(20)
    return shard


def row(mailbox_id: int, read_at: float = 0.0, **changes: object) -> MailboxRow:
    made = MailboxRow(
        enrolment=ENROLMENT._replace(id=mailbox_id, address=f"box{mailbox_id}@orchard.example"),
        in_flight=False,
        not_before=0.0,
        hold_reason=None,
        plan=PLANS[3],
        quota=3,
        spent=0,
        missed=0,
        sent=0,
        in_doubt=0,
        failed=0,
        read_at=read_at,
    )
    if "quota" in changes and "plan" not in changes:
        changes["plan"] = PLANS[int(str(changes["quota"]))]
    return replace(made, **changes)  # type: ignore[arg-type]


def claim(mailbox: Mailbox, mail_id: int, day: date = DAY) -> Claim:
    at = datetime.fromtimestamp(OPENS, UTC)
    return Claim(mailbox.id, mail_id, day, mailbox.spent, at, 2, "b@x.example", "Ben", 0, 0.0)


class Sums(RuleBasedStateMachine):
    """Any order of readings, turns, refusals and drops."""

    @initialize()
    def begin(self) -> None:
        self.ticks = itertools.count(1)
        self.shard = planned(clock=lambda: float(next(self.ticks)))
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

    @rule(seconds=st.integers(0, 30_000))
    def pass_time(self, seconds: int) -> None:
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
        assert account.behind == sum(max(0, int(elapsed * it.plan.mails) - it.spent) for it in all_of_them)

    @invariant()
    def whoever_waits_will_wake_and_whoever_is_under_way_will_not(self) -> None:
        last = OPENS + 86_399
        waiting = {it.id for it in self.shard.mailboxes.values() if 0 <= it.wakes_at <= last}
        later = copy.deepcopy(self.shard)
        begun = {it.id for it in iter(lambda: later.begin(last), None)}
        assert begun == waiting
        for mailbox in self.shard.mailboxes.values():
            here = mailbox.standing in {Standing.CONNECTING, Standing.IN_FLIGHT}
            assert here == any(mailbox is other for other, _ in self.turns)
            if mailbox.standing is Standing.ELSEWHERE:
                assert mailbox.id in self.shard.look_again, "nobody would ever look at it again"


TestSums = Sums.TestCase
TestSums.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_reading_that_began_before_a_change_does_not_undo_it() -> None:
    shard = planned(clock=lambda: 10.0)
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
    shard = planned()
    shard.put([row(1)], OPENS + 86_000)
    mailbox = shard.begin(OPENS + 86_000)
    assert mailbox is not None
    yesterday = claim(mailbox, 1, DAY - timedelta(days=1))
    shard.claimed(mailbox, yesterday)
    shard.ended(mailbox, MailState.SENT, yesterday.day, None, OPENS, OPENS + 86_000)
    assert (mailbox.spent, mailbox.sent) == (0, 0)


def test_what_found_no_slot_before_the_window_closed_is_not_sent_after_it() -> None:
    """In pieces: each is placed anew, at 13 us and more, and thousands in one go would keep heartbeats waiting."""
    shard = planned()
    hour = DayPlan((Portion(DAY, Window(ALL_DAY.opens, ALL_DAY.opens + timedelta(hours=1)), 3),))
    shard.put([row(one, plan=hour) for one in range(1, 3000)], OPENS + 10)
    pieces = 0
    while shard.unfinished(OPENS + 3600):
        assert shard.begin(OPENS + 3600) is None
        pieces += 1
    assert pieces >= 3
    account = shard.account(OPENS + 3600)
    assert account.reasons == {"window over": 2999}
    assert account.skipped == account.due


def test_a_resize_keeps_what_stays_ours_and_forgets_the_rest() -> None:
    shard = planned()
    shard.put([row(one) for one in range(10)], OPENS)
    shard.keep_owned(2, 3, list(shard.mailboxes))
    assert sorted(shard.mailboxes) == [1, 4, 7]


def at(hour: float, day: date = DAY) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + hour * 3600


def night(first: int, second: int) -> DayPlan:
    """A quota day of a window from 22:00 to 06:00: the end of last night's, and the beginning of this one's."""
    midnight, hour = ALL_DAY.opens, timedelta(hours=1)
    return DayPlan(
        (
            Portion(DAY - timedelta(days=1), Window(midnight, midnight + 6 * hour), first),
            Portion(DAY, Window(midnight + 22 * hour, midnight + 24 * hour), second),
        )
    )


def send(shard: Shard, now: float, limit: int = 100) -> int:
    """Send whatever is due by ``now``; how many mails that were."""
    for sent in range(limit):
        mailbox = shard.begin(now)
        if mailbox is None:
            return sent
        shard.claimed(mailbox, claim(mailbox, 1))
        shard.ended(mailbox, MailState.SENT, DAY, None, now, now)
    return limit


def test_a_night_that_was_missed_is_not_made_up_in_the_next() -> None:
    """Six mails until six in the morning, two from ten in the evening; three of the six are missed."""
    shard = planned()
    shard.put([row(1, plan=night(6, 2), quota=8)], at(1))
    assert send(shard, at(5.999), limit=3) == 3
    assert send(shard, at(6)) == 0
    account = shard.account(at(6.1))
    assert (account.due, account.sent, account.skipped, account.scheduled, account.behind) == (8, 3, 3, 2, 3)
    assert send(shard, at(21.9)) == 0
    assert send(shard, at(23.999)) == 2
    account = shard.account(at(23.999))
    assert (account.sent, account.skipped, account.scheduled) == (5, 3, 0)
    assert account.reasons == {"window over": 1}


def test_a_worker_that_comes_in_the_evening_reads_what_the_morning_missed() -> None:
    shard = planned()
    shard.put([row(1, plan=night(6, 2), quota=8, spent=4, sent=4, missed=3)], at(23.5))
    assert send(shard, at(23.999)) == 1
    assert shard.account(at(23.999)).skipped == 3


def test_a_mail_of_the_morning_that_fails_late_is_missed_too() -> None:
    shard = planned()
    shard.put([row(1, plan=night(1, 2), quota=3)], at(5))
    mailbox = shard.begin(at(5.999))
    assert mailbox is not None
    shard.claimed(mailbox, claim(mailbox, 1))
    shard.ended(mailbox, MailState.FAILED, DAY, "rcpt: no", at(6.1), at(6.05))
    assert shard.account(at(6.05)).skipped == 1
    assert send(shard, at(23.999)) == 2


def test_a_hold_that_outlasts_the_morning_leaves_the_evening_whole() -> None:
    shard = planned()
    shard.put([row(1, plan=night(6, 2), quota=8, not_before=at(12), hold_reason="auth: no")], at(5))
    assert send(shard, at(21)) == 0
    assert send(shard, at(23.999)) == 2
    assert shard.account(at(23.999)).skipped == 6


def test_the_earliest_deadline_goes_first() -> None:
    shard = planned()
    soon = DayPlan((Portion(DAY, Window(ALL_DAY.opens, ALL_DAY.opens + timedelta(hours=2)), 1),))
    shard.put([row(1, quota=1), row(2, quota=1, plan=soon), row(3, quota=1)], at(1.95))
    shard.put([row(4, quota=3)], at(1.95))
    mailbox = shard.begin(at(1.99))
    assert mailbox is not None
    assert mailbox.id == 2


def test_a_schedule_of_runs_wakes_everybody_at_once() -> None:
    runs = Interval(every=timedelta(minutes=10), batch=5, concurrent=5)
    shard = planned(schedule=runs)
    shard.put([row(one) for one in range(1, 10)], at(3))
    assert shard.next_wake() == at(3)
    mailbox = shard.begin(at(3))
    assert mailbox is not None
    shard.put_back(mailbox, at(3))
    assert len({it.id for it in iter(lambda: shard.begin(at(3)), None)}) == 9


def test_after_an_outage_each_takes_its_place_in_the_turn() -> None:
    """A turn of an hour for a hundred mailboxes: whoever was due meanwhile does not come at once."""
    shard = planned()
    turns = DayPlan((Portion(DAY, ALL_DAY, 8, Pace(turn=timedelta(hours=1))),))
    shard.put([row(one, plan=turns, quota=8) for one in range(100)], at(0))
    shard.able_again(at(12))
    rounds = 1
    while shard.come_back(at(12), 30):  # a few at a time: thousands at once would keep the heartbeat waiting
        rounds += 1
    assert rounds == 4
    assert send(shard, at(12.01)) < 5
    assert 35 < send(shard, at(12.5)) < 65
    assert send(shard, at(13), limit=60) > 35


def test_who_waits_for_a_limit_of_hours_goes_on_waiting_after_a_reading() -> None:
    """No row knows of it; placed anew it would connect and log in every five minutes for nothing."""
    shard = planned()
    shard.put([row(one) for one in range(3)], at(20))
    for _ in range(3):
        mailbox = shard.begin(at(20))
        assert mailbox is not None
        refusal = NotClaimed(mailbox.id, Refusal.LIMIT, limit=Kind.PROVIDER, wait=3 * 3600.0)
        shard.refused(mailbox, refusal, at(20), 0.0)
    changed = row(1, read_at=2.0)
    changed.enrolment = changed.enrolment._replace(changed_at=changed.enrolment.changed_at + 1)
    shard.put([row(0, read_at=2.0), changed, row(2, read_at=2.0, spent=3, sent=3)], at(20.1))
    assert [it.id for it in iter(lambda: shard.begin(at(22)), None)] == [1]
    assert shard.account(at(22)).reasons == {"limit: provider": 1, "connecting": 1, "quota met": 1}
    assert [it.id for it in iter(lambda: shard.begin(at(23)), None)] == [0]


def test_under_other_settings_who_waits_for_a_limit_asks_again() -> None:
    shard = planned()
    shard.put([row(1)], at(20))
    mailbox = shard.begin(at(20))
    assert mailbox is not None
    shard.refused(mailbox, NotClaimed(1, Refusal.LIMIT, limit=Kind.PROVIDER, wait=3 * 3600.0), at(20), 0.0)
    shard.put([row(1, read_at=2.0)], at(20.1), anew=True)
    assert shard.begin(at(20.1)) is mailbox


def test_after_a_pause_each_comes_back_that_nothing_happened_to() -> None:
    gate, other = ("egress", "mail.example"), ("domain", "orchard.example")
    shard = planned()
    shard.put([row(one) for one in range(5)], at(0))
    begun = [mailbox for _ in range(5) if (mailbox := shard.begin(at(20))) is not None]
    for mailbox in begun:
        shard.pause(mailbox, other if mailbox.id == 3 else gate, "blocked", None)
    shard.resume({gate})
    shard.drop([0])
    shard.put([row(1, read_at=2.0, spent=3, sent=3)], at(20))  # read anew: its quota is met
    assert shard.begin(at(20)) is None
    assert shard.come_back(at(20), 2)
    assert not shard.come_back(at(20), 9)
    assert sorted(it.id for it in iter(lambda: shard.begin(at(20)), None)) == [2, 4]
    assert shard.account(at(20)).reasons == {"quota met": 1, "paused: blocked": 1, "connecting": 2}


def test_a_window_that_the_clock_skips_says_so() -> None:
    shard = planned()
    skipped = DayPlan((Portion(DAY, Window(ALL_DAY.opens, ALL_DAY.opens), 3),))
    shard.put([row(1, plan=skipped)], at(1))
    account = shard.account(at(1))
    assert (account.reasons, account.skipped) == ({"the clock skips the window": 1}, 3)


def test_reading_the_same_again_and_again_takes_no_more_memory() -> None:
    """A worker lives for weeks, and reads its shard every five minutes, each time with plans of its own."""
    shard = planned()
    noon = OPENS + 43_200

    def read(times: int, at: float) -> None:
        for _ in range(times):
            plan = DayPlan((Portion(DAY, ALL_DAY, 9),))
            shard.put(
                [
                    row(n, read_at=2.0, plan=plan, quota=9, spent=spent)
                    for n, spent in enumerate((0, 5, 9) * 100)
                ],
                at,
            )

    read(100, noon)  # what is remembered of plans is full then
    tracemalloc.start()
    try:
        read(1, noon + 300)
        before, _ = tracemalloc.get_traced_memory()
        read(50, noon + 600)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000
