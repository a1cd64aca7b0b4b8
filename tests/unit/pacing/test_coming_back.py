"""The place of a mailbox that waited for a pause with others: soon enough for its quota, and never the others' instant."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.pacing.test_wake import DAY, OPENS, lengths, paces, quotas, seeds, shares
from warmup_core.pacing import Pace, Window, rhythm

waits = st.floats(0, 90_000)


@given(lengths, quotas, seeds, paces, shares, waits, st.floats(0, 1))
def test_the_place_is_as_near_as_the_pause_was_long_and_leaves_time_for_what_is_left(
    length: timedelta, quota: int, seed: str, pace: Pace, over_at: float, waited: float, left_share: float
) -> None:
    found = rhythm(Window(OPENS, OPENS + length), quota, pace)
    over, left = found.opens + length.total_seconds() * over_at, max(1, int(quota * left_share))
    deadline = found.deadline(left)
    at = found.comes_back(over, waited, deadline, seed)
    assert over <= at <= over + min(waited, found.slot)
    assert at <= max(over, deadline), "what fitted at the end of the pause still fits"
    assert at == found.comes_back(over, waited, deadline, seed), "whoever asks"


@given(st.floats(60, 3000), st.floats(0, 0.5))
def test_a_thousand_mailboxes_come_back_evenly(waited: float, over_at: float) -> None:
    found = rhythm(DAY, 10)
    over = found.opens + over_at * 36_000
    after = [
        found.comes_back(over, waited, found.deadline(5), f"{it}/2026-11-25") - over for it in range(1_000)
    ]
    for tenth in range(10):
        assert 60 <= sum(tenth <= 10 * it / waited < tenth + 1 for it in after) <= 140
