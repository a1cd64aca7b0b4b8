"""The scheme the fleet grows out of, every column of its table, counted mail by mail on a simulated clock."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tests.unit.schedules.simulation import Fleet, Mailbox, RollingLimit, Worker, most_in_any
from warmup_core.pacing import Window
from warmup_core.schedules import Interval

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

    def interval(self, worker: int) -> Interval:
        shortest, longest = self.stagger_ms
        return Interval(
            every=self.minutes * MINUTE,
            batch=self.batch,
            concurrent=self.concurrent,
            batch_delay=timedelta(milliseconds=self.delay_ms),
            stagger_min=timedelta(milliseconds=shortest),
            stagger_max=timedelta(milliseconds=longest),
            worker=worker,
            workers=self.workers,
            seed=f"worker {worker}",
        )

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
    steady = sum(when >= begins for when in at)
    print(steady, most_in_any(MINUTE, at), most_in_any(HOUR, at))
    assert steady == pytest.approx(column.workers * column.mails_an_hour, rel=0.01)
