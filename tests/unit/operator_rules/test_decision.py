"""What a look makes of what it saw: the workers that a fleet wants, and when the next look comes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.operator_rules.test_readiness import FLEET, NOON, sizing, view
from warmup_core import plan
from warmup_core.census import Census
from warmup_core.costs import PriceList
from warmup_core.plan import Enrolled, Kind
from warmup_core.settings import FleetSettings
from warmup_core.sizing import Rules
from warmup_core.spec import WarmupFleetSpec
from warmup_core.types import Growth
from warmup_operator import decision
from warmup_operator.decision import Cluster, Decision, pause, sizing_of
from warmup_operator.observe import Observed
from warmup_operator.resize import Timing, decide
from warmup_operator.status import Problem, Reason

SPEC = WarmupFleetSpec.model_validate(
    {
        "database": {"urlSecretRef": {"name": "main-database"}},
        "encryption": {"keysSecretRef": {"name": "main-keys"}},
        "workers": {"maxMailboxesPerWorker": None},
    }
)


@pytest.mark.parametrize(("hosts", "wanted"), [(1, 14), (2, 7), (1_000, 7)])
def test_before_anything_is_measured_it_wants_what_the_plan_said(hosts: int, wanted: int) -> None:
    """100,000 mailboxes; one mail host may take half of a worker's slots."""
    alike = {Kind(f"smtp{n}.example.org"): 100_000 // hosts for n in range(hosts)}
    census = Census((100,) * 1_000, (1_000,) * 100, alike)
    enrolled = Enrolled(census.mailboxes, census.users, census.domains, census.hosts, census.alike)
    made = plan.make(FleetSettings(), Rules.of(SPEC.workers), enrolled, PriceList(currency="USD"))
    seen = view(4)
    mailboxes = seen.demand.mailboxes.model_copy(update={"total": 100_000, "active": 100_000})
    demand = replace(seen.demand, mailboxes=mailboxes, mails=made.mails.per_day)
    found = sizing_of(Observed(FLEET, None, SPEC, replace(seen, census=census, demand=demand)))
    assert found is not None
    assert found.ideal == made.fleet.sizing.wanted == wanted
    assert found.need.capacity == made.worker.capacity.mails


def after(
    wanted: int, count: int, away: dict[int, float] | None = None, growth: Growth | None = None
) -> float:
    """Seconds to the next look at a fleet with this count and these workers silent for so long."""
    seen = view(count, away, growth)
    step = decide(wanted, count, seen.live, seen.row.growth, NOON, Timing())
    return pause(seen, Decision(sizing(wanted), step, step.replicas), [], idle=30)


def test_it_comes_soon_while_something_may_turn_any_moment() -> None:
    assert after(4, 4) == 30
    assert after(5, 4) == 2, "a growth begins"
    assert after(5, 4, growth=Growth(since=NOON - timedelta(minutes=9))) == 2, "a growth waits for a worker"
    assert after(3, 4) == 2, "a flip that could not be written"
    assert after(4, 4, {2: 1.0}) == after(4, 4, {2: 200.0}) == 2, (
        "a worker is away: a lost node takes three minutes"
    )
    wrong = Problem(Reason.SECRET_MISSING, "")
    assert pause(None, Decision(None, None, None), [wrong], idle=30) == 5


@pytest.mark.parametrize(
    ("reason", "pods"),
    [
        (Reason.SCHEMA_TOO_NEW, None),
        (Reason.SCHEMA_MIGRATING, None),
        (Reason.DATABASE_UNREACHABLE, None),
        (Reason.SECRET_MISSING, None),
        (Reason.DATABASE_IN_USE, 0),
    ],
)
def test_what_cannot_be_read_leaves_the_cluster_alone_and_anothers_database_calls_the_pods_off(
    reason: Reason, pods: int | None
) -> None:
    asked = {"spec": {"replicas": 4}}
    seen = Observed(FLEET, asked, SPEC, problems=(Problem(reason, ""),))
    assert decision.decide(seen, None, Cluster(), Timing()).replicas == pods
    first = replace(seen, stateful_set=None)
    assert decision.decide(first, None, Cluster(), Timing()).replicas is None


def test_it_loads_the_database_no_more_because_the_fleet_is_unwell_for_long() -> None:
    failed = Growth(None, 5, NOON + timedelta(minutes=50), 3, "no room")
    assert after(6, 4, growth=failed) == 30, "held back: nothing is tried before retry_after"
    assert after(6, 3, growth=failed) == 2, "held back, and on the way to the four that can be had"
    assert after(6, 4, growth=replace(failed, retry_after=NOON)) == 2, "tried again"
    assert after(4, 4, {2: 301.0}) == 30
    assert after(4, 4, {2: 4000.0, 3: 10.0}) == 2
