"""What the dashboard and the alerts ask for is what the operator and the workers export."""

import re
from collections.abc import Iterator

import pytest
import yaml
from prometheus_client import CollectorRegistry

from docs import chart, dashboard, panels
from warmup_core import database
from warmup_core.credentials import Keys
from warmup_operator.metrics import Metrics
from warmup_worker.engine import Engine
from warmup_worker.exposition import Exposition
from warmup_worker.settings import WorkerSettings

_METRIC = re.compile(r"\bwarmup_[a-z_]+")


def names(registry: CollectorRegistry) -> Iterator[str]:
    """Every name that a registry's series can have, also of those that have none yet."""
    for metric in registry.collect():
        endings = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_count", "_sum"),
            "info": ("_info",),
        }
        yield from (metric.name + ending for ending in endings.get(metric.type, ("",)))


@pytest.fixture(scope="module")
def exported() -> set[str]:
    url = database.parse_url("postgresql://nobody@127.0.0.1:1/none")
    settings = WorkerSettings(
        number=1,
        url=url,
        current_url=lambda: url,
        keys=lambda: Keys({}),
        ca_file=None,
        telemetry_host="127.0.0.1",
        telemetry_port=0,
        grace_seconds=5.0,
    )
    worker = Engine(settings, "client.example")
    Exposition(worker.report, worker.metrics)
    return {*names(worker.metrics.registry), *names(Metrics().registry)}


def test_every_metric_of_a_panel_is_exported(exported: set[str]) -> None:
    for _, row in panels.ROWS:
        for panel in row:
            for query in panel.queries:
                asked = set(_METRIC.findall(query.expression))
                assert asked, panel.title
                assert asked <= exported, panel.title


def test_every_metric_of_an_alert_is_exported(exported: set[str]) -> None:
    rules = yaml.safe_load((chart.CHART / "files" / "alerts.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            asked = set(_METRIC.findall(rule["expr"]))
            assert asked, rule["alert"]
            assert asked <= exported, rule["alert"]


def test_panels_neither_overlap_nor_stand_beside_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard.build()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= dashboard.WIDTH
        assert not cells & taken, panel["title"]
        taken |= cells


def test_grafana_can_tell_panels_and_queries_apart_and_asks_the_source_that_is_chosen() -> None:
    built = dashboard.build()
    panels_ = built["panels"]
    assert len({panel["id"] for panel in panels_}) == len(panels_)
    assert [it["name"] for it in built["templating"]["list"]] == ["datasource", "namespace", "fleet"]
    assert built["templating"]["list"][0]["type"] == "datasource"
    sources = [it["datasource"] for it in built["templating"]["list"][1:]]
    for panel in panels_:
        targets = panel.get("targets", [])
        assert len({target["refId"] for target in targets}) == len(targets)
        sources += [it["datasource"] for it in (*targets, *([panel] if targets else []))]
    assert all(it == {"type": "prometheus", "uid": "${datasource}"} for it in sources)


def test_a_rate_is_taken_over_several_scrapes() -> None:
    """Grafana makes $__rate_interval four times the step; without one of ours it goes by the data source, which may say 15 s."""
    values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
    for panel in dashboard.build()["panels"]:
        for target in panel.get("targets", []):
            assert target.get("interval") == values["serviceMonitor"]["interval"], panel["title"]


def test_the_fleets_figures_are_never_summed_and_the_workers_always() -> None:
    """field-038: a sum over replicas of what is true of the whole fleet is wrong by their number."""
    for _, row in panels.ROWS:
        for panel in row:
            for query in panel.queries:
                of_fleet = re.findall(r"max(?: by \(\w+\) )?\(warmup_fleet_", query.expression)
                of_workers = re.findall(
                    r"sum(?: by \([\w, ]+\) )?\((?:rate\()?warmup_worker_", query.expression
                )
                assert len(of_fleet) == query.expression.count("warmup_fleet_"), panel.title
                assert len(of_workers) == query.expression.count("warmup_worker_"), panel.title
