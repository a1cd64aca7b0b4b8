"""Who may take a number at once, and who lets its holder have its time first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from warmup_worker.newcomer import Holder, Newcomer
from warmup_worker.timing import Timing

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOLDER = Holder(7, "host-b", held_for=1.0, live=True, lease_until=NOW)
TIMING = Timing()


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(None, id="nobody ever had it"),
        pytest.param(replace(HOLDER, live=False), id="it gave its lease back, or that ran out"),
        pytest.param(replace(HOLDER, held_for=TIMING.calm), id="it has had its time"),
    ],
)
def test_a_number_that_is_free_is_taken_at_once(holder: Holder | None) -> None:
    assert Newcomer(1, TIMING).crowded(holder, 0.0) is None


def test_one_that_beats_is_left_its_time_and_named() -> None:
    newcomer = Newcomer(1, TIMING)
    for second in range(0, int(TIMING.calm), 2):
        beating = replace(HOLDER, held_for=1.0 + second, lease_until=NOW + timedelta(seconds=second))
        sentence = newcomer.crowded(beating, float(second))
        if beating.held_for < TIMING.calm:
            assert sentence is not None
            assert "as worker 1, on host-b" in sentence
    assert newcomer.crowded(replace(HOLDER, held_for=TIMING.calm), 400.0) is None


def test_one_that_does_not_beat_is_known_within_three_heartbeats() -> None:
    newcomer = Newcomer(1, TIMING)
    assert newcomer.crowded(HOLDER, 10.0) is not None
    assert newcomer.crowded(HOLDER, 10.0 + 3 * TIMING.heartbeat) is not None
    assert newcomer.crowded(HOLDER, 10.1 + 3 * TIMING.heartbeat) is None


def test_another_holder_has_time_of_its_own() -> None:
    newcomer = Newcomer(1, TIMING)
    assert newcomer.crowded(HOLDER, 10.0) is not None
    assert newcomer.crowded(replace(HOLDER, incarnation=8), 20.0) is not None
