"""Which limits a day's mails cannot pass, and the value that would do."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from warmup_core.bottlenecks import Judged, Load, judge
from warmup_core.settings import FleetSettings

DAY = timedelta(days=1)


def too_low(settings: FleetSettings, load: Load, window: timedelta) -> tuple[Judged, ...]:
    return tuple(judged for judged in judge(settings, load, window) if not judged.ok)


def test_the_limits_of_one_worker_are_too_low_for_3_000_000_a_day_and_say_what_they_need() -> None:
    settings = FleetSettings(per_minute_limit=200, per_hour_limit=10_000)
    assert [judged.reason for judged in too_low(settings, Load(3_000_000, 50), DAY)] == [
        "limits.perMinute of 200 lets 273138 of the 3000000 mails of the fleet through in 24h;"
        " it has to be at least 2202",
        "limits.perHour of 10000 lets 238739 of the 3000000 mails of the fleet through in 24h;"
        " it has to be at least 125119",
    ]
    assert (
        too_low(FleetSettings(per_minute_limit=2202, per_hour_limit=125_119), Load(3_000_000, 50), DAY) == ()
    )
    assert not too_low(FleetSettings(), Load(3_000_000, 50), DAY)


def test_1500_an_hour_and_worker_are_too_low_for_50_workers_and_not_for_100() -> None:
    settings = FleetSettings(per_worker_per_hour_limit=1_500)
    [judged] = too_low(settings, Load(3_000_000, 50), DAY)
    assert (judged.name, judged.value, judged.load, judged.needed) == (
        "limits.perWorkerPerHour",
        1_500,
        60_000,
        2_549,
    )
    assert not too_low(settings, Load(3_000_000, 100), DAY)


def test_the_largest_user_and_domain_have_limits_of_their_own() -> None:
    settings = FleetSettings(per_user_per_hour_limit=100, per_domain_per_day_limit=300)
    judged = {it.name: it for it in too_low(settings, Load(3_000, 1, 3_000, 301), DAY)}
    assert set(judged) == {"limits.perUserPerHour", "limits.perDomainPerDay"}
    assert "of the largest user" in judged["limits.perUserPerHour"].reason
    unknown = judge(settings, Load(3_000, 1), DAY)
    assert all(it.name not in judged for it in unknown)


@given(
    mails=st.integers(1, 5_000_000),
    workers=st.integers(1, 200),
    hours=st.integers(1, 24),
    per_minute=st.integers(1, 5_000),
    per_hour=st.integers(1, 200_000),
    per_worker=st.integers(1, 5_000),
)
def test_the_value_needed_is_the_least_that_does(
    mails: int, workers: int, hours: int, per_minute: int, per_hour: int, per_worker: int
) -> None:
    load, window = Load(mails, workers), timedelta(hours=hours)

    def settings(change: int, needed: dict[str, int]) -> FleetSettings:
        names = {
            "limits.perMinute": "per_minute_limit",
            "limits.perHour": "per_hour_limit",
            "limits.perWorkerPerHour": "per_worker_per_hour_limit",
        }
        return FleetSettings.model_validate({names[name]: value + change for name, value in needed.items()})

    given_ = FleetSettings(
        per_minute_limit=per_minute, per_hour_limit=per_hour, per_worker_per_hour_limit=per_worker
    )
    judged = {it.name: it for it in judge(given_, load, window)}
    needed = {name: it.needed for name, it in judged.items()}
    assert too_low(settings(0, needed), load, window) == ()
    assert all(it.ok == (it.value >= it.needed) for it in judged.values())
    above = {name: value for name, value in needed.items() if value > 1}
    names = {it.name for it in too_low(settings(-1, above), load, window)}
    assert names >= set(above)
