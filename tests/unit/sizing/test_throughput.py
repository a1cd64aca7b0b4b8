"""What a worker measures of its sends: the last ones, what one host's share allows, and nothing before there are enough."""

from datetime import timedelta

import pytest

from warmup_worker.throughput import KEPT, LEAST, Throughput


def after(*sends: tuple[str, float]) -> Throughput:
    throughput = Throughput()
    for host, seconds in sends:
        throughput.sent(host, seconds)
    return throughput


def test_nothing_is_said_before_enough_was_sent() -> None:
    assert after().measured(50) is None
    assert after(*[("a", 8.0)] * (LEAST - 1)).measured(50) is None
    assert after(*[("a", 8.0)] * LEAST).measured(50) is not None


def test_the_mean_send_and_what_all_slots_could_do() -> None:
    found = after(*[("a", 4.0), ("b", 12.0), ("c", 8.0)] * LEAST).measured(50)
    assert found is not None
    assert found.send == timedelta(seconds=8)
    assert found.per_second == pytest.approx(50 / 8)


@pytest.mark.parametrize(
    ("sends", "slots"),
    [
        ([("a", 8.0)], 25),
        ([("a", 8.0)] * 3 + [("b", 8.0)], 25 / 0.75),
        ([("a", 12.0), ("b", 4.0)], 25 / 0.75),
        ([("a", 8.0), ("b", 8.0)], 50),
    ],
)
def test_a_host_takes_half_of_the_slots_at_most(sends: list[tuple[str, float]], slots: float) -> None:
    found = after(*sends * LEAST).measured(50)
    assert found is not None
    assert found.per_second * found.send.total_seconds() == pytest.approx(slots)


def test_only_the_last_sends_count() -> None:
    found = after(*[("a", 60.0)] * 500, *[("a", 2.0)] * KEPT).measured(50)
    assert found is not None
    assert found.send == timedelta(seconds=2)


def test_a_send_in_no_time_at_all_is_no_division_by_zero() -> None:
    found = after(*[("a", 0.0)] * LEAST).measured(50)
    assert found is not None
    assert found.per_second == pytest.approx(25_000)
