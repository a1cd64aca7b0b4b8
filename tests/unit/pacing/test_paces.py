"""How a fleet's settings spread the mails of its mailboxes, whoever shares what."""

from datetime import timedelta

from warmup_core.paces import Crowd, paces
from warmup_core.pacing import UNHINDERED, Pace
from warmup_core.settings import FleetSettings

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=seconds) for seconds in (1, 60, 3_600, 86_400))
COMPANY = Crowd(mailboxes=100_000, workers=50, of_worker=2_000, largest_user=100, largest_domain=5_000)


def test_the_company_of_the_default_settings() -> None:
    """2,500 a minute bind: 2,371 of them can be kept up, so a turn of 100,000 mailboxes takes 42 minutes."""
    found = paces(FleetSettings(), COMPANY, None)(DAY, 30)
    assert found.gap == 5 * MINUTE
    assert 42 * MINUTE < found.turn < 43 * MINUTE


def test_the_tightest_of_those_who_share_decides() -> None:
    user = FleetSettings(per_user_per_hour_limit=130)
    assert paces(user, COMPANY, None)(DAY, 30).turn > 44 * MINUTE
    slots = FleetSettings(max_concurrent_sends=6)
    assert 44 * MINUTE < paces(slots, COMPANY, 8 * SECOND)(DAY, 30).turn < 45 * MINUTE
    quick = paces(slots, COMPANY, SECOND)(DAY, 30)
    assert 42 * MINUTE < quick.turn < 43 * MINUTE


def test_a_limit_that_cannot_do_it_anyway_spreads_nothing() -> None:
    """200 a minute are 2 mails a day for each of 100,000: the others still take turns, by what they share."""
    narrow = FleetSettings(per_minute_limit=200, per_hour_limit=None)
    assert paces(narrow, COMPANY, 8 * SECOND)(DAY, 30).turn == 2_000 * 8 * SECOND / 50
    assert paces(narrow, COMPANY, 8 * SECOND)(DAY, 2).turn > 8 * HOUR


def test_a_small_fleet_is_hardly_held() -> None:
    found = paces(FleetSettings(cooldown_min_ms=0, cooldown_max_ms=0), Crowd(12, 1, 12), None)(DAY, 3)
    assert not found.gap
    assert found.turn < 2 * SECOND


def test_an_empty_window_has_no_pace() -> None:
    assert paces(FleetSettings(), COMPANY, SECOND)(timedelta(), 30) == UNHINDERED == Pace()
