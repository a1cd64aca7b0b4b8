"""What one worker can do, and every figure of the scheme that this fleet grew out of."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core import capacity
from warmup_core.capacity import MOST_PER_SECOND, Measured, of_worker
from warmup_core.feasibility import run
from warmup_core.schedules import Continuous, Interval
from warmup_core.settings import FleetSettings

DAY, SECOND, MINUTE = timedelta(days=1), timedelta(seconds=1), timedelta(minutes=1)
ONE = Interval(every=15 * MINUTE, batch=100, concurrent=20, batch_delay=5 * SECOND)
HUNDRED = Interval(
    every=10 * MINUTE,
    batch=200,
    concurrent=50,
    batch_delay=2 * SECOND,
    stagger_min=SECOND / 2,
    stagger_max=2 * SECOND,
)
FIFTY = Interval(
    every=8 * MINUTE,
    batch=500,
    concurrent=100,
    batch_delay=SECOND,
    stagger_min=SECOND / 10,
    stagger_max=SECOND,
)


@pytest.mark.parametrize(
    ("interval", "mails", "reason"),
    [
        (ONE, 9_600, "a batch of 100 every 15m"),
        (HUNDRED, 28_800, "a batch of 200 every 10m"),
        (FIFTY, 90_000, "a batch of 500 every 8m"),
    ],
)
def test_a_worker_of_the_scheme(interval: Interval, mails: int, reason: str) -> None:
    assert of_worker(interval, DAY) == capacity.Capacity(mails, reason)


def test_a_run_of_the_scheme_takes_40_seconds_of_sends_and_25_of_delays() -> None:
    assert run(ONE, 8 * SECOND) == (40 * SECOND, 25 * SECOND)


def test_a_run_longer_than_its_interval_costs_ticks_and_says_so() -> None:
    """Five groups of 20 with 200 s each are 1,000 s of sends, and 25 s of delays."""
    assert of_worker(ONE, DAY, send=200 * SECOND) == capacity.Capacity(
        4_800, "a batch of 100 every 30m: a run takes 17m5s, longer than the interval of 15m"
    )
    slow = Measured(200 * SECOND, 0.1)
    assert of_worker(ONE, DAY, measured=slow).mails == 4_800


def test_slots_and_the_time_of_a_send_make_a_continuous_worker() -> None:
    assert of_worker(Continuous(50), DAY) == capacity.Capacity(540_000, "50 sends at a time, 8s each")
    assert of_worker(Continuous(100), DAY / 2, send=4 * SECOND).mails == 1_080_000
    assert of_worker(Continuous(500), DAY, send=SECOND).mails == MOST_PER_SECOND * 86_400


def test_half_of_the_slots_serve_a_fleet_at_a_single_host() -> None:
    answer = of_worker(Continuous(50), DAY, largest_host=1.0)
    assert answer.mails == 270_000
    assert answer.reason == "50 sends at a time, 8s each, at most 25 of them at one mail host"
    assert of_worker(Continuous(50), DAY, largest_host=0.5).mails == 540_000
    assert Measured.of(8 * SECOND, 50, 1.0).per_second == 25 / 8


def test_what_was_measured_comes_before_what_the_settings_allow() -> None:
    measured = Measured.of(2 * SECOND, 50, 0.4)
    assert of_worker(Continuous(50), DAY, measured=measured) == capacity.Capacity(
        2_160_000, "25.00 a second, measured"
    )
    with pytest.raises(ValueError, match="no measurement"):
        Measured(timedelta(), 1.0)


def test_the_limit_of_a_worker_caps_it() -> None:
    """1,500 an hour leave the scheme's 100 workers alone and cap its 50."""
    assert of_worker(HUNDRED, DAY, hourly_limit=1_500).mails == 28_800
    capped = of_worker(FIFTY, DAY, hourly_limit=1_500)
    assert capped.reason == "limits.perWorkerPerHour is 1500"
    assert 0.97 * 36_000 < capped.mails < 36_000


def test_the_settings_of_the_scheme_make_its_workers() -> None:
    settings = FleetSettings(
        pacing_mode="Interval", interval_ms=480_000, interval_batch=500, max_concurrent_sends=100
    )
    assert capacity.of_settings(settings, None).mails == 90_000
    half = settings.model_copy(update={"window_from_seconds": 43_200})
    assert capacity.of_settings(half, None).mails == 45_000
    night = FleetSettings(window_from_seconds=79_200, window_to_seconds=21_600)
    assert night.window_length == timedelta(hours=8)
    assert capacity.of_settings(night, None).mails == 180_000
    limited = FleetSettings(per_worker_per_hour_limit=1_500)
    assert capacity.of_settings(limited, None).reason == "limits.perWorkerPerHour is 1500"


@given(
    slots=st.integers(1, 499),
    seconds=st.integers(1, 599),
    window=st.integers(1, 86_399),
    host=st.floats(0.0, 1.0),
    limit=st.integers(1, 100_000),
)
def test_more_of_anything_never_makes_a_worker_less(
    slots: int, seconds: int, window: int, host: float, limit: int
) -> None:
    def mails(slots: int, seconds: int, window: int, host: float, limit: int) -> int:
        return of_worker(
            Continuous(slots),
            window * SECOND,
            send=seconds * SECOND,
            largest_host=host,
            hourly_limit=limit,
        ).mails

    least = mails(slots, seconds + 1, window, host, limit)
    assert least <= mails(slots, seconds, window, host, limit)
    assert least <= mails(slots + 1, seconds + 1, window, host, limit)
    assert least <= mails(slots, seconds + 1, window + 1, host, limit)
    assert least <= mails(slots, seconds + 1, window, host / 2, limit)
    assert least <= mails(slots, seconds + 1, window, host, limit + 1)
