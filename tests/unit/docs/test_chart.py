"""The chart's generated files are what `make crd` writes, and its schema knows each value and no other."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from docs import chart, dashboard
from warmup_core.types import Refused

VALUES = (chart.CHART / "values.yaml").read_text()
SCHEMA = json.loads((chart.CHART / "values.schema.json").read_text())
FREE = {"global", "affinity.nodeAffinity", "affinity.podAffinity", "affinity.podAntiAffinity"}
"""What the API server judges, and what is any parent chart's."""


def objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if schema.get("type") == "object":
        yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from objects(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from objects(schema["items"], f"{path}[]")


def test_the_readme_is_what_make_crd_writes() -> None:
    assert (chart.CHART / "README.md").read_text() == chart.render(VALUES), "run `make crd`"


def test_the_dashboard_is_what_make_crd_writes() -> None:
    assert (chart.CHART / "files" / "dashboard.json").read_text() == dashboard.render(), "run `make crd`"


def test_a_value_without_a_comment_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        chart.render("# Said.\na: 1\nb:\n  # Said too.\n  c: 2\n  d: 3\ne: 4\n")
    assert refused.value.faults == ["b.d", "e"]


def test_the_schema_knows_every_value_and_no_other() -> None:
    def names(values: dict[str, Any], schema: dict[str, Any], path: str) -> None:
        known = set(schema["properties"]) - {"global"}
        assert set(values) == known, path
        for name, value in values.items():
            child = schema["properties"][name]
            if (
                isinstance(value, dict)
                and child.get("additionalProperties") is False
                and value
                and name != "resources"
            ):
                names(value, child, f"{path}.{name}")

    names(yaml.safe_load(VALUES), SCHEMA, "values")


def test_a_typo_is_refused_everywhere() -> None:
    """Nowhere an object of the schema takes a name that it does not know, but for maps of names that are free to choose."""
    for path, schema in objects(SCHEMA):
        if path not in FREE and not path.endswith("matchExpressions[]"):
            assert schema.get("additionalProperties") is False or "type" in schema["additionalProperties"], (
                path
            )
