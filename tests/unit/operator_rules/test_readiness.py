"""What the conditions say of a fleet that grows, cannot grow, replaces its pods, or lost a worker."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from warmup_core.census import Census
from warmup_core.fleet import FleetRow, Owner
from warmup_core.plan import Kind
from warmup_core.settings import FleetSettings
from warmup_core.sizing import Need, Present, Rules, Sizing, size
from warmup_core.spec_status import HeldReason, MailboxesStatus, TodayStatus
from warmup_core.types import Growth
from warmup_operator import readiness
from warmup_operator.demand import Demand
from warmup_operator.postgres import View
from warmup_operator.resize import Timing, decide
from warmup_operator.status import Reason, Verdict

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
FLEET = {"metadata": {"name": "main", "namespace": "mail"}}
ROLLING = {"status": {"currentRevision": "a", "updateRevision": "b", "updatedReplicas": 1, "replicas": 4}}
STILL = {"status": {"currentRevision": "a", "updateRevision": "a", "replicas": 4}}

CENSUS = Census((20, 20), (40,), {Kind("mail.example"): 40})
FITS = Verdict(True, Reason.QUOTA_FITS, "")


def view(count: int, expired: dict[int, float] | None = None, growth: Growth | None = None) -> View:
    """Four workers that could be, some of them away."""
    away = expired or {}
    row = FleetRow(
        owner=Owner("cluster", "mail", "main", "uid"),
        generation=1,
        token="t",
        epoch=3,
        worker_count=count,
        settings=FleetSettings(),
        settings_version=1,
        paused=False,
        deleted=False,
        time_zone="UTC",
        next_time_zone=None,
        growth=growth or Growth(),
        at=NOON,
        resized_at=None,
    )
    day = dict.fromkeys(TodayStatus.model_fields, 0) | {"day": "2026-11-25"}
    demand = Demand(
        MailboxesStatus(total=40, active=40),
        TodayStatus.model_validate(day),
        [],
        40,
    )
    live = frozenset(number for number in range(1, count + 1) if number not in away)
    return View(row, live, away, 10 * len(away), 0, demand, CENSUS)


def sizing(wanted: int) -> Sizing:
    return size(Need(40, 40, 40), Rules(fixed=wanted), Present(4, 4, NOON))


def verdicts(
    wanted: int, seen: View, stateful_set: dict[str, Any], obstacles: tuple[str, ...] = ()
) -> tuple[Verdict, Verdict]:
    """Ready and Resizing."""
    row = seen.row
    why = readiness.missing(FLEET, seen.live, wanted, obstacles)
    step = decide(wanted, row.worker_count, seen.live, row.growth, NOON, Timing(), why=why)
    rollout = readiness.rollout(stateful_set, seen, 120)
    return (
        readiness.ready(FLEET, [], seen, sizing(wanted), step, obstacles, rollout, "warmup-system", FITS),
        readiness.resizing(seen, sizing(wanted), step, stateful_set, obstacles),
    )


def said(verdict: Verdict) -> tuple[bool | None, str]:
    return verdict.holds, verdict.reason.value


def test_a_fleet_as_wanted_is_settled() -> None:
    ready, resizing = verdicts(4, view(4), STILL)
    assert (said(ready), said(resizing)) == ((True, "Running"), (False, "Settled"))


def test_a_growth_says_how_far_it_is_and_what_hinders_it() -> None:
    ready, resizing = verdicts(6, view(4), STILL, ("Pod main-6: not scheduled: no room.",))
    assert (said(ready), said(resizing)) == ((True, "Growing"), (True, "Growing"))
    assert resizing.message == (
        "4 of 6 workers are live; 4 go on sending meanwhile. Pod main-6: not scheduled: no room."
    )


def test_a_growth_that_failed_names_the_pods_and_why_and_when_it_is_tried_again() -> None:
    begun = Growth(since=NOON - timedelta(seconds=600))
    why = ("Pod main-6: not scheduled: no room.",)
    for seen in (view(4, growth=begun), view(4, growth=failed_growth(why))):
        ready, resizing = verdicts(6, seen, STILL, why)
        assert (said(ready), said(resizing)) == ((True, "GrowthFailed"), (False, "GrowthFailed"))
        assert ready.message == (
            "6 workers wanted, 4 could be had and send. Not live: main-5, main-6. Pod main-6: not scheduled:"
            " no room. Tried again at 12:10 UTC, or at once when the spec changes."
        )


def failed_growth(why: tuple[str, ...]) -> Growth:
    """As the row remembers it."""
    begun = Growth(since=NOON - timedelta(seconds=600))
    text = readiness.missing(FLEET, {1, 2, 3, 4}, 6, why)
    failed = decide(6, 4, frozenset({1, 2, 3, 4}), begun, NOON, Timing(), why=text).growth
    assert failed is not None
    return failed


def test_a_shrink_lasts_until_the_pods_are_gone() -> None:
    assert said(verdicts(2, view(4), STILL)[1]) == (True, "Shrinking")
    ready, resizing = verdicts(2, view(2), STILL)
    assert (said(ready), said(resizing)) == ((True, "Running"), (True, "Shrinking"))
    assert resizing.message == "From 4 to 2 workers: 2 leave."


@pytest.mark.parametrize(
    ("stateful_set", "expired", "reason"),
    [
        (ROLLING, {}, "RollingOut"),
        (ROLLING, {4: 1.0}, "RollingOut"),
        (ROLLING, {4: 120.0}, "WorkersDown"),  # a rollout that is stuck explains nothing any more
        (STILL, {4: 1.0}, "WorkersDown"),
    ],
)
def test_a_worker_whose_pod_is_being_replaced_is_not_down(
    stateful_set: dict[str, Any], expired: dict[int, float], reason: str
) -> None:
    ready, _ = verdicts(4, view(4, expired), stateful_set)
    assert ready.reason == reason
    if reason == "RollingOut":
        assert ready.message.startswith("1 of 4 pods run what the spec asks for")
    else:
        assert "main-4 was last heard of" in ready.message
        assert "10 mailboxes have no live owner" in ready.message


@pytest.mark.parametrize(("away", "rest"), [(10, ""), (13, " and 3 more")])
def test_up_to_ten_workers_that_do_not_send_are_named_and_the_rest_counted(away: int, rest: str) -> None:
    ready, _ = verdicts(20, view(20, dict.fromkeys(range(1, away + 1), 300.0)), STILL)
    assert ready.message.startswith(
        f"{away} of 20 workers not live: main-1 was last heard of 5 min ago, main-2 "
    )
    assert (
        f"main-10 was last heard of 5 min ago{rest}; {10 * away} mailboxes have no live owner"
        in ready.message
    )
    ready, _ = verdicts(4 + away, view(4, growth=Growth(since=NOON - timedelta(seconds=600))), STILL)
    assert f"main-13, main-14{rest}." in ready.message


def enrolled(seen: View, **figures: Any) -> View:
    mailboxes = seen.demand.mailboxes.model_copy(update=figures)
    return replace(seen, demand=replace(seen.demand, mailboxes=mailboxes))


BLOCKED = HeldReason(reason="ip-blocked", mailboxes=40, words="egress smtp.example: ip-blocked: 421 no.")


def test_a_fleet_whose_mailboxes_all_wait_is_not_ready_and_says_for_what() -> None:
    """A wrong password in each, or the pause of their only provider: for as long as it lasts nothing is sent."""
    for seen, stateful_set in ((view(4), STILL), (view(4, {4: 1.0}), ROLLING)):
        ready, _ = verdicts(4, enrolled(seen, paused=40, top_reasons=[BLOCKED]), stateful_set)
        assert said(ready) == (False, "MailboxesHeld")
        assert ready.message.startswith(
            "All 40 active mailboxes wait, most of them for ip-blocked (egress smtp.example: ip-blocked: 421 no):"
            " nothing is sent until one may."
        )
    assert said(verdicts(4, enrolled(view(4), paused=39), STILL)[0]) == (True, "Running")
    down = enrolled(view(4, {4: 60.0}), paused=40)
    assert said(verdicts(4, down, STILL)[0]) == (False, "WorkersDown")


@pytest.mark.parametrize(
    ("total", "cure"),
    [
        (
            1,
            "Import a second one: kubectl exec -i -n warmup-system deploy/warmup-fleet -- warmup --fleet mail/main",
        ),
        (40, "Activate a second one."),
    ],
)
def test_a_single_mailbox_has_nobody_to_write_to(total: int, cure: str) -> None:
    ready, _ = verdicts(4, enrolled(view(4), active=1, total=total), STILL)
    assert said(ready) == (False, "MailboxesTooFew")
    assert cure in ready.message
    assert said(verdicts(4, enrolled(view(4), active=2), STILL)[0]) == (True, "Running")


def test_a_fleet_is_degraded_by_what_keeps_part_of_it_from_sending() -> None:
    def degraded(seen: View) -> Verdict:
        step = decide(4, 4, seen.live, seen.row.growth, NOON, Timing())
        return readiness.degraded(FLEET, seen, sizing(4), step, "")

    well = view(4)
    assert degraded(well).holds is False
    assert degraded(view(4, {3: 60.0})).reason is Reason.WORKERS_DOWN
    held = HeldReason(reason="login-refused", mailboxes=1, words="login-refused: 535 no")
    waiting = enrolled(well, paused=1, top_reasons=[held])
    answer = degraded(waiting)
    assert (answer.holds, answer.reason) == (True, Reason.MAILBOXES_HELD)
    assert "535 no" in answer.message
    assert degraded(enrolled(waiting, active=101)).holds is False
