"""What happened within the last hour is counted, what lies longer back is not."""

from hypothesis import given
from hypothesis import strategies as st

from warmup_worker.last_hour import LastHour


@given(st.lists(st.floats(0, 900), max_size=60), st.floats(0, 5000))
def test_between_an_hour_and_a_minute_more_is_counted(gaps: list[float], wait: float) -> None:
    now = 12_345.6
    counted = LastHour(lambda: now)
    happened = []
    for gap in gaps:
        now += gap
        counted.add()
        happened.append(now)
    now += wait
    found = counted.count()
    assert sum(at > now - 3600 for at in happened) <= found <= sum(at > now - 3661 for at in happened)
