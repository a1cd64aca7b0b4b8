"""What a schedule says in seconds, for a million mailboxes, is what it says in instants."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core.days import Portion
from warmup_core.pacing import Pace, Window
from warmup_core.schedules import Continuous, Interval, Owed, Schedule

OPENS = datetime(2026, 11, 25, 8, tzinfo=UTC)
SECONDS = st.integers(-40_000, 100_000).map(lambda it: it + 0.271828)
"""Never on the microsecond at which an answer turns: there rounding may turn it sooner."""


@pytest.mark.parametrize("schedule", [Continuous(20), Interval(timedelta(minutes=10), 200, 50)])
@given(
    length=st.integers(0, 86_400),
    mails=st.integers(1, 200),
    share=st.floats(0, 0.999),
    turn=st.integers(0, 5_000),
    now=SECONDS,
    not_before=SECONDS,
    since=st.none() | SECONDS,
    box=st.integers(1, 1_000_000),
)
def test_a_moment_in_seconds_is_the_wake_in_instants(
    schedule: Schedule,
    length: int,
    mails: int,
    share: float,
    turn: int,
    now: float,
    not_before: float,
    since: float | None,
    box: int,
) -> None:
    window = Window(OPENS, OPENS + timedelta(seconds=length))
    portion = Portion(OPENS.date(), window, mails, Pace(timedelta(seconds=120), timedelta(seconds=turn)))
    spent, seed = int(share * mails), f"{box}/{OPENS.date()}"
    instant, rests = (OPENS + timedelta(seconds=it) for it in (now, not_before))
    able = None if since is None else OPENS + timedelta(seconds=since)
    owed = Owed(window, mails, spent, rests, seed, portion.pace)
    wake = schedule.wake(instant, owed, able)
    moment = schedule.moment(
        instant.timestamp(),
        portion.rhythm,
        spent,
        rests.timestamp(),
        seed,
        None if able is None else able.timestamp(),
    )
    assert moment.reason is wake.reason
    expected = None if wake.at is None else pytest.approx(wake.at.timestamp(), abs=2e-6)
    assert moment.at == expected
    assert portion.rhythm.deadline(mails - spent) == pytest.approx(owed.deadline.timestamp(), abs=2e-6)
