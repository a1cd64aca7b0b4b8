"""The instants of a wall-clock window, on plain days and on those on which the clock changes."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core.pacing import Window, window

BERLIN, LOS_ANGELES, SANTIAGO, APIA = (
    ZoneInfo(name) for name in ("Europe/Berlin", "America/Los_Angeles", "America/Santiago", "Pacific/Apia")
)
BACK, FORWARD = date(2026, 10, 25), date(2027, 3, 28)
HOUR = 3_600
DAY = 24 * HOUR

zones = st.sampled_from(
    [
        ZoneInfo(name)
        for name in (
            "UTC",
            "Europe/Berlin",
            "America/Los_Angeles",
            "America/Santiago",  # the clock changes at midnight
            "Australia/Lord_Howe",  # by half an hour
            "Asia/Kathmandu",  # 5:45 ahead
            "Africa/Casablanca",
            "Pacific/Apia",  # left out 2011-12-30
        )
    ]
)
days = st.dates(date(2011, 1, 1), date(2035, 1, 1))
seconds = st.integers(0, DAY)


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def test_a_plain_day() -> None:
    plan = window(date(2026, 11, 25), BERLIN, 8 * HOUR + 1800, 18 * HOUR)
    assert plan == Window(utc(2026, 11, 25, 7, 30), utc(2026, 11, 25, 17))
    assert plan.length == timedelta(hours=9.5)


@pytest.mark.parametrize(("day", "hours"), [(BACK, 25), (FORWARD, 23), (date(2026, 11, 25), 24)])
def test_the_whole_day_has_its_real_length(day: date, hours: int) -> None:
    assert window(day, BERLIN, 0, DAY).length == timedelta(hours=hours)


def test_the_doubled_hour_is_one_window_of_two_hours() -> None:
    assert window(BACK, BERLIN, 2 * HOUR, 3 * HOUR) == Window(utc(2026, 10, 25, 0), utc(2026, 10, 25, 2))


def test_a_bound_in_the_doubled_hour_is_its_first() -> None:
    assert window(BACK, BERLIN, HOUR, 2 * HOUR + 1800) == Window(
        utc(2026, 10, 24, 23), utc(2026, 10, 25, 0, 30)
    )
    assert window(BACK, BERLIN, 2 * HOUR + 1800, 4 * HOUR) == Window(
        utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 3)
    )


def test_the_missing_hour_is_an_empty_window() -> None:
    skip = utc(2027, 3, 28, 1)
    assert window(FORWARD, BERLIN, 2 * HOUR, 3 * HOUR) == Window(skip, skip)
    assert window(FORWARD, BERLIN, 2 * HOUR + 600, 2 * HOUR + 1200) == Window(skip, skip)


def test_a_bound_in_the_missing_hour_is_the_skip() -> None:
    skip = utc(2027, 3, 28, 1)
    assert window(FORWARD, BERLIN, 2 * HOUR + 1800, 4 * HOUR) == Window(skip, utc(2027, 3, 28, 2))
    assert window(FORWARD, BERLIN, HOUR, 2 * HOUR + 1800) == Window(utc(2027, 3, 28, 0), skip)


def test_a_day_whose_midnight_is_missing_begins_with_the_skip() -> None:
    assert window(date(2026, 9, 6), SANTIAGO, 0, DAY) == Window(utc(2026, 9, 6, 4), utc(2026, 9, 7, 3))


def test_a_day_that_a_country_left_out_is_empty() -> None:
    assert window(date(2011, 12, 30), APIA, 0, DAY).length == timedelta()
    assert window(date(2011, 12, 30), APIA, 9 * HOUR, 17 * HOUR).length == timedelta()


def test_a_window_across_midnight_closes_on_the_next_day() -> None:
    assert window(date(2026, 11, 25), BERLIN, 22 * HOUR, 6 * HOUR) == Window(
        utc(2026, 11, 25, 21), utc(2026, 11, 26, 5)
    )
    night_of_the_change = window(BACK - timedelta(days=1), BERLIN, 22 * HOUR, 6 * HOUR)
    assert night_of_the_change.length == timedelta(hours=9)


def test_equal_bounds_are_the_whole_turn_of_the_clock() -> None:
    assert window(date(2026, 11, 25), LOS_ANGELES, 6 * HOUR, 6 * HOUR).length == timedelta(hours=24)


@given(days, zones)
def test_days_follow_each_other_without_gap_or_overlap(day: date, zone: ZoneInfo) -> None:
    assert window(day, zone, 0, DAY).closes == window(day + timedelta(days=1), zone, 0, DAY).opens


@given(days, zones, st.lists(seconds, min_size=3, max_size=3, unique=True).map(sorted))
def test_parts_of_a_day_follow_each_other(day: date, zone: ZoneInfo, bounds: list[int]) -> None:
    begins, middle, ends = bounds
    first, second = window(day, zone, begins, middle), window(day, zone, middle, ends)
    assert first.opens <= first.closes == second.opens <= second.closes
    assert window(day, zone, begins, ends) == Window(first.opens, second.closes)


@given(days, zones, seconds, seconds, st.integers(0, 999))
def test_within_a_window_the_clock_shows_its_days(
    day: date, zone: ZoneInfo, from_seconds: int, to_seconds: int, place: int
) -> None:
    plan = window(day, zone, from_seconds, to_seconds)
    if plan.length:
        shown = (plan.opens + plan.length * (place / 1_000)).astimezone(zone).replace(tzinfo=None)
        midnight = datetime(day.year, day.month, day.day)
        across = DAY if to_seconds <= from_seconds else 0
        # An hour of grace below: the second showing of a doubled hour.
        assert shown >= midnight + timedelta(seconds=from_seconds) - timedelta(hours=1)
        assert shown < midnight + timedelta(seconds=to_seconds + across)
