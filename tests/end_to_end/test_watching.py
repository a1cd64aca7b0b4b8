"""A Prometheus of the Prometheus operator finds our operator and every worker; every panel of the dashboard shows something."""

import pytest
import yaml

from demo.target import NAMESPACE, OPERATOR_NAMESPACE
from docs import chart, panels
from tests.end_to_end.life import Life
from tests.end_to_end.monitoring import Target

pytestmark = pytest.mark.node

EMPTY = {
    "Claims not granted": "a reason has a series once a claim was refused for it, which a resize under load mostly brings",
    "Provider replies that pause more than one mailbox": "no server has refused more than one mailbox",
    "Errors of the operator": "no look has failed",
}
"""Panels that may have nothing to show in a healthy fleet, and why; a zero would be invented."""


def targets(workers: int) -> list[Target]:
    numbers = range(1, workers + 1)
    return [
        *(Target(NAMESPACE, f"main-{number}", "up") for number in numbers),
        Target(OPERATOR_NAMESPACE, "warmup-fleet", "up"),
    ]


def test_each_is_scraped_once(life: Life) -> None:
    """Whether the monitor looks in every namespace, as it does first, or in those that the operator serves."""
    assert life.found == targets(2)
    assert life.watched.targets == targets(3)


def test_prometheus_has_the_figures_of_the_operator_and_of_each_worker(life: Life) -> None:
    series = life.watched.series
    [served] = series["warmup_operator_fleets"]
    assert (served["metric"]["namespace"], served["value"][1]) == (OPERATOR_NAMESPACE, "1")
    [mailboxes] = series["warmup_fleet_mailboxes"]
    assert (mailboxes["metric"]["namespace"], mailboxes["metric"]["name"]) == (NAMESPACE, "main")
    assert mailboxes["value"][1] == "200"
    workers = [it["metric"] for it in series["warmup_worker_build_info"]]
    assert sorted((it["pod"], it["number"]) for it in workers) == [
        (f"main-{number}", str(number)) for number in (1, 2, 3)
    ]
    assert {it["app_kubernetes_io_instance"] for it in workers} == {"main"}


def test_a_sum_over_the_workers_counts_nothing_twice(life: Life) -> None:
    [summed] = life.watched.series["sum(warmup_worker_mailboxes)"]
    assert summed["value"][1] == "200"
    [apart] = life.watched.series["sum(warmup_worker_due) - max(warmup_fleet_mails_due)"]
    assert apart["value"][1] == "0"


def test_prometheus_evaluates_every_alert_and_none_begins_to_fire(life: Life) -> None:
    rules = yaml.safe_load((chart.CHART / "files" / "alerts.yaml").read_text())
    names = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    assert life.watched.alerts == dict.fromkeys(names, ("ok", "inactive"))


def test_the_dashboard_offers_the_fleet(life: Life) -> None:
    assert life.watched.variables == {"namespace": [NAMESPACE], "fleet": ["main"]}


def test_every_panel_shows_something(life: Life) -> None:
    """All but those that rightly have nothing to show."""
    empty = {it.panel for it in life.watched.shown if not it.values}
    assert empty <= set(EMPTY), empty
    assert [it for it in life.watched.shown if it.unnamed] == []


def test_the_table_has_a_row_a_worker(life: Life) -> None:
    [row] = [row for title, row in panels.ROWS if title == "One row a worker"]
    columns = {query.legend for panel in row for query in panel.queries}
    values = {
        it.legend: it.values for it in life.watched.shown if it.legend in columns and it.panel == "Workers"
    }
    assert values == dict.fromkeys(columns, 3)
