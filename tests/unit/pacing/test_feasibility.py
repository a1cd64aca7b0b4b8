"""Whether a quota fits its window: what stands in the way is named, with the value that would do."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from warmup_core.feasibility import (
    Bound,
    Feasibility,
    batches,
    clock_change,
    clock_changes,
    feasible,
    feasible_in_a_row,
    pace,
    words,
)
from warmup_core.limits import TOKEN_SECONDS, Limit, limit
from warmup_core.pacing import Pace, Window
from warmup_core.ramp import Weekday
from warmup_core.schedules import Interval
from warmup_core.settings import FleetSettings

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=seconds) for seconds in (1, 60, 3_600, 86_400))
BERLIN = ZoneInfo("Europe/Berlin")


def kept(period: timedelta) -> Callable[[int], Limit]:
    """The limit that workers keep of a number of mails in this period."""
    return lambda count: limit(count, period.total_seconds(), use_seconds=TOKEN_SECONDS)


def per_minute(count: int, mailboxes: int = 100_000) -> Bound:
    return Bound("limits.perMinute", count, MINUTE, mailboxes, kept(MINUTE))


def per_hour(count: int, mailboxes: int = 100_000) -> Bound:
    return Bound("limits.perHour", count, HOUR, mailboxes, kept(HOUR))


def thirty_a_day(*bounds: Bound) -> Feasibility:
    """30 mails a mailbox in 24 hours, with the default cooldown and sends of 8 seconds."""
    return feasible(DAY, 30, cooldown=5 * MINUTE, send=8 * SECOND, bounds=bounds)


@pytest.mark.parametrize(
    ("batch", "minutes", "mailboxes", "possible"),
    [(100, 15, 320, 30), (200, 10, 960, 30), (500, 8, 3_000, 30), (200, 10, 1_000, 28), (500, 8, 2_000, 45)],
)
def test_the_mailboxes_of_a_worker_in_the_schemes_table(
    batch: int, minutes: int, mailboxes: int, possible: int
) -> None:
    interval = Interval(every=minutes * MINUTE, batch=batch, concurrent=50, batch_delay=2 * SECOND)
    answer = thirty_a_day(batches(interval, 8 * SECOND, mailboxes))
    assert answer.possible == possible
    assert answer.ok == (possible >= 30)


def test_a_hundred_workers_of_the_scheme_are_not_enough_for_100_000_mailboxes() -> None:
    interval = Interval(every=10 * MINUTE, batch=200, concurrent=50, batch_delay=2 * SECOND)
    answer = thirty_a_day(batches(interval, 8 * SECOND, 1_000))
    assert answer.reason == (
        "pacing.interval.batchSize of 200 lets 28 of the 30 mails of each of 1000 mailboxes through in 24h;"
        " it has to be at least 209"
    )


def test_a_run_that_takes_longer_than_its_interval_costs_ticks() -> None:
    """Ten groups of 20 with 100 s each take 16 minutes and 40 s: every second tick of ten minutes is lost."""
    interval = Interval(
        every=10 * MINUTE, batch=200, concurrent=20, batch_delay=2 * SECOND, stagger_max=2 * SECOND
    )
    assert batches(interval, 8 * SECOND, 1_000) == Bound("pacing.interval.batchSize", 200, 10 * MINUTE, 1_000)
    assert batches(interval, 96 * SECOND, 1_000) == Bound(
        "pacing.interval.batchSize", 200, 20 * MINUTE, 1_000
    )
    assert batches(interval, 56 * SECOND, 1_000).period == 10 * MINUTE


def test_limits_that_are_too_low_are_all_named_with_the_value_they_need() -> None:
    answer = thirty_a_day(per_hour(10_000), per_minute(200), per_hour(150_000))
    assert not answer.ok
    assert answer.possible == 2
    assert [(obstacle.name, obstacle.possible) for obstacle in answer.obstacles] == [
        ("limits.perHour", 2),
        ("limits.perMinute", 2),
    ]
    assert answer.obstacle == "limits.perHour"
    assert 125_000 < per_hour(1).needed(DAY, 30) < 125_500
    assert 2_084 < per_minute(1).needed(DAY, 30) < 2_250


def test_the_default_limits_are_enough_for_100_000_mailboxes() -> None:
    answer = thirty_a_day(
        per_hour(150_000), per_minute(2_500), Bound("workers.maxConcurrentSends", 50, 8 * SECOND, 2_000)
    )
    assert answer.ok
    assert answer.possible == 34
    assert answer.reason == "30 mails fit into 24h; limits.perMinute would admit 34"


@given(
    st.integers(1, 300),
    st.integers(1, 200),
    st.integers(60, 100_000),
    st.sampled_from([MINUTE, HOUR, DAY]),
    st.booleans(),
)
def test_the_value_it_needs_is_enough_and_one_less_is_not(
    quota: int, sharers: int, seconds: int, period: timedelta, gcra: bool
) -> None:
    length = seconds * SECOND
    make = kept(period) if gcra else None
    needed = Bound("limit", 1, period, sharers, make).needed(length, quota)

    def fits(count: int) -> bool:
        bound = Bound("limit", count, period, sharers, make)
        return feasible(length, quota, cooldown=timedelta(), send=timedelta(), bounds=[bound]).ok

    assert fits(needed)
    assume(needed > 1)
    assert not fits(needed - 1)


@given(st.integers(1, 300), st.integers(1, 1_000), st.integers(60, 100_000), st.integers(1, 400))
def test_what_is_possible_is_feasible_and_one_more_is_not(
    cooldown: int, count: int, seconds: int, quota: int
) -> None:
    bounds = [Bound("limits.perHour", count, HOUR, 10, kept(HOUR))]

    def ask(mails: int) -> Feasibility:
        return feasible(seconds * SECOND, mails, cooldown=cooldown * SECOND, send=SECOND, bounds=bounds)

    possible = ask(quota).possible
    assert ask(possible).ok
    beyond = ask(possible + 1)
    assert not beyond.ok
    assert beyond.possible == possible
    assert beyond.obstacle in {"limits.perHour", "pacing.cooldown", "the time of a send"}


def test_a_cooldown_that_is_too_long_says_how_long_it_may_be() -> None:
    answer = feasible(HOUR, 30, cooldown=5 * MINUTE, send=8 * SECOND)
    assert answer.possible == 12
    assert answer.reason == (
        "pacing.cooldown of 5m lets 12 of the 30 mails of a mailbox through in 1h; it may be at most 2m"
    )


def test_sends_that_are_too_slow_for_the_slots() -> None:
    slots = Bound("workers.maxConcurrentSends", 50, 8 * SECOND, 30_000)
    answer = thirty_a_day(slots)
    assert answer.obstacle == "workers.maxConcurrentSends"
    assert answer.possible == 18
    assert slots.needed(DAY, 30) == 84


def test_one_mail_always_has_time() -> None:
    assert feasible(MINUTE, 1, cooldown=HOUR, send=8 * SECOND).ok
    assert not feasible(MINUTE, 2, cooldown=HOUR, send=8 * SECOND).ok


def test_a_window_that_the_clock_skips_is_an_obstacle() -> None:
    answer = feasible(timedelta(), 24, cooldown=MINUTE, send=SECOND)
    assert (answer.ok, answer.possible, answer.obstacle) == (False, 0, "schedule")
    assert "skips" in answer.reason
    assert feasible(timedelta(), 0, cooldown=MINUTE, send=SECOND).ok


def test_a_limit_of_a_day_is_whole_in_a_short_window() -> None:
    gmail = Bound("limits.providers.gmail", 500, DAY)
    assert feasible(4 * HOUR, 500, cooldown=SECOND, send=SECOND, bounds=[gmail]).ok
    assert not feasible(4 * HOUR, 501, cooldown=SECOND, send=SECOND, bounds=[gmail]).ok
    domain = Bound("limits.perDomainPerDay", 20, DAY, 10)
    assert feasible(4 * HOUR, 2, cooldown=SECOND, send=SECOND, bounds=[domain]).possible == 2


def test_the_pace_is_that_of_the_tightest() -> None:
    bounds = [
        Bound("limits.perMinute", 10, MINUTE, 40),
        Bound("limits.perHour", 1_200, HOUR, 40),
        Bound("limits.providers.depot", 100, DAY),  # never in the way of 100 in ten hours
    ]
    assert pace(10 * HOUR, cooldown=2 * MINUTE, send=3 * MINUTE, bounds=bounds) == Pace(
        3 * MINUTE, 4 * MINUTE
    )


def test_a_bound_that_lets_nothing_through_is_refused() -> None:
    with pytest.raises(ValueError, match=r"limits\.perHour can never let a mail through"):
        per_hour(0)


def test_a_limit_of_24_hours_knows_no_midnight() -> None:
    """A first day's window 16:00 to 24:00 and the next day's 00:00 to 08:00: not 40 mails under 20 in 24 hours."""
    limit_ = Bound("limits.providers.depot", 20, DAY)
    midnight = datetime(2026, 11, 26, tzinfo=UTC)
    evening, morning = Window(midnight - 8 * HOUR, midnight), Window(midnight, midnight + 8 * HOUR)
    answer = feasible_in_a_row([(evening, 20), (morning, 20)], limit_)
    assert (answer.ok, answer.possible) == (False, 20)
    assert answer.reason == (
        "limits.providers.depot of 20 holds in every 24h, so the window from 2026-11-26 00:00 to 2026-11-26 08:00 UTC"
        " has room for 0 of its 20 mails"
    )


def test_the_same_window_every_day_fits_a_limit_of_24_hours() -> None:
    limit_ = Bound("limits.providers.depot", 20, DAY)
    opens = datetime(2026, 11, 26, 16, tzinfo=UTC)
    week = [(Window(opens + n * DAY, opens + n * DAY + 8 * HOUR), 20) for n in range(7)]
    assert feasible_in_a_row(week, limit_).ok
    assert feasible_in_a_row([*week[:3], (week[3][0], 0), *week[4:]], limit_).possible == 120
    earlier = [
        (Window(plan.opens - n * HOUR, plan.closes - n * HOUR), quota) for n, (plan, quota) in enumerate(week)
    ]
    assert not feasible_in_a_row(earlier, limit_).ok
    assert feasible_in_a_row([(plan, 10) for plan, _ in earlier], limit_).ok


def test_the_planner_names_what_the_clock_does_to_a_window() -> None:
    two, three = 2 * 3_600, 3 * 3_600
    assert clock_change(date(2027, 3, 28), BERLIN, two, three) == (
        "skipped: the clock never shows 02:00 to 03:00 on 2027-03-28 in Europe/Berlin"
    )
    assert clock_change(date(2026, 10, 25), BERLIN, two, three) == (
        "02:00 to 03:00 on 2026-10-25 in Europe/Berlin lasts 2h instead of 1h: the clock changes"
    )
    assert clock_change(date(2027, 3, 27), BERLIN, 22 * 3_600, 6 * 3_600) == (
        "22:00 to 06:00 on 2027-03-27 in Europe/Berlin lasts 7h instead of 8h: the clock changes"
    )
    assert clock_change(date(2026, 11, 25), BERLIN, two, three) is None


def test_a_planner_looks_a_year_ahead() -> None:
    hours = FleetSettings(window_from_seconds=7_200, window_to_seconds=10_800).hours("Europe/Berlin")
    assert clock_changes(date(2026, 11, 26), 366, hours) == (
        "skipped: the clock never shows 02:00 to 03:00 on 2027-03-28 in Europe/Berlin",
        "02:00 to 03:00 on 2027-10-31 in Europe/Berlin lasts 2h instead of 1h: the clock changes",
    )
    weekdays = FleetSettings(days=tuple(Weekday)[:5]).hours("Europe/Berlin")
    assert clock_changes(date(2026, 11, 26), 366, weekdays) == (), "the clock changes on Sundays"
    assert clock_changes(date(2026, 11, 26), 366, FleetSettings().hours("UTC")) == ()


@pytest.mark.parametrize(
    ("length", "expected"),
    [(DAY, "24h"), (150 * MINUTE, "2h30m"), (48 * SECOND, "48s"), (SECOND / 2, "500ms"), (timedelta(), "0s")],
)
def test_durations_read_as_a_person_writes_them(length: timedelta, expected: str) -> None:
    assert words(length) == expected
