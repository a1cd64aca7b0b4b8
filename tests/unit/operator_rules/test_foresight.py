"""The condition QuotaFeasible: what stands in the way of the full numbers is named beforehand, with the value that would do."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.operator_rules.test_readiness import FLEET, sizing, view
from warmup_core.census import Census
from warmup_core.plan import Kind
from warmup_core.settings import FleetSettings
from warmup_core.sizing import Rules
from warmup_operator import readiness, resize
from warmup_operator.foresight import quota_feasible
from warmup_operator.postgres import View
from warmup_operator.resize import Timing
from warmup_operator.status import Reason, Verdict

COMPANY = Census((100,) * 1_000, (1_000,) * 100, {Kind("smtp.gmail.com"): 100_000})


def seen(census: Census = COMPANY, at: datetime | None = None, zone: str = "UTC", **settings: Any) -> View:
    base = view(50)
    row = replace(
        base.row,
        settings=FleetSettings(**settings),
        time_zone=zone,
        at=at or datetime(2026, 11, 25, 12, tzinfo=UTC),
    )
    return replace(base, row=row, census=census)


def said(verdict: Verdict) -> tuple[bool | None, Reason]:
    return verdict.holds, verdict.reason


def test_the_company_of_the_defaults_fits() -> None:
    assert said(quota_feasible(seen(), Rules())) == (True, Reason.QUOTA_FITS)


def test_limits_that_are_too_low_are_named_with_the_values_they_need() -> None:
    """The first column's limits under a whole company: requirements that no ramp hides."""
    verdict = quota_feasible(seen(per_minute_limit=200, per_hour_limit=10_000), Rules())
    assert said(verdict) == (False, Reason.LIMIT_TOO_LOW)
    for words in ("limits.perMinute of 200 lets", "limits.perHour of 10000 lets", "it has to be at least 12"):
        assert words in verdict.message
    assert ready(verdict) == verdict


def ready(quota: Verdict) -> Verdict:
    """What Ready says of a fleet that runs."""
    running = view(4)
    step = resize.decide(4, 4, running.live, running.row.growth, running.row.at, Timing(), why="")
    return readiness.ready(FLEET, [], running, sizing(4), step, (), "", "warmup-system", quota)


def test_too_few_workers_are_named_and_the_fleet_is_ready_all_the_same() -> None:
    verdict = quota_feasible(seen(), Rules(maximum=4))
    assert said(verdict) == (False, Reason.WORKERS_TOO_FEW)
    assert "workers.max of 4" in verdict.message
    assert ready(verdict).holds


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"window_from_seconds": 32_400, "window_to_seconds": 36_000}, "pacing.cooldown of 5m"),
        ({"cooldown_max_ms": 3_600_000}, "pacing.cooldown of 1h lets 24 of the 30 mails"),
        ({"pacing_mode": "Interval", "interval_ms": 3_600_000}, "pacing.interval.every of 1h"),
    ],
)
def test_a_window_that_is_too_short_is_named(settings: dict[str, Any], words: str) -> None:
    small = Census((4,), (4,), {Kind("mail.example"): 4})
    verdict = quota_feasible(seen(small, **settings), Rules())
    assert said(verdict) == (False, Reason.WINDOW_TOO_SHORT)
    assert words in verdict.message


def test_what_a_provider_admits_is_told() -> None:
    verdict = quota_feasible(seen(per_mailbox_per_day_limits={"gmail": 20}), Rules())
    assert said(verdict) == (False, Reason.PROVIDER_LIMIT)
    assert "limits.providers[gmail] of 20" in verdict.message
    assert ready(verdict).holds


def test_the_window_that_the_clock_skips_is_named_on_its_day() -> None:
    two_to_three = {
        "window_from_seconds": 7_200,
        "window_to_seconds": 10_800,
        "emails_per_mailbox_per_day": 3,
    }
    small = Census((4,), (4,), {Kind("mail.example"): 4})

    def on(day: datetime) -> Verdict:
        return quota_feasible(seen(small, day, "Europe/Berlin", **two_to_three), Rules())

    spring = on(datetime(2027, 3, 28, 12, tzinfo=UTC))
    assert said(spring) == (False, Reason.WINDOW_SKIPPED)
    assert (
        "Today skipped: the clock never shows 02:00 to 03:00 on 2027-03-28 in Europe/Berlin."
        in spring.message
    )
    autumn = on(datetime(2026, 10, 25, 12, tzinfo=UTC))
    assert said(autumn) == (True, Reason.QUOTA_FITS)
    assert "lasts 2h instead of 1h" in autumn.message


def test_nothing_is_said_of_a_fleet_without_mailboxes_or_unseen() -> None:
    nobody = Census((), (), {})
    assert said(quota_feasible(seen(nobody), Rules())) == (None, Reason.NO_MAILBOXES)
    alone = Census((1,), (1,), {Kind("mail.example"): 1})
    assert said(quota_feasible(seen(alone), Rules())) == (False, Reason.MAILBOXES_TOO_FEW)
    assert said(quota_feasible(None, None)) == (None, Reason.UNKNOWN)
