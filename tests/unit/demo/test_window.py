"""The demo's window lies inside one day, whenever the demo is started."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from demo.window import begun, soon
from warmup_core import pacing
from warmup_core.pacing import UNHINDERED
from warmup_core.types import seconds_of_day

AFTER, LENGTH = timedelta(seconds=20), timedelta(seconds=110)
WHENEVER = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


@given(WHENEVER)
def test_it_is_about_noon_in_the_zone_and_the_window_is_long_enough(now: datetime) -> None:
    window = soon(now, AFTER, LENGTH)
    local = now.astimezone(ZoneInfo(window.zone))
    assert local.hour == 12
    opens, closes = seconds_of_day(window.start), seconds_of_day(window.end)
    assert LENGTH <= timedelta(seconds=closes - opens) <= LENGTH + timedelta(seconds=1)
    assert window.closes.astimezone(ZoneInfo(window.zone)).strftime("%H:%M:%S") == window.end
    assert now < window.closes <= now + AFTER + LENGTH + timedelta(seconds=1)


@given(WHENEVER, st.integers(1, 3))
def test_in_a_window_that_has_begun_all_is_due_and_there_is_time_for_it(now: datetime, quota: int) -> None:
    window = begun(now, quota)
    zone = ZoneInfo(window.zone)
    assert now.astimezone(zone).hour == 12
    hours = pacing.window(
        now.astimezone(zone).date(), zone, seconds_of_day(window.start), seconds_of_day(window.end)
    )
    assert hours.closes == window.closes.replace(microsecond=0)
    slot, draw = pacing.slots(hours, quota, UNHINDERED)
    assert hours.opens + slot * (quota - 1) + draw <= now + timedelta(seconds=1)
    assert window.closes - now >= timedelta(minutes=24)
