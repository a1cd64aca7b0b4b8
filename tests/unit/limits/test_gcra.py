"""The rate a limit admits: never more than its count in any closed window, whatever the schedule, and little less for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core.limits import (
    DAY_SECONDS,
    HOUR_SECONDS,
    MINUTE_SECONDS,
    SECOND,
    TOKEN_SECONDS,
    Limit,
    fell,
    grant,
    host_share,
    limit,
    reserve_size,
    share,
)


@st.composite
def small_limits(draw: st.DrawFn) -> Limit:
    count = draw(st.integers(1, 12))
    return Limit(count, draw(st.integers(1, 60)), draw(st.integers(1, count)), draw(st.integers(0, 8)))


@st.composite
def asks(draw: st.DrawFn) -> list[tuple[int, int, list[int]]]:
    """(pause before it, tokens wanted, how late each token is spent as a share of U in 255ths), in order of time."""
    late = st.lists(st.integers(0, 255), min_size=6, max_size=6)
    pause = st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 90))
    return draw(st.lists(st.tuples(pause, st.integers(1, 6), late), max_size=60))


def most_in_a_closed_window(instants: list[int], window: int) -> int:
    ordered = sorted(instants)
    return max(
        (sum(1 for it in ordered[at:] if it <= first + window) for at, first in enumerate(ordered)), default=0
    )


@given(small_limits(), asks())
def test_no_schedule_of_grants_and_late_claims_passes_the_count_in_any_closed_window(
    it: Limit, schedule: list[tuple[int, int, list[int]]]
) -> None:
    now, tat, claims = 0, -1_000_000, list[int]()
    for pause, wanted, late in schedule:
        now += pause
        given = grant(tat, now, wanted, it)
        tat = given.tat_us
        claims += [now + it.use_us * late[n] // 255 for n in range(given.tokens)]
    assert most_in_a_closed_window(claims, it.window_us) <= it.count


@given(small_limits())
def test_the_worst_schedule_is_exactly_as_bad_as_the_bound_says(it: Limit) -> None:
    """The whole burst spent at the last moment, every later token at once. One microsecond less a step would be too little."""
    tat, claims = -1_000_000, list[int]()
    for now in range(it.window_us + it.use_us + 1):
        given = grant(tat, now, it.burst, it)
        tat = given.tat_us
        claims += [it.use_us if now == 0 else max(now, it.use_us)] * given.tokens
    assert (
        most_in_a_closed_window(claims, it.window_us) == it.burst + (it.window_us + it.use_us) // it.step_us
    )
    if it.step_us > 1:
        assert it.burst + (it.window_us + it.use_us) // (it.step_us - 1) > it.count


@given(small_limits(), st.integers(-50, 50), st.integers(0, 50), st.integers(1, 6))
def test_the_next_token_comes_when_it_is_said_to_and_not_before(
    it: Limit, tat: int, now: int, wanted: int
) -> None:
    given = grant(tat, now, wanted, it)
    assert grant(given.tat_us, given.due_us, 1, it).tokens == 1
    if given.due_us > now:
        assert grant(given.tat_us, given.due_us - 1, 1, it).tokens == 0


@given(small_limits(), st.integers(-50, 50), st.integers(0, 50), st.integers(1, 6), st.integers(1, 6))
def test_asking_in_two_parts_gives_what_asking_once_gives(
    it: Limit, tat: int, now: int, one: int, two: int
) -> None:
    first = grant(tat, now, one, it)
    second = grant(first.tat_us, now, two, it)
    assert first.tokens + second.tokens == grant(tat, now, one + two, it).tokens


@given(st.integers(1, 10_000_000), st.sampled_from([MINUTE_SECONDS, HOUR_SECONDS, DAY_SECONDS]))
def test_every_limit_a_person_may_write_admits_something(count: int, window: float) -> None:
    it = limit(count, window, use_seconds=TOKEN_SECONDS)
    assert 1 <= it.burst <= count
    assert 0 < it.sustained <= count
    assert grant(0, 0, 1, it).tokens == 1


@pytest.mark.parametrize(
    ("count", "window", "burst", "sustained"),
    [
        (2_500, MINUTE_SECONDS, 50, 2_371),
        (150_000, HOUR_SECONDS, 50, 149_862),
        (200, MINUTE_SECONDS, 5, 189),
        (10_000, HOUR_SECONDS, 50, 9_945),
        (3_500, MINUTE_SECONDS, 59, 3_330),
        (200_000, HOUR_SECONDS, 56, 199_833),
        (6, MINUTE_SECONDS, 1, 5),
        (1, MINUTE_SECONDS, 1, 0),
    ],
)
def test_what_the_limits_of_the_known_fleets_keep_up(
    count: int, window: float, burst: int, sustained: int
) -> None:
    it = limit(count, window, use_seconds=TOKEN_SECONDS)
    assert (it.burst, int(it.sustained)) == (burst, sustained)


def test_six_a_minute_give_about_thirty_in_five_minutes() -> None:
    """field-009."""
    it = limit(6, MINUTE_SECONDS, use_seconds=TOKEN_SECONDS)
    tat, granted = -1, 0
    for now in range(0, 300 * SECOND, SECOND // 4):
        given = grant(tat, now, 15, it)
        tat, granted = given.tat_us, granted + given.tokens
    assert granted == 30 - 1


@pytest.mark.parametrize("hours", [24, 12, 8, 4])
def test_a_day_limit_is_used_well_when_mails_are_sent_in_a_part_of_the_day(hours: int) -> None:
    """Day after day, all tokens taken as they come during the sending hours."""
    it = limit(480, DAY_SECONDS, open_share=hours / 24)
    tat, by_day = -1, list[int]()
    for day in range(4):
        by_day.append(0)
        for minute in range(hours * 60):
            given = grant(tat, (day * 1440 + minute) * 60 * SECOND, it.burst, it)
            tat = given.tat_us
            by_day[-1] += given.tokens
    best = 480 / (2 - hours / 24)
    assert min(by_day) >= 0.97 * best
    assert max(by_day) <= 480


def test_a_worker_reserves_for_those_who_wait_and_for_a_second_more() -> None:
    bucket = limit(2_500, MINUTE_SECONDS, use_seconds=TOKEN_SECONDS)
    assert reserve_size([bucket], waiting=3, lately=0) == 3
    assert reserve_size([bucket], waiting=3, lately=20) == 13
    assert reserve_size([bucket], waiting=400, lately=0) == 50
    assert reserve_size([bucket, limit(200, MINUTE_SECONDS)], waiting=400, lately=0) == 5


def test_a_workers_share_of_short_tokens_is_what_it_can_start_before_they_go_stale() -> None:
    bucket = limit(2_500, MINUTE_SECONDS, use_seconds=TOKEN_SECONDS)
    assert share([bucket], workers=1) == 80
    assert share([bucket], workers=50) == 2
    assert share([bucket], workers=1000) == 1
    assert share([], workers=3) == 1


def test_one_host_may_take_half_of_the_slots_but_always_one() -> None:
    assert [host_share(slots) for slots in (1, 2, 3, 50)] == [1, 1, 1, 25]


def test_a_limit_falls_when_it_becomes_stricter() -> None:
    assert fell(None, 5)
    assert fell(6, 5)
    assert not fell(5, 5)
    assert not fell(5, 6)
    assert not fell(5, None)
    assert not fell(None, None)


@pytest.mark.parametrize(("count", "burst"), [(0, 1), (3, 0), (3, 4)])
def test_a_limit_that_admits_nothing_is_refused(count: int, burst: int) -> None:
    with pytest.raises(ValueError, match="no limit"):
        Limit(count, 60, burst)
