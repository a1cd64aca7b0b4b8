"""The scheme the fleet grows out of, every column of its table, counted mail by mail on a simulated clock."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.unit.schedules.simulation import Fleet, Mailbox, RollingLimit, Worker, most_in_any
from warmup_core.pacing import Window
from warmup_core.schedules import Continuous, Interval, Offer, Phase, Reason, State, choose
from warmup_core.settings import FleetSettings

MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=seconds) for seconds in (1, 60, 3_600, 86_400))
SEND = 8 * SECOND


@dataclass(frozen=True)
class Column:
    """One column of the table; times in the units of its rows."""

    workers: int
    batch: int
    concurrent: int
    minutes: int
    hourly: int
    minutely: int
    user_hourly: int | None
    delay_ms: int
    stagger_ms: tuple[int, int]
    cooldown_ms: tuple[int, int]
    mails_a_day: int
    mailboxes: int
    mails_an_hour: int

    @property
    def settings(self) -> FleetSettings:
        """The fleet's settings that this column asks for."""
        shortest, longest = self.stagger_ms
        return FleetSettings(
            pacing_mode="Interval",
            interval_ms=self.minutes * 60_000,
            interval_batch=self.batch,
            max_concurrent_sends=self.concurrent,
            batch_delay_ms=self.delay_ms,
            stagger_min_ms=shortest,
            stagger_max_ms=longest,
        )

    def interval(self, worker: int) -> Interval:
        """The schedule of one worker, chosen as its engine does."""
        chosen = choose(self.settings, worker, self.workers, f"worker {worker}")
        assert isinstance(chosen, Interval)
        return chosen

    def worker(self, number: int, window: Window, *, mailboxes: int, quota: int) -> Worker:
        """A worker with as many mailboxes, and the limit of its own that the table gives."""
        shortest, longest = (timedelta(milliseconds=ms) for ms in self.cooldown_ms)
        ids = range(number, number + self.workers * mailboxes, self.workers)
        owned = [Mailbox(id_, window, quota, (shortest, longest)) for id_ in ids]
        limits = [RollingLimit(self.user_hourly, HOUR)] if self.user_hourly else []
        return Worker(number, self.interval(number), owned, limits)

    def limits(self, share: int = 1) -> list[RollingLimit]:
        return [RollingLimit(self.hourly // share, HOUR), RollingLimit(self.minutely, MINUTE)]


ONE = Column(1, 100, 20, 15, 10_000, 200, None, 5_000, (0, 0), (0, 0), 9_600, 320, 400)
HUNDRED = Column(
    100, 200, 50, 10, 150_000, 2_500, 1_500, 2_000, (500, 2_000), (120_000, 300_000), 28_800, 960, 1_200
)
FIFTY = Column(
    50, 500, 100, 8, 200_000, 3_500, None, 1_000, (100, 1_000), (60_000, 180_000), 90_000, 3_000, 3_750
)

columns = pytest.mark.parametrize("column", [ONE, HUNDRED, FIFTY], ids=["one", "hundred", "fifty"])


@columns
def test_a_day_of_one_worker(column: Column) -> None:
    """runs x batch, with exactly as many mailboxes as the table says a worker can serve: each of them meets its 30.

    Of the hourly limit a worker has its share; the minute's is tried with all workers at once, below.
    """
    number = (column.workers + 1) // 2
    first_tick = column.interval(number).tick(MIDNIGHT)
    assert first_tick - MIDNIGHT == column.minutes * MINUTE * (number - 1) / column.workers
    window = Window(first_tick, first_tick + DAY)
    worker = column.worker(number, window, mailboxes=column.mailboxes, quota=30)
    fleet = Fleet([worker], SEND, column.limits(share=column.workers))
    fleet.run(MIDNIGHT, first_tick + DAY)

    assert len(fleet.claims) == column.mails_a_day
    assert not fleet.refusals
    assert worker.most_in_flight == column.concurrent
    by_mailbox: dict[int, list[datetime]] = {}
    for claim in fleet.claims:
        by_mailbox.setdefault(claim.mailbox, []).append(claim.at)
    assert len(by_mailbox) == column.mailboxes
    assert {len(claims) for claims in by_mailbox.values()} == {30}
    cooldown = timedelta(milliseconds=column.cooldown_ms[0])
    assert all(
        after - before >= cooldown for claims in by_mailbox.values() for before, after in pairwise(claims)
    )


@columns
def test_an_hour_of_all_workers(column: Column) -> None:
    """The limits of the whole fleet hold in every rolling minute and hour, and none of them had to refuse a mail.

    Counted from the end of the first interval on, when every worker is at work.
    """
    begins = MIDNIGHT + column.minutes * MINUTE
    window = Window(MIDNIGHT, MIDNIGHT + DAY)
    workers = [
        column.worker(number, window, mailboxes=2 * column.batch, quota=30)
        for number in range(1, column.workers + 1)
    ]
    fleet = Fleet(workers, SEND, column.limits())
    fleet.run(MIDNIGHT, begins + HOUR)

    at = [claim.at for claim in fleet.claims]
    assert not fleet.refusals
    assert most_in_any(MINUTE, at) <= column.minutely
    assert most_in_any(HOUR, at) <= column.hourly
    assert sum(when >= begins for when in at) == column.workers * column.mails_an_hour


def reasons_of(interval: Interval, mailboxes: int, send: timedelta = SEND) -> list[tuple[timedelta, Reason]]:
    """What the schedule answered in its first two intervals, each change with the time since the first tick."""
    first = interval.tick(MIDNIGHT)
    owned = [Mailbox(n, Window(MIDNIGHT, MIDNIGHT + DAY), 30) for n in range(mailboxes)]
    worker = Worker(1, interval, owned)
    Fleet([worker], send).run(MIDNIGHT, first + 2 * interval.every)
    return [(at - first, reason) for at, reason in worker.reasons]


def test_a_run_of_one_worker_takes_65_seconds() -> None:
    """40 s of sends and 25 s of delay: five groups, each followed by its delay, the last one too."""
    seen = reasons_of(ONE.interval(1), 320)

    def when(wanted: Reason) -> list[timedelta]:
        return [at for at, reason in seen if reason is wanted and at < 15 * MINUTE]

    assert when(Reason.STARTED) == [group * 13 * SECOND for group in range(5)]
    assert when(Reason.BATCH_DELAY) == [group * 13 * SECOND + 8 * SECOND for group in range(5)]
    assert when(Reason.BEFORE_TICK) == [65 * SECOND]
    assert seen[-1] == (15 * MINUTE + 65 * SECOND, Reason.BEFORE_TICK)


def test_the_workers_take_turns() -> None:
    ticks = [HUNDRED.interval(number).tick(MIDNIGHT) for number in range(1, 101)]
    assert ticks == [MIDNIGHT + n * 6 * SECOND for n in range(100)]
    assert HUNDRED.interval(2).tick(MIDNIGHT + 7 * SECOND) == MIDNIGHT + 10 * MINUTE + 6 * SECOND


def test_starts_are_staggered_between_min_and_max() -> None:
    interval = HUNDRED.interval(1)
    answer = interval.decide(MIDNIGHT, Offer(60), 0, State())
    assert len(answer.starts) == 50
    moved = [start - MIDNIGHT for start in answer.starts]
    assert min(moved) >= 0.5 * SECOND
    assert max(moved) <= 2 * SECOND
    assert max(moved) - min(moved) > SECOND
    assert answer == interval.decide(MIDNIGHT, Offer(60), 0, State())
    assert answer.state.left == 150


def test_a_group_in_flight_holds_the_run_up() -> None:
    interval = ONE.interval(1)
    state = interval.decide(MIDNIGHT, Offer(100), 0, State()).state
    later = MIDNIGHT + MINUTE
    assert interval.appetite(later, 1, state) == 0
    waiting = interval.decide(later, Offer(0), 1, state)
    assert (waiting.look_again, waiting.reason) == (None, Reason.GROUP_IN_FLIGHT)
    resting = interval.decide(later, Offer(0), 0, state)
    assert (resting.look_again, resting.reason) == (later + 5 * SECOND, Reason.BATCH_DELAY)
    assert interval.appetite(later + 5 * SECOND, 0, resting.state) == 20


def test_a_run_ends_where_nothing_is_due() -> None:
    interval = ONE.interval(1)
    few = interval.decide(MIDNIGHT, Offer(7), 0, State())
    assert (len(few.starts), few.state.left) == (7, 0)
    none = interval.decide(MIDNIGHT, Offer(0), 0, State())
    assert (none.reason, none.look_again) == (Reason.NOTHING_DUE, MIDNIGHT + 15 * MINUTE)
    assert interval.decide(MIDNIGHT, Offer(7), 0, none.state).reason is Reason.BEFORE_TICK


def test_a_tick_that_comes_while_a_run_goes_is_dropped() -> None:
    """Sends of ten minutes: a run of two groups takes 20 minutes and 10 seconds, so every second tick starts one."""
    interval = Interval(every=15 * MINUTE, batch=40, concurrent=20, batch_delay=5 * SECOND)
    started = [at for at, reason in reasons_of(interval, 320, send=10 * MINUTE) if reason is Reason.STARTED]
    assert started == [0 * SECOND, 10 * MINUTE + 5 * SECOND]
    assert interval.tick(MIDNIGHT + 20 * MINUTE + 10 * SECOND) == MIDNIGHT + 30 * MINUTE


def test_a_worker_that_slept_through_ticks_makes_one_run() -> None:
    interval = ONE.interval(1)
    state = interval.decide(MIDNIGHT - SECOND, Offer(0), 0, State()).state
    assert state.until == MIDNIGHT
    woken = MIDNIGHT + 2 * HOUR + MINUTE
    assert len(interval.decide(woken, Offer(100), 0, state).starts) == 20
    nothing = interval.decide(woken, Offer(0), 0, state)
    assert nothing.look_again == MIDNIGHT + 2 * HOUR + 15 * MINUTE


def test_a_limit_holds_a_group_and_does_not_end_its_run() -> None:
    """Five tokens now, the others a second later: the group is full only then, and the batch is whole."""
    interval = ONE.interval(1)
    some = interval.decide(MIDNIGHT, Offer(5, held=True, held_until=MIDNIGHT + SECOND), 0, State())
    assert (len(some.starts), some.look_again, some.reason) == (5, MIDNIGHT + SECOND, Reason.STARTED)
    none = interval.decide(MIDNIGHT, Offer(0, held=True, held_until=MIDNIGHT + SECOND), 5, some.state)
    assert (none.starts, none.look_again, none.reason) == ((), MIDNIGHT + SECOND, Reason.HELD)
    assert interval.appetite(MIDNIGHT + SECOND, 5, none.state) == 15
    rest = interval.decide(MIDNIGHT + SECOND, Offer(15), 5, none.state)
    assert (len(rest.starts), rest.state.phase, rest.state.left) == (15, Phase.SENDING, 80)


def test_a_hosts_share_holds_a_group_until_a_mail_ends() -> None:
    interval = ONE.interval(1)
    half = interval.decide(MIDNIGHT, Offer(10, held=True), 0, State())
    assert (len(half.starts), half.look_again) == (10, None)
    one_more = interval.decide(MIDNIGHT + 8 * SECOND, Offer(1, held=True), 9, half.state)
    assert (len(one_more.starts), one_more.state.group) == (1, 9)


def test_the_last_of_a_run_are_waited_for() -> None:
    """Seven of a group of twenty have started and nothing else is due: the run ends when they do, after its delay."""
    interval = ONE.interval(1)
    some = interval.decide(MIDNIGHT, Offer(7, held=True, held_until=MIDNIGHT + SECOND), 0, State())
    last = interval.decide(MIDNIGHT + SECOND, Offer(0), 7, some.state)
    assert (last.reason, last.state.phase, last.state.left) == (Reason.NOTHING_DUE, Phase.SENDING, 0)
    over = interval.decide(MIDNIGHT + 8 * SECOND, Offer(0), 0, last.state)
    assert (over.reason, over.look_again) == (Reason.BATCH_DELAY, MIDNIGHT + 13 * SECOND)
    idle = interval.decide(MIDNIGHT + 13 * SECOND, Offer(0), 0, over.state)
    assert (idle.reason, idle.look_again) == (Reason.BEFORE_TICK, MIDNIGHT + 15 * MINUTE)


def test_mails_of_another_schedule_leave_their_slots_first() -> None:
    """A fleet that changes from Continuous with 15 mails in flight never has more than 20."""
    interval = ONE.interval(1)
    some = interval.decide(MIDNIGHT, Offer(100), 15, State())
    assert len(some.starts) == 5
    assert interval.appetite(MIDNIGHT, 20, some.state) == 0
    assert interval.appetite(MIDNIGHT, 12, some.state) == 8
    full = interval.decide(MIDNIGHT, Offer(100), 20, State())
    assert (full.starts, full.look_again, full.reason) == ((), None, Reason.SLOTS_FULL)
    assert len(interval.decide(MIDNIGHT + SECOND, Offer(100), 0, full.state).starts) == 20


def test_a_changed_schedule_waits_for_its_own_tick_and_ends_the_run_that_goes() -> None:
    slow, quick = ONE.interval(1), replace(ONE.interval(1), every=MINUTE, batch=30)
    idle = slow.decide(MIDNIGHT + SECOND, Offer(0), 0, State()).state
    assert idle.until == MIDNIGHT + 15 * MINUTE
    after = quick.decide(MIDNIGHT + SECOND, Offer(0), 0, quick.take_over(idle))
    assert after.look_again == MIDNIGHT + MINUTE
    running = slow.decide(MIDNIGHT, Offer(20), 0, State()).state
    assert (running.left, quick.take_over(running).left) == (80, 30)
    assert Continuous(20).take_over(running) == State()


def test_nothing_is_claimed_outside_the_window() -> None:
    window = Window(MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR)
    worker = ONE.worker(1, window, mailboxes=320, quota=30)
    fleet = Fleet([worker], SEND)
    fleet.run(MIDNIGHT, MIDNIGHT + DAY)
    assert len(fleet.claims) == 400
    assert all(window.opens <= claim.at < window.closes for claim in fleet.claims)


@pytest.mark.parametrize(
    "wrong",
    [
        {"every": timedelta()},
        {"batch": 0},
        {"concurrent": 0},
        {"stagger_min": MINUTE},
        {"batch_delay": -MINUTE},
    ],
)
def test_settings_without_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"interval needs|stagger goes"):
        replace(ONE.interval(1), **wrong)
