"""What a Prometheus in the node knows of an installation, and what the dashboard that the chart brought would show of it.

Pure but for the questions, which ``monitoring`` carries. A panel's query is asked as Grafana asks it: its variables set, over a
range of time, or for one instant where the panel is a table.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.end_to_end.monitoring import Monitoring, Question, Target

Json = dict[str, Any]

_STEP_SECONDS = 2


@dataclass(frozen=True)
class Shown:
    """What one query of a panel brought."""

    panel: str
    legend: str
    values: int
    """Numbers in it, over all its series; NaN is none."""
    unnamed: int
    """Series that lack a label which the legend names."""


@dataclass(frozen=True)
class Watched:
    """What Prometheus answered."""

    targets: list[Target]
    alerts: dict[str, tuple[str, str]]
    """The health and the state of each alerting rule."""
    series: dict[str, list[Json]]
    """What each of ``asked`` brought now."""
    variables: dict[str, list[str]]
    """What each variable of the dashboard can be."""
    shown: list[Shown]

    @property
    def quiet(self) -> bool:
        """Whether every alert was evaluated and the expression of none holds."""
        return all(it == ("ok", "inactive") for it in self.alerts.values())


def watch(
    monitoring: Monitoring, dashboard: Json, asked: Sequence[str], since: float, now: float, interval: float
) -> Watched:
    """Ask. ``since`` and ``now``: seconds since the epoch; ``interval``: seconds from one scrape to the next.

    All that has no range is asked of one instant, so that no scrape comes between two answers.
    """
    instants = monitoring.ask(*(_at(it, now) for it in asked))
    [rules] = monitoring.ask(("rules", [("type", "alert")]))
    chosen: dict[str, list[str]] = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            [found] = monitoring.ask(
                _values_of(_filled(variable["query"]["query"], _first(chosen), interval))
            )
            chosen[variable["name"]] = found
    panels = [(panel, target) for panel in dashboard["panels"] for target in panel.get("targets", [])]
    answers = monitoring.ask(
        *(
            _question(target, _filled(target["expr"], _first(chosen), interval), since, now)
            for _, target in panels
        )
    )
    return Watched(
        targets=monitoring.targets(),
        alerts={
            rule["name"]: (rule["health"], rule["state"])
            for group in rules["groups"]
            for rule in group["rules"]
        },
        series={it: answer["result"] for it, answer in zip(asked, instants, strict=True)},
        variables=chosen,
        shown=[
            _shown(panel["title"], target["legendFormat"], answer["result"])
            for (panel, target), answer in zip(panels, answers, strict=True)
        ],
    )


def _first(chosen: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: values[0] for name, values in chosen.items() if values}


def _filled(text: str, variables: Mapping[str, str], interval: float) -> str:
    # Four scrapes, as Grafana has it.
    for name, value in {**variables, "__rate_interval": f"{4 * interval:.0f}s"}.items():
        text = text.replace(f"${name}", value)
    return text


def _values_of(query: str) -> Question:
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    assert found, query
    return f"label/{found[2]}/values", [("match[]", found[1])]


def _question(target: Json, expression: str, since: float, now: float) -> Question:
    if target["instant"]:
        return _at(expression, now)
    when = [("start", str(since)), ("end", str(now)), ("step", str(_STEP_SECONDS))]
    return "query_range", [("query", expression), *when]


def _at(expression: str, now: float) -> Question:
    return "query", [("query", expression), ("time", str(now))]


def _shown(panel: str, legend: str, series: Sequence[Json]) -> Shown:
    numbers = [number for it in series for _, number in it.get("values") or [it["value"]]]
    named = re.findall(r"{{(\w+)}}", legend)
    return Shown(
        panel=panel,
        legend=legend,
        values=sum(not math.isnan(float(number)) for number in numbers),
        unnamed=sum(not all(it["metric"].get(label) for label in named) for it in series),
    )
