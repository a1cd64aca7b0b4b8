"""The demo's window lies inside one day, whenever the demo is started."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from demo.window import soon
from warmup_core.types import seconds_of_day

AFTER, LENGTH = timedelta(seconds=20), timedelta(seconds=110)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)))
def test_it_is_about_noon_in_the_zone_and_the_window_is_long_enough(now: datetime) -> None:
    window = soon(now, AFTER, LENGTH)
    local = now.astimezone(ZoneInfo(window.zone))
    assert local.hour == 12
    opens, closes = seconds_of_day(window.start), seconds_of_day(window.end)
    assert LENGTH <= timedelta(seconds=closes - opens) <= LENGTH + timedelta(seconds=1)
    assert window.closes.astimezone(ZoneInfo(window.zone)).strftime("%H:%M:%S") == window.end
    assert now < window.closes <= now + AFTER + LENGTH + timedelta(seconds=1)
