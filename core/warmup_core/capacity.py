"""What one worker can do in a day: by its settings, or by what running workers measured. Pure.

An Interval starts a batch every interval, or every few where a run takes longer than one. A Continuous worker has slots, and a
mail holds one as long as a send takes; one host may take half of them, so a fleet at a single host has half a worker. Above
either stand the limit of a worker and what one process can carry.

Invariants: more slots, a larger batch, shorter sends, a longer window or a higher limit never make it less.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from warmup_core import limits
from warmup_core.bottlenecks import per_worker_per_hour
from warmup_core.feasibility import batches, run, words
from warmup_core.schedules import Continuous, Interval, choose
from warmup_core.settings import FleetSettings

ASSUMED_SEND: Final = timedelta(seconds=8)
"""From connecting to the reply to the final dot, where nobody has measured it."""
MOST_PER_SECOND: Final = 300
"""What one process carries whatever the servers allow: about half of a core of its own."""


@dataclass(frozen=True)
class Measured:
    """What running workers found, the mean of one: how long a mail holds its slot, and how many a second one could send."""

    send: timedelta
    per_second: float

    def __post_init__(self) -> None:
        if self.send <= timedelta() or self.per_second <= 0:
            raise ValueError(f"no measurement: {self}")

    @classmethod
    def of(cls, send: timedelta, slots: int, largest_host: float) -> "Measured":
        """What a worker with so many slots could do with sends that take this long, so much of them at one host."""
        return cls(send, usable_slots(slots, largest_host) / send.total_seconds())


@dataclass(frozen=True)
class Capacity:
    """``mails`` of one worker in a day's window, and what bounds them, for a person."""

    mails: int
    reason: str


def of_worker(
    schedule: Continuous | Interval,
    window: timedelta,
    *,
    send: timedelta = ASSUMED_SEND,
    measured: Measured | None = None,
    hourly_limit: int | None = None,
    largest_host: float = 0.0,
) -> Capacity:
    """A worker's capacity in a window of this length. A measurement comes before ``send``, which is only assumed.

    ``hourly_limit``: ``limits.perWorkerPerHour``. ``largest_host``: the share of all mailboxes that are at one mail host, 0 to 1.
    """
    if isinstance(schedule, Interval):
        own = _of_batches(schedule, window, measured.send if measured else send)
    elif measured is not None:
        mails = int(measured.per_second * window.total_seconds())
        own = Capacity(mails, f"{measured.per_second:.2f} a second, measured")
    else:
        own = _of_slots(schedule.concurrent, window, send, largest_host)
    carried = int(MOST_PER_SECOND * window.total_seconds())
    found = [own, Capacity(carried, f"one process carries {MOST_PER_SECOND} a second")]
    if hourly_limit is not None:
        bound = per_worker_per_hour(hourly_limit)
        found.append(Capacity(bound.possible(window), f"{bound.name} is {hourly_limit}"))
    return min(found, key=lambda capacity: capacity.mails)


def of_settings(settings: FleetSettings, measured: Measured | None, largest_host: float = 0.0) -> Capacity:
    """A worker's capacity under the settings in force, on a day without a change of the clock."""
    return of_worker(
        choose(settings),
        settings.window_length,
        measured=measured,
        hourly_limit=settings.per_worker_per_hour_limit,
        largest_host=largest_host,
    )


def _of_batches(interval: Interval, window: timedelta, send: timedelta) -> Capacity:
    bound = batches(interval, send, 1)
    reason = f"a batch of {interval.batch} every {words(bound.period)}"
    if bound.period > interval.every:
        takes = words(sum(run(interval, send), timedelta()))
        reason += f": a run takes {takes}, longer than the interval of {words(interval.every)}"
    return Capacity(bound.paced(window), reason)


def _of_slots(slots: int, window: timedelta, send: timedelta, largest_host: float) -> Capacity:
    usable, reason = usable_slots(slots, largest_host), f"{slots} sends at a time, {words(send)} each"
    if usable < slots:
        reason += f", at most {limits.host_share(slots)} of them at one mail host"
    return Capacity(int(usable * (window / send)), reason)


def usable_slots(slots: int, largest_host: float) -> float:
    """How many of a worker's slots are taken on the average when all are wanted and one host has this share of the mails."""
    share = limits.host_share(slots)
    return slots if slots * largest_host <= share else share / largest_host
