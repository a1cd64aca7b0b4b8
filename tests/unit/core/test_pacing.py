"""Properties of pacing: inside the window, in order, never before the cooldown, and the same plan after a restart."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from warmup_core import pacing
from warmup_core.backoff import doubled
from warmup_core.pacing import WakeReason, Window

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati"]
windows = st.builds(
    lambda day, zone, a, b: pacing.window(day, ZoneInfo(zone), min(a, b), max(a, b)),
    st.dates(date(2024, 1, 1), date(2030, 1, 1)),
    st.sampled_from(ZONES),
    st.integers(0, 43_200),
    st.integers(43_201, 86_400),
)
quotas = st.integers(1, 2000)
seeds = st.text(min_size=1, max_size=20)


@given(windows, quotas, seeds)
def test_every_mail_is_due_inside_the_window_and_after_the_one_before(
    plan: Window, quota: int, seed: str
) -> None:
    due = [pacing.due(plan, quota, k, seed) for k in range(quota)]
    assert all(plan.opens <= at < plan.closes for at in due)
    assert all(earlier < later for earlier, later in pairwise(due))
    assert due == [pacing.due(plan, quota, k, seed) for k in range(quota)]


@given(windows, quotas, st.data(), seeds)
def test_a_mailbox_wakes_neither_before_its_cooldown_nor_outside_its_window(
    plan: Window, quota: int, data: st.DataObject, seed: str
) -> None:
    length = (plan.closes - plan.opens).total_seconds()
    now = plan.opens + timedelta(seconds=data.draw(st.floats(-3600, length + 3600)))
    not_before = plan.opens + timedelta(seconds=data.draw(st.floats(-3600, length + 3600)))
    spent = data.draw(st.integers(0, quota))
    wake = pacing.wake(now, plan, quota, spent, not_before, seed)
    if wake.at is None:
        assert wake.reason in {WakeReason.QUOTA_MET, WakeReason.WINDOW_OVER}
        assert (spent == quota) == (wake.reason is WakeReason.QUOTA_MET)
        return
    assert max(now, not_before, plan.opens) <= wake.at < plan.closes
    assert wake.at >= pacing.due(plan, quota, spent, seed)
    if wake.reason is WakeReason.BEHIND:
        assert wake.at == now


@given(windows, st.integers(1, 50), seeds, st.integers(0, 300))
def test_a_mailbox_left_alone_meets_its_quota_in_time(
    plan: Window, quota: int, seed: str, cooldown: int
) -> None:
    """Sending as it wakes, with a cooldown that fits the slots, nothing is left when the window closes."""
    slot = (plan.closes - plan.opens) / quota
    rest = min(timedelta(seconds=cooldown), slot / 2)
    now, not_before = plan.opens, plan.opens - timedelta(days=1)
    for spent in range(quota):
        wake = pacing.wake(now, plan, quota, spent, not_before, seed)
        assert wake.at is not None
        now, not_before = wake.at, wake.at + rest
    assert pacing.wake(now, plan, quota, quota, not_before, seed).reason is WakeReason.QUOTA_MET


def test_days_of_23_and_25_hours_keep_their_real_length() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    lengths = {day: pacing.window(day, berlin, 0, 86_400) for day in (date(2026, 3, 29), date(2026, 10, 25))}
    assert [(it.closes - it.opens) for it in lengths.values()] == [timedelta(hours=23), timedelta(hours=25)]


def test_a_window_is_the_zones_own_wall_clock() -> None:
    plan = pacing.window(date(2026, 7, 1), ZoneInfo("Europe/Berlin"), 8 * 3600, 18 * 3600)
    assert plan == Window(datetime(2026, 7, 1, 6, tzinfo=UTC), datetime(2026, 7, 1, 16, tzinfo=UTC))


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_doubles_to_an_hour_within_a_quarter(failures: int, draw: float) -> None:
    seconds = pacing.backoff(failures, draw)
    middle = min(3600, 60 * 2 ** min(failures - 1, 20))
    assert middle * 0.75 <= seconds <= middle * 1.25


def test_the_elapsed_share_of_a_window_also_of_one_that_the_clock_skips() -> None:
    noon = datetime(2026, 11, 25, 12, tzinfo=UTC)
    plan = Window(noon, noon + timedelta(hours=4))
    hours = (-1, 0, 1, 4, 5)
    assert [pacing.elapsed(plan, noon + timedelta(hours=at)) for at in hours] == [0, 0, 0.25, 1, 1]
    spring = pacing.window(date(2026, 3, 8), ZoneInfo("America/New_York"), 2 * 3600, 3 * 3600)
    moment = timedelta(seconds=1)
    assert pacing.elapsed(spring, spring.closes - moment) == 0
    assert pacing.elapsed(spring, spring.closes) == pacing.elapsed(spring, spring.closes + moment) == 1


def test_a_pause_grows_to_its_longest_and_stays_there_however_often_it_was_had() -> None:
    assert [doubled(5, times, 300) for times in (0, 1, 2, 6, 7, 5000)] == [5, 10, 20, 300, 300, 300]
