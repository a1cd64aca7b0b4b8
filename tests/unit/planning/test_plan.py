"""What a plan says beyond the scheme: what must stay inside, what an inbox receives, and everything that stands in the way."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core import plan, shortfalls
from warmup_core.costs import PriceList
from warmup_core.plan import Enrolled, Kind, Plan, Staying
from warmup_core.settings import FleetSettings
from warmup_core.shortfalls import Shortfall
from warmup_core.sizing import Rules

NO_PRICES = PriceList(currency="USD")
SECOND = timedelta(seconds=1)


def made(
    enrolled: Enrolled, rules: Rules | None = None, send: timedelta = 8 * SECOND, **settings: Any
) -> tuple[Plan, tuple[Shortfall, ...]]:
    given_ = FleetSettings(**settings)
    found = plan.make(given_, rules or Rules(), enrolled, NO_PRICES, send=send)
    return found, shortfalls.find(found, given_, rules or Rules())


def names(answer: tuple[Plan, tuple[Shortfall, ...]]) -> list[str]:
    return [it.name for it in answer[1]]


def test_a_user_with_most_of_the_mailboxes_keeps_most_of_his_mails_to_himself() -> None:
    """20 mailboxes on two domains against 2 and 2: at most 4 of his mails find somebody else, and 4 find him."""
    found, _ = made(Enrolled(24, users=(20, 2, 2), domains=(10, 10, 2, 2)))
    assert found.inside_user == Staying(67, 20, 80)
    assert found.inside_domain == Staying(0, 10, 0)
    alone, _ = made(Enrolled(20, users=(20,), domains=(10, 10)))
    assert alone.inside_user == Staying(100, 20, 100)
    assert made(Enrolled.evenly(20))[0].inside_user is None


def test_a_share_is_called_none_or_all_only_where_it_is() -> None:
    assert made(Enrolled(1_001, users=(501, 500)))[0].inside_user == Staying(1, 501, 1)
    assert made(Enrolled(1_001, users=(1_000, 1)))[0].inside_user == Staying(99, 1_000, 99)


def test_what_a_mailbox_receives_a_day_a_month_and_a_year() -> None:
    """30 mails of 6 kB: 180 kB a day, 5.4 MB in 30 days, 65.7 MB a year."""
    inbox = made(Enrolled.evenly(100_000))[0].inbox
    assert (inbox.mails_per_day, inbox.bytes_per_day) == (30, 180_000)
    assert (inbox.bytes_per_month, inbox.bytes_per_year) == (5_400_000, 65_700_000)
    small = plan.make(FleetSettings(), Rules(), Enrolled.evenly(10), NO_PRICES, mail_bytes=1_000)
    assert small.inbox.bytes_per_day == 30_000


def test_the_number_of_a_mailbox_is_the_one_after_its_ramp() -> None:
    assert made(Enrolled.evenly(10), ramp_type="Linear", ramp_start=1, ramp_step=1)[0].mails.per_day == 300
    assert made(Enrolled.evenly(10), ramp_type="Steps", ramp_steps=(2, 5))[0].mails.per_day == 50
    assert made(Enrolled.evenly(10), ramp_type="Linear", ramp_start=4, ramp_step=0)[0].mails.per_day == 40
    own = Enrolled(10, alike={Kind("", None): 8, Kind("", 5): 1, Kind("", 0): 1})
    assert made(own)[0].mails.per_day == 8 * 30 + 5


def test_a_month_has_as_many_working_days_as_the_schedule() -> None:
    weekdays = ("Mon", "Tue", "Wed", "Thu", "Fri")
    assert made(Enrolled.evenly(7), days=weekdays)[0].mails.per_month == 7 * 30 * 30 * 5 // 7
    assert made(Enrolled.evenly(1), days=("Sun",))[0].mails.per_day == 30


def test_a_window_too_short_for_the_cooldown_is_named_with_the_cooldown_that_would_do() -> None:
    answer = made(Enrolled.evenly(10), window_from_seconds=32_400, window_to_seconds=36_000)
    assert [it.reason for it in answer[1]] == [
        "pacing.cooldown of 5m lets 12 of the 30 mails of a mailbox through in 1h; it may be at most 2m"
    ]


def test_a_window_of_a_mailboxs_own_is_asked_too() -> None:
    """Two with an hour of their own and the full number; one with half an hour and 3 mails a day, which fit."""
    own = Enrolled(
        10,
        alike={
            Kind("", None): 7,
            Kind("", None, timedelta(hours=1)): 2,
            Kind("", 3, timedelta(minutes=30)): 1,
        },
    )
    assert [it.reason for it in made(own)[1]] == [
        "of 2 mailboxes with a window of their own: pacing.cooldown of 5m lets 12 of the 30 mails of a mailbox through"
        " in 1h; it may be at most 2m"
    ]


def test_a_send_too_long_for_the_window_is_named() -> None:
    assert names(made(Enrolled.evenly(10), send=3_600 * SECOND)) == ["the time of a send"]


def test_an_interval_gives_a_mailbox_one_mail_a_run() -> None:
    runs: dict[str, Any] = {"pacing_mode": "Interval", "interval_ms": 3_600_000, "interval_batch": 1_000}
    assert [it.reason for it in made(Enrolled.evenly(10), **runs)[1]] == [
        "pacing.interval.every of 1h lets 24 of the 30 mails of a mailbox through in 24h; it may be at most 48m"
    ]
    assert names(made(Enrolled.evenly(10), **runs | {"interval_ms": 2_880_000})) == []


def test_a_provider_that_admits_fewer_is_named_once() -> None:
    at_gmail = Enrolled(
        30,
        alike={
            Kind("smtp.gmail.com", None): 10,
            Kind("smtp.gmail.com", 900): 10,
            Kind("mx.example", None): 10,
        },
    )
    answer = made(at_gmail, emails_per_mailbox_per_day=600, cooldown_min_ms=0, cooldown_max_ms=0)
    [short] = answer[1]
    assert (short.name, short.value, short.needed) == ("limits.providers[gmail]", 500, 600)
    assert short.reason.startswith(
        "limits.providers[gmail] of 500: a mailbox there is asked for 600 mails a day and sends 500"
    )


def test_a_providers_24_hours_know_no_midnight() -> None:
    """100 mails in each of two windows that lie 24 h apart fit a limit of 100 and not one of 99, which lowers the number."""
    at_host = Enrolled(2, alike={Kind("mx.example", None): 2})
    quick: dict[str, Any] = {"emails_per_mailbox_per_day": 100, "cooldown_min_ms": 0, "cooldown_max_ms": 0}
    assert names(made(at_host, per_mailbox_per_day_limits={"mx.example": 100}, **quick)) == []
    assert names(made(at_host, per_mailbox_per_day_limits={"mx.example": 99}, **quick)) == [
        "limits.providers[mx.example]"
    ]


def test_all_at_one_host_have_half_of_the_slots() -> None:
    assert made(Enrolled.evenly(100, hosts=1))[0].worker.capacity.mails == 270_000
    assert made(Enrolled.evenly(100, hosts=2))[0].worker.capacity.mails == 540_000


def test_limits_of_a_user_and_a_domain_are_held_against_the_largest() -> None:
    uneven = Enrolled(1_000, users=(900, 100), domains=(800, 200))
    answer = made(uneven, per_user_per_hour_limit=1_000, per_domain_per_day_limit=20_000)
    assert {it.name: it.load for it in answer[0].limits if "User" in it.name or "Domain" in it.name} == {
        "limits.perUserPerHour": 27_000,
        "limits.perDomainPerDay": 24_000,
    }
    assert names(answer) == ["limits.perUserPerHour", "limits.perDomainPerDay"]


def test_notes_say_what_stands_in_nobodys_way() -> None:
    found, missing = made(Enrolled.evenly(100_000), Rules(fixed=6))
    assert missing == ()
    assert shortfalls.notes(found, Rules(fixed=6)) == (
        "The workers have 8 % to spare; workers.headroomPercent asks for 20.",
        "How many mails must stay inside a user or a domain is not known: give --users and --domains.",
    )
    young = Enrolled(10, users=(5, 5), today=20)
    assert shortfalls.notes(made(young)[0], Rules()) == (
        "Today's quotas ask for 20 mails: some ramps are not over, or it is a day off.",
    )


def test_stopped_workers_meet_no_quota() -> None:
    assert names(made(Enrolled.evenly(10), Rules(fixed=0))) == ["workers.replicas"]


def test_there_is_no_plan_for_nobody() -> None:
    with pytest.raises(ValueError, match="at least one mailbox"):
        plan.make(FleetSettings(), Rules(), Enrolled(0), NO_PRICES)


@given(
    mailboxes=st.integers(1, 300_000),
    groups=st.integers(0, 2_000),
)
def test_groups_are_as_even_as_whole_mailboxes_go(mailboxes: int, groups: int) -> None:
    sizes = Enrolled.evenly(mailboxes, users=groups).users
    assert sum(sizes) == (mailboxes if groups else 0)
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert len(sizes) == min(groups, mailboxes)


@given(
    mailboxes=st.integers(1, 200_000),
    mails=st.integers(1, 200),
    hours=st.integers(1, 24),
    slots=st.integers(1, 200),
    fixed=st.none() | st.integers(0, 200),
)
def test_a_plan_that_fits_has_workers_for_every_mail(
    mailboxes: int, mails: int, hours: int, slots: int, fixed: int | None
) -> None:
    found, missing = made(
        Enrolled.evenly(mailboxes),
        Rules(fixed=fixed),
        emails_per_mailbox_per_day=mails,
        ramp_type="None",
        window_to_seconds=hours * 3_600,
        max_concurrent_sends=slots,
    )
    enough = found.fleet.per_day >= found.mails.per_day
    assert enough == (not {"workers.max", "workers.replicas"} & {it.name for it in missing})
    if not missing:
        assert all(it.ok for it in found.limits)
