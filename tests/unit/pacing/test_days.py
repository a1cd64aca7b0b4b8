"""Which quota day a mail counts for when a window and the fleet's day do not end together."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from warmup_core.days import Portion, Sending, portions, quota_day, soonest, windows_in
from warmup_core.pacing import Wake, WakeReason, Window, wake

UTC_ZONE, BERLIN, LOS_ANGELES = (ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/Los_Angeles"))
HOUR = 3_600
ONE_DAY = timedelta(days=1)
FRIDAY = date(2026, 11, 27)

zones = st.sampled_from(
    [
        ZoneInfo(name)
        for name in (
            "UTC",
            "Europe/Berlin",
            "America/Los_Angeles",
            "Asia/Kathmandu",
            "Pacific/Auckland",
            "America/Santiago",
        )
    ]
)
days = st.dates(date(2024, 1, 1), date(2030, 1, 1))
bounds = st.integers(0, 23).map(lambda hour: hour * HOUR)


def shared(
    day: date,
    fleet: ZoneInfo,
    own: ZoneInfo,
    hours: tuple[int, int],
    quota: int,
    off: frozenset[str] = frozenset(),
) -> list[tuple[date, int]]:
    """A quota day's mails by the day their window opens on, where nothing was missed before."""
    whole = quota_day(day, fleet)
    before = quota_day(day - ONE_DAY, fleet)

    def owed(opens_on: date) -> int:
        return 0 if opens_on.strftime("%a") in off else quota

    def sendings(of: Window, spent: dict[date, int]) -> list[Sending]:
        found = windows_in(of, own, hours[0] * HOUR, hours[1] * HOUR)
        return [Sending(opens_on, plan, owed(opens_on), spent.get(opens_on, 0)) for opens_on, plan in found]

    earlier = {portion.opens_on: portion.mails for portion in portions(before, sendings(before, {}), quota)}
    return [(portion.opens_on, portion.mails) for portion in portions(whole, sendings(whole, earlier), quota)]


def test_a_window_inside_the_day_is_the_days_quota() -> None:
    assert shared(FRIDAY, BERLIN, BERLIN, (8, 18), 30) == [(FRIDAY, 30)]
    assert shared(FRIDAY, BERLIN, BERLIN, (0, 24), 30) == [(FRIDAY, 30)]


def test_a_window_across_midnight_counts_for_both_days() -> None:
    """22:00 to 06:00 and 8 mails: two before midnight, six after it, so a quota day has six and two."""
    thursday = FRIDAY - ONE_DAY
    assert shared(FRIDAY, BERLIN, BERLIN, (22, 6), 8) == [(thursday, 6), (FRIDAY, 2)]


def test_a_working_week_in_los_angeles_under_a_fleet_in_utc() -> None:
    """14:00 to 22:00 there is 22:00 to 06:00 here: 8 a local working day, none on local Saturday, none lost at midnight."""
    weekend = frozenset({"Sat", "Sun"})
    week = [
        shared(FRIDAY + n * ONE_DAY, UTC_ZONE, LOS_ANGELES, (14, 22), 8, weekend) for n in (-1, 0, 1, 2, 3, 4)
    ]
    by_window: dict[date, int] = {}
    for quota in week:
        for opens_on, mails in quota:
            by_window[opens_on] = by_window.get(opens_on, 0) + mails
    saturday, sunday, monday = (FRIDAY + n * ONE_DAY for n in (1, 2, 3))
    assert week[1] == [(FRIDAY - ONE_DAY, 6), (FRIDAY, 2)]
    assert week[2] == [(FRIDAY, 6), (saturday, 0)]
    assert week[3] == [(saturday, 0), (sunday, 0)]
    assert week[4] == [(sunday, 0), (monday, 2)]
    assert (by_window[FRIDAY], by_window[saturday], by_window[sunday], by_window[monday]) == (8, 0, 0, 8)


def test_what_was_missed_before_midnight_may_still_be_sent_after_it() -> None:
    day = quota_day(FRIDAY, UTC_ZONE)
    (thursday, running), (friday, coming) = windows_in(day, LOS_ANGELES, 14 * HOUR, 22 * HOUR)
    missed = [Sending(thursday, running, 8, 0), Sending(friday, coming, 8, 0)]
    assert [portion.mails for portion in portions(day, missed, 30)] == [8, 2]
    assert [portion.mails for portion in portions(day, missed, 9)] == [7, 2]
    # A quota day never has more than the ceiling, and what is planned for it comes first.
    assert [portion.mails for portion in portions(day, missed, 8)] == [6, 2]
    late = [Sending(thursday, running, 8, 1), Sending(friday, coming, 8, 0)]
    assert [portion.mails for portion in portions(day, late, 30)] == [7, 2]


def changes_clocks(zone: ZoneInfo, first: date) -> bool:
    noon = datetime(first.year, first.month, first.day, 12)
    return len({(noon + n * ONE_DAY).replace(tzinfo=zone).utcoffset() for n in range(-2, 13)}) > 1


