"""Every figure of a fleet's status has its series, and a fleet that is gone leaves none."""

import dataclasses
from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from tests.unit.operator_rules.test_readiness import view
from warmup_core.spec_status import SizingStatus, WorkersStatus
from warmup_operator.metrics import Metrics
from warmup_operator.status import Figures, Reason, Verdict
from warmup_operator.strain import Strain

CONDITIONS = {
    "Ready": Verdict(True, Reason.RUNNING, ""),
    "DatabaseReachable": Verdict(True, Reason.REACHABLE, ""),
    "Resizing": Verdict(False, Reason.SETTLED, ""),
    "Paused": Verdict(False, Reason.SENDING, ""),
    "Degraded": Verdict(None, Reason.UNKNOWN, ""),
}


def shown(metrics: Metrics, yesterday: str | None = "99.98%", by: str = "Mails") -> dict[str, float]:
    """The series of one fleet, after one look at it."""
    seen = view(4)
    demand = dataclasses.replace(seen.demand, yesterday=yesterday, left=timedelta(hours=2))
    seen = dataclasses.replace(seen, demand=demand, strain=Strain(connections=12, unpartitioned=3))
    figures = Figures(
        epoch=3,
        workers=WorkersStatus(summary="4/4", wanted=4, ready=4, replicas=4),
        sizing=SizingStatus(by=by, wanted=4, demand_per_day=40, capacity_per_worker=10, reason=""),
        mailboxes=demand.mailboxes,
        today=demand.today,
        yesterday=yesterday,
    )
    metrics.show("mail", "main", figures, CONDITIONS, seen)
    metrics.looked("mail", "main")
    return series(metrics)


def series(metrics: Metrics) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name.startswith("warmup_fleet_"):
                labels = {k: v for k, v in sample.labels.items() if k not in {"namespace", "name"}}
                found[
                    sample.name.removeprefix("warmup_fleet_") + "".join(f" {it}" for it in labels.values())
                ] = sample.value
    return found


def test_every_declared_series_is_shown() -> None:
    metrics = Metrics()
    declared = {it.name for it in metrics.registry.collect() if it.name.startswith("warmup_fleet_")}
    assert declared == {f"warmup_fleet_{name.split()[0]}" for name in shown(metrics)}


def test_what_the_database_and_the_sizing_tell() -> None:
    found = shown(Metrics())
    assert found["attainment_yesterday_ratio"] == 0.9998
    assert found["sending_seconds_left"] == 7200
    assert (found["database_connections"], found["database_connections_budget"]) == (12, 150)
    assert found["database_rows_without_partition"] == 3
    assert (found["sizing_workers Mails"], found["sizing_mails_per_worker"]) == (4, 10)
    assert (found["condition Ready"], found["condition Degraded"], found["ready Running"]) == (1, 0, 1)


def test_what_is_no_more_so_goes() -> None:
    metrics = Metrics()
    shown(metrics)
    later = shown(metrics, yesterday=None, by="Min")
    assert "attainment_yesterday_ratio" not in later
    assert {name for name in later if name.startswith("sizing_workers")} == {"sizing_workers Min"}
    metrics.forget("mail", "main")
    assert series(metrics) == {}
