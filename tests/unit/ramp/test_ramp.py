"""The number of mails a mailbox owes on a day, whatever its ramp, its calendar and the limits above it."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core.ramp import (
    EVERY_DAY,
    PROVIDER_LIMITS,
    BoundBy,
    Linear,
    NoRamp,
    ProviderLimit,
    Ramp,
    Steps,
    Weekday,
    quota,
)

FRIDAY = date(2026, 11, 27)
WORKING_DAYS = frozenset({Weekday.MON, Weekday.TUE, Weekday.WED, Weekday.THU, Weekday.FRI})

ramps: st.SearchStrategy[Ramp] = st.one_of(
    st.just(NoRamp()),
    st.builds(Linear, st.integers(1, 3_000), st.integers(0, 500)),
    st.lists(st.integers(1, 3_000), min_size=1, max_size=9).map(lambda steps: Steps(tuple(sorted(steps)))),
)
providers = (
    st.none()
    | st.sampled_from(list(PROVIDER_LIMITS.values()))
    | st.builds(ProviderLimit, st.just("own"), st.integers(1, 3_000))
)
calendars = st.frozensets(st.sampled_from(list(Weekday)))
dates = st.dates(date(2020, 1, 1), date(2040, 1, 1))
overrides = st.none() | st.integers(0, 5_000)


@given(ramps, st.integers(0, 400), st.integers(0, 400), dates, st.integers(0, 2_000), providers)
def test_never_falls_with_progress(
    ramp: Ramp, progress: int, more: int, day: date, ceiling: int, provider: ProviderLimit | None
) -> None:
    before = quota(ramp, progress, day, ceiling=ceiling, provider=provider)
    after = quota(ramp, progress + more, day, ceiling=ceiling, provider=provider)
    assert after.mails >= before.mails


@given(ramps, st.integers(0, 400), dates, st.integers(0, 2_000), calendars, providers, overrides)
def test_never_passes_the_ceiling_or_the_provider(
    ramp: Ramp,
    progress: int,
    day: date,
    ceiling: int,
    days: frozenset[Weekday],
    provider: ProviderLimit | None,
    override: int | None,
) -> None:
    answer = quota(ramp, progress, day, ceiling=ceiling, days=days, provider=provider, override=override)
    assert 0 <= answer.mails <= ceiling
    assert provider is None or answer.mails <= provider.mails
    assert answer.reason


@given(ramps, st.integers(0, 400), dates, calendars, overrides)
def test_a_day_off_owes_nothing(
    ramp: Ramp, progress: int, day: date, days: frozenset[Weekday], override: int | None
) -> None:
    answer = quota(ramp, progress, day, ceiling=30, days=days, override=override)
    works = day.strftime("%a") in days
    assert works or answer.mails == 0
    assert (answer.by is BoundBy.DAY_OFF) == (not works)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9).map(sorted), st.integers(0, 400))
def test_steps_hold_their_last(steps: list[int], beyond: int) -> None:
    assert quota(Steps(tuple(steps)), len(steps) - 1 + beyond, FRIDAY, ceiling=30).mails == steps[-1]


@given(ramps, st.integers(0, 400), dates, st.integers(0, 40), st.integers(1, 100))
def test_a_pause_keeps_the_progress(
    ramp: Ramp, progress: int, day: date, override: int, days_away: int
) -> None:
    """Nothing but progress, never a date, moves a mailbox along; nor does a number of its own, once it is taken back."""
    later = day + timedelta(days=days_away)
    quota(ramp, progress, day, ceiling=30, override=override)
    assert quota(ramp, progress, later, ceiling=30) == quota(ramp, progress, day, ceiling=30)


@pytest.mark.parametrize(
    ("ramp", "first_days"),
    [
        (NoRamp(), [30, 30, 30, 30]),
        (Linear(), [2, 4, 6, 8]),
        (Linear(10, 15), [10, 25, 30, 30]),
        (Steps((3, 5, 8)), [3, 5, 8, 8]),
    ],
)
def test_the_first_days(ramp: Ramp, first_days: list[int]) -> None:
    assert [quota(ramp, day, FRIDAY, ceiling=30).mails for day in range(4)] == first_days


def test_a_week_with_working_days() -> None:
    progress, owed = 0, []
    for offset in range(7):
        today = quota(Linear(2, 2), progress, FRIDAY + timedelta(days=offset), ceiling=30, days=WORKING_DAYS)
        owed.append(today.mails)
        progress += today.mails > 0
    assert owed == [2, 0, 0, 4, 6, 8, 10]


def test_the_reason_names_what_binds() -> None:
    gmail = PROVIDER_LIMITS["gmail-consumer"]
    ramped = quota(Linear(2, 2), 3, FRIDAY, ceiling=30)
    capped = quota(Linear(2, 2), 20, FRIDAY, ceiling=30, provider=gmail)
    provider = quota(NoRamp(), 0, FRIDAY, ceiling=900, provider=gmail, days=EVERY_DAY)
    own = quota(Linear(2, 2), 20, FRIDAY, ceiling=30, override=0)
    off = quota(NoRamp(), 0, FRIDAY + timedelta(days=1), ceiling=30, days=WORKING_DAYS)
    assert [answer.by for answer in (ramped, capped, provider, own, off)] == [
        BoundBy.RAMP,
        BoundBy.CEILING,
        BoundBy.PROVIDER,
        BoundBy.OVERRIDE,
        BoundBy.DAY_OFF,
    ]
    assert ramped.reason == "Linear ramp from 2 by 2, day 4: 8"
    assert capped.reason == "emailsPerMailboxPerDay is 30; Linear ramp from 2 by 2, day 21: 42"
    assert provider.reason == "gmail-consumer admits 500 in 24 hours; no ramp, day 1: 900"
    assert own.reason == "the mailbox's own number is 0"
    assert off.reason == "Sat 2026-11-28 is not one of schedule.days"


def test_the_providers_published_limits() -> None:
    assert {name: limit.mails for name, limit in PROVIDER_LIMITS.items()} == {
        "gmail": 2_000,
        "gmail-consumer": 500,
        "microsoft365": 10_000,
    }


@pytest.mark.parametrize("steps", [(), (0, 3), (5, 3)])
def test_steps_that_fall_are_refused(steps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="Steps ramp"):
        Steps(steps)


@pytest.mark.parametrize(("start", "step"), [(0, 1), (2, -1)])
def test_a_line_that_falls_is_refused(start: int, step: int) -> None:
    with pytest.raises(ValueError, match="Linear ramp"):
        Linear(start, step)


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        quota(NoRamp(), -1, FRIDAY, ceiling=30)
    with pytest.raises(ValueError, match="limit of 0"):
        ProviderLimit("own", 0)