@given(days, zones, zones, bounds, bounds, st.integers(0, 40))
def test_nothing_is_lost_or_doubled(
    first: date, fleet: ZoneInfo, own: ZoneInfo, from_seconds: int, to_seconds: int, quota: int
) -> None:
    """Each window that lies inside ten days gets its quota, whatever the zones, and no day more than one."""
    assume(not changes_clocks(fleet, first) and not changes_clocks(own, first))
    spent: dict[date, int] = {}
    for n in range(10):
        day = quota_day(first + n * ONE_DAY, fleet)
        found = windows_in(day, own, from_seconds, to_seconds)
        sendings = [Sending(opens_on, plan, quota, spent.get(opens_on, 0)) for opens_on, plan in found]
        answer = portions(day, sendings, quota)
        assert sum(portion.mails for portion in answer) <= quota
        for portion in answer:
            assert day.opens <= portion.window.opens < portion.window.closes <= day.closes
            spent[portion.opens_on] = spent.get(portion.opens_on, 0) + portion.mails
    inside = sorted(spent)[1:-1]
    assert len(inside) >= 8
    assert [spent[opens_on] for opens_on in inside] == [quota] * len(inside)


@given(
    days,
    zones,
    zones,
    bounds,
    bounds,
    st.integers(0, 40),
    st.lists(st.floats(0, 1), min_size=40, max_size=40),
)
def test_no_window_and_no_day_ever_gets_more_than_one_quota(
    first: date,
    fleet: ZoneInfo,
    own: ZoneInfo,
    from_seconds: int,
    to_seconds: int,
    quota: int,
    shares: list[float],
) -> None:
    """Whatever is missed, and through every change of the clocks."""
    spent: dict[date, int] = {}
    done = iter(shares)
    for n in range(10):
        day = quota_day(first + n * ONE_DAY, fleet)
        found = windows_in(day, own, from_seconds, to_seconds)
        answer = portions(
            day, [Sending(opens_on, plan, quota, spent.get(opens_on, 0)) for opens_on, plan in found], quota
        )
        assert sum(portion.mails for portion in answer) <= quota
        for portion in answer:
            spent[portion.opens_on] = spent.get(portion.opens_on, 0) + int(portion.mails * next(done))
    assert all(mails <= quota for mails in spent.values())


@given(days, zones, zones, bounds, bounds)
def test_every_window_lies_in_the_quota_days_it_meets(
    first: date, fleet: ZoneInfo, own: ZoneInfo, from_seconds: int, to_seconds: int
) -> None:
    """Cut at the fleet's midnights, the pieces of a window have its length."""
    pieces: dict[date, timedelta] = {}
    whole: dict[date, timedelta] = {}
    for n in range(6):
        day = quota_day(first + n * ONE_DAY, fleet)
        for opens_on, plan in windows_in(day, own, from_seconds, to_seconds):
            whole[opens_on] = plan.length
            inside = min(plan.closes, day.closes) - max(plan.opens, day.opens)
            pieces[opens_on] = pieces.get(opens_on, timedelta()) + inside
    inner = sorted(whole)[1:-1]
    assert inner
    assert [pieces[opens_on] for opens_on in inner] == [whole[opens_on] for opens_on in inner]


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 10, 25), 25), (date(2027, 3, 28), 23)])
def test_a_day_on_which_the_clock_changes_has_one_quota(day: date, hours: int) -> None:
    assert quota_day(day, BERLIN).length == timedelta(hours=hours)
    assert shared(day, BERLIN, BERLIN, (0, 24), 24) == [(day, 24)]


def test_a_window_that_the_clock_skips_is_accounted_for() -> None:
    """The mails stay in the day's quota, and the answer to when they are due says why they are not."""
    skipped = date(2027, 3, 28)
    day = quota_day(skipped, BERLIN)
    found = windows_in(day, BERLIN, 2 * HOUR, 3 * HOUR)
    (portion,) = portions(day, [Sending(opens_on, plan, 24) for opens_on, plan in found], 24)
    assert (portion.opens_on, portion.mails, portion.window.length) == (skipped, 24, timedelta())
    answer = wake(day.opens, portion.window, portion.mails, 0, day.opens, "seed")
    assert answer == Wake(None, WakeReason.NO_WINDOW)


def test_a_skipped_window_at_midnight_belongs_to_the_day_it_would_open_on() -> None:
    """Chile's clock goes from 24:00 to 01:00."""
    santiago, skipped = ZoneInfo("America/Santiago"), date(2026, 9, 6)

    def found(day: date) -> list[date]:
        return [opens_on for opens_on, _ in windows_in(quota_day(day, santiago), santiago, 0, HOUR)]

    assert found(skipped - ONE_DAY) == [skipped - ONE_DAY]
    assert found(skipped) == [skipped]
    assert found(skipped + ONE_DAY) == [skipped + ONE_DAY]


def test_the_soonest_of_a_days_portions() -> None:
    day = quota_day(FRIDAY, UTC_ZONE)
    found = windows_in(day, LOS_ANGELES, 14 * HOUR, 22 * HOUR)
    answer: tuple[Portion, ...] = portions(day, [Sending(*window, 8, 0) for window in found], 30)

    def asked(now: datetime, spent: list[int]) -> Wake:
        return soonest(
            [
                wake(now, portion.window, portion.mails, done, day.opens, "seed")
                for portion, done in zip(answer, spent, strict=True)
            ]
        )

    evening = datetime(2026, 11, 27, 22, tzinfo=UTC)
    first = asked(day.opens, [0, 0]).at
    assert first is not None
    assert first < answer[0].window.closes
    met = asked(day.opens, [8, 0]).at
    assert met is not None
    assert met >= evening
    assert asked(day.opens + timedelta(hours=7), [3, 0]).at == met
    assert asked(evening, [3, 2]) == Wake(None, WakeReason.WINDOW_OVER), "five of the first were missed"
    assert asked(evening, [8, 2]) == Wake(None, WakeReason.QUOTA_MET)
    assert soonest([]) == Wake(None, WakeReason.QUOTA_MET)
