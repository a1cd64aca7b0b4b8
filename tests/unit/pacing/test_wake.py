"""When a mailbox wakes: its place in its window, the cooldown, what is left when it is behind, who goes first."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core.pacing import Pace, Wake, WakeReason, Window, deadline, due, ready, wake

OPENS = datetime(2026, 11, 25, 8, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DAY = Window(OPENS, OPENS + 10 * HOUR)
LONG_AGO = OPENS - timedelta(days=3)

lengths = st.timedeltas(timedelta(minutes=1), timedelta(hours=25))
quotas = st.integers(1, 300)
seeds = st.text("abcdef0123456789", max_size=8)
shares = st.floats(0, 1.2)
paces = st.builds(Pace, st.timedeltas(timedelta(), 2 * HOUR), st.timedeltas(timedelta(), 2 * HOUR))


@given(lengths, quotas, seeds, paces)
def test_mails_are_due_inside_the_window_one_after_the_other(
    length: timedelta, quota: int, seed: str, pace: Pace
) -> None:
    plan = Window(OPENS, OPENS + length)
    planned = [due(plan, quota, k, seed, pace) for k in range(quota)]
    assert plan.opens <= planned[0]
    assert planned[-1] < plan.closes
    assert planned == sorted(planned)


@given(lengths, quotas, seeds)
def test_unhindered_each_mail_has_the_first_nine_tenths_of_its_slot(
    length: timedelta, quota: int, seed: str
) -> None:
    plan = Window(OPENS, OPENS + length)
    slot = length / quota
    rounding = timedelta(microseconds=quota)
    for k in range(quota):
        assert slot * k - rounding <= due(plan, quota, k, seed) - OPENS <= slot * (k + 0.9) + rounding


@given(lengths, quotas, seeds, shares, shares)
def test_the_last_turn_fits_into_the_window(
    length: timedelta, quota: int, seed: str, gap_share: float, turn_share: float
) -> None:
    """Whatever the draw, one turn is left behind the last mail, as long as quota times the pace fits at all."""
    slot = length // quota
    pace = Pace(slot * min(1.0, gap_share), slot * min(1.0, turn_share))
    plan = Window(OPENS, OPENS + length)
    assert due(plan, quota, quota - 1, seed, pace) + pace.turn <= plan.closes


def test_the_draw_spreads_mailboxes_over_the_slot() -> None:
    offsets = sorted(due(DAY, 10, 3, f"mailbox {n}") - OPENS - 3 * HOUR for n in range(1_000))
    for tenth in range(10):
        within = [offset for offset in offsets if tenth * 5.4 * MINUTE <= offset < (tenth + 1) * 5.4 * MINUTE]
        assert 60 <= len(within) <= 140


def test_the_plan_is_the_same_after_a_restart_and_another_for_another_seed() -> None:
    mine = [due(DAY, 30, k, "7/2026-11-25") for k in range(30)]
    assert mine == [due(DAY, 30, k, "7/2026-11-25") for k in range(30)]
    assert mine != [due(DAY, 30, k, "7/2026-11-26") for k in range(30)]


@given(lengths, quotas, seeds, paces, st.floats(-0.5, 1.5), st.floats(-1, 1.5), st.floats(0, 1))
def test_never_before_its_time_nor_after_the_window(
    length: timedelta, quota: int, seed: str, pace: Pace, now_at: float, held_to: float, spent_share: float
) -> None:
    plan = Window(OPENS, OPENS + length)
    now, not_before = OPENS + length * now_at, OPENS + length * held_to
    spent = int(quota * spent_share)
    answer = wake(now, plan, quota, spent, not_before, seed, pace)
    if spent == quota:
        assert answer == Wake(None, WakeReason.QUOTA_MET)
    elif answer.at is None:
        assert answer.reason is WakeReason.WINDOW_OVER
        assert max(now, not_before) >= plan.closes
    else:
        assert max(now, not_before, due(plan, quota, spent, seed, pace)) <= answer.at < plan.closes


def test_the_reasons() -> None:
    third = due(DAY, 10, 2, "seed")
    assert wake(OPENS, DAY, 10, 2, LONG_AGO, "seed") == Wake(third, WakeReason.SCHEDULED)
    assert wake(OPENS, DAY, 10, 2, third + MINUTE, "seed") == Wake(third + MINUTE, WakeReason.COOLDOWN)
    assert wake(third + MINUTE, DAY, 10, 2, LONG_AGO, "seed") == Wake(third + MINUTE, WakeReason.BEHIND)
    assert wake(OPENS, DAY, 10, 10, LONG_AGO, "seed") == Wake(None, WakeReason.QUOTA_MET)
    assert wake(OPENS, DAY, 0, 0, LONG_AGO, "seed") == Wake(None, WakeReason.QUOTA_MET)
    assert wake(DAY.closes, DAY, 10, 2, LONG_AGO, "seed") == Wake(None, WakeReason.WINDOW_OVER)
    assert wake(OPENS, DAY, 10, 2, DAY.closes, "seed") == Wake(None, WakeReason.WINDOW_OVER)
    assert wake(OPENS, Window(OPENS, OPENS), 10, 2, LONG_AGO, "seed") == Wake(None, WakeReason.NO_WINDOW)


def test_after_an_outage_each_mailbox_has_its_own_place_in_the_turn() -> None:
    """A thousand mailboxes that missed their first mails: spread over one turn, not all at once."""
    pace, back = Pace(5 * MINUTE, 20 * MINUTE), OPENS + 5 * HOUR
    answers = [wake(back, DAY, 10, 0, LONG_AGO, f"{n}", pace, since=back) for n in range(1_000)]
    assert {answer.reason for answer in answers} == {WakeReason.BEHIND}
    places = sorted(answer.at - back for answer in answers if answer.at)
    assert timedelta() <= places[0]
    assert places[-1] < pace.turn
    for minute in range(20):
        assert 20 <= sum(minute * MINUTE <= place < (minute + 1) * MINUTE for place in places) <= 85


def test_the_place_stays_where_it_is_when_asked_again() -> None:
    """A worker that looks a moment late finds the mailbox due now, not a turn later."""
    pace, back = Pace(5 * MINUTE, 20 * MINUTE), OPENS + 5 * HOUR
    at = wake(back, DAY, 10, 0, LONG_AGO, "seed", pace, since=back).at
    assert at is not None
    assert wake(back + (at - back) / 2, DAY, 10, 0, LONG_AGO, "seed", pace, since=back).at == at
    late = at + 3 * MINUTE
    assert wake(late, DAY, 10, 0, LONG_AGO, "seed", pace, since=back).at == late
    following = wake(late, DAY, 10, 1, late + 5 * MINUTE, "seed", pace, since=back).at
    assert following == at + pace.turn


def test_a_place_beyond_the_window_is_now() -> None:
    pace, back = Pace(MINUTE, 5 * HOUR), DAY.closes - MINUTE
    assert wake(back, DAY, 2, 0, LONG_AGO, "seed", pace, since=back) == Wake(back, WakeReason.BEHIND)


def test_without_a_turn_the_mailbox_that_is_behind_is_due_at_once() -> None:
    back = OPENS + 5 * HOUR
    assert wake(back, DAY, 10, 0, LONG_AGO, "seed", since=back) == Wake(back, WakeReason.BEHIND)


def test_a_mailbox_that_is_a_little_late_does_not_wait_for_its_place() -> None:
    pace = Pace(5 * MINUTE, 20 * MINUTE)
    planned = due(DAY, 10, 3, "seed", pace)
    assert wake(planned + MINUTE, DAY, 10, 3, LONG_AGO, "seed", pace).at == planned + MINUTE


def test_the_deadline_leaves_room_for_the_rest() -> None:
    pace = Pace(5 * MINUTE, 2 * MINUTE)
    assert deadline(DAY, 30, 30, pace) == DAY.closes
    assert deadline(DAY, 30, 20, pace) == DAY.closes - 50 * MINUTE
    sooner = Window(OPENS, DAY.closes - HOUR)
    assert deadline(sooner, 30, 20, pace) < deadline(DAY, 30, 20, pace) < deadline(DAY, 30, 21, pace)


@pytest.mark.parametrize(
    ("now", "not_before", "expected"),
    [
        (OPENS - HOUR, LONG_AGO, Wake(OPENS, WakeReason.SCHEDULED)),
        (OPENS + HOUR, LONG_AGO, Wake(OPENS + HOUR, WakeReason.SCHEDULED)),
        (OPENS + HOUR, OPENS + 2 * HOUR, Wake(OPENS + 2 * HOUR, WakeReason.COOLDOWN)),
        (DAY.closes, LONG_AGO, Wake(None, WakeReason.WINDOW_OVER)),
    ],
)
def test_ready_as_soon_as_it_may(now: datetime, not_before: datetime, expected: Wake) -> None:
    assert ready(now, DAY, 30, 3, not_before) == expected


def test_ready_for_nothing() -> None:
    assert ready(OPENS, DAY, 3, 3, LONG_AGO) == Wake(None, WakeReason.QUOTA_MET)
    assert ready(OPENS, Window(OPENS, OPENS), 3, 0, LONG_AGO) == Wake(None, WakeReason.NO_WINDOW)
