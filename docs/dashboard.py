"""Writes the chart's Grafana dashboard: `make crd`. A test holds the file equal, and every metric to be exported. Pure.

What it shows stands in ``docs.panels``; here is the layout. Grafana 10 or later; the schema is that of Grafana's JSON model.
"""

import json
from typing import Any

from docs.panels import ROWS, Panel

Json = dict[str, Any]

WIDTH = 24
"""Columns of Grafana's grid."""
SCRAPE_INTERVAL = "30s"
"""The chart's serviceMonitor.interval: the least step, of which Grafana makes $__rate_interval, four of them."""
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _panel(panel: Panel, number: int, x: int, y: int, height: int) -> Json:
    table = panel.kind == "table"
    targets = [
        {
            "datasource": _SOURCE,
            "refId": query.legend if table else chr(ord("A") + place),
            "expr": query.expression,
            "legendFormat": query.legend or panel.title,
            "interval": SCRAPE_INTERVAL,
            "instant": table,
            "format": "table" if table else "time_series",
        }
        for place, query in enumerate(panel.queries)
    ]
    made: Json = {
        "id": number,
        "title": panel.title,
        "description": panel.about,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": height},
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {},
    }
    if panel.stacked:
        custom = {"stacking": {"mode": "normal"}, "fillOpacity": 40}
        made["fieldConfig"]["defaults"]["custom"] = custom
    if table:
        names = {f"Value #{query.legend}": query.legend.replace("_", " ") for query in panel.queries}
        made["transformations"] = [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names}},
        ]
    return made


def _panels() -> list[Json]:
    """Rows from top to bottom; in a row from left to right, and on where it is full."""
    made: list[Json] = []
    y = 0
    for title, panels in ROWS:
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        made.append(
            {
                "id": len(made) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
        )
        y, x, height = y + 1, 0, 0
        for panel in panels:
            if x + panel.width > WIDTH:
                y, x = y + height, 0
            height = 4 if panel.kind == "stat" else 8
            made.append(_panel(panel, len(made) + 1, x, y, height))
            x += panel.width
        y += height
    return made


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }


def build() -> Json:
    """The dashboard in Grafana's JSON model."""
    variables: list[Json] = [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        _variable("namespace", "Namespace", "label_values(warmup_fleet_mailboxes, namespace)"),
        _variable("fleet", "Fleet", 'label_values(warmup_fleet_mailboxes{namespace="$namespace"}, name)'),
    ]
    return {
        "uid": "warmup-fleet",
        "title": "Warmup Fleet",
        "tags": ["warmup-fleet"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": variables},
        "panels": _panels(),
    }


def render() -> str:
    """The file."""
    return json.dumps(build(), indent=1) + "\n"


if __name__ == "__main__":
    print(render(), end="")
