"""Writes docs/reference.md from the CRD and the operator's reasons: `make crd`. A test holds the page equal to them. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from warmup_core import crd
from warmup_core.types import API_VERSION, KIND
from warmup_operator.status import SENTENCES

Json = dict[str, Any]

_HEAD = f"""# Reference

Generated from the CRD and the operator's reasons by `make crd`. Do not edit. `kubectl explain warmupfleet.spec` says the same.

`{KIND}`, `{API_VERSION}`, short name `wuf`.
"""


def _kind(schema: Json) -> str:
    if "enum" in schema:
        return " or ".join(f"`{choice}`" for choice in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}"
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = f", {low} to {high}" if low is not None and high is not None else ""
    return f"{schema['type']}{bounds}"


def _default(schema: Json) -> str:
    """What stands in the column; an object's default is that of its fields."""
    default = schema.get("default")
    if default in (None, "", []) or isinstance(default, dict):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _fields(schema: Json, path: str) -> Iterator[tuple[str, str, str, str]]:
    """(path, type, default, sentence) of every field below, depth first."""
    required = set(schema.get("required", []))
    for name, child in schema.get("properties", {}).items():
        where = f"{path}.{name}"
        inner = child["items"] if child.get("type") == "array" else child
        yield where, _kind(child), "required" if name in required else _default(child), child["description"]
        yield from _fields(inner, where if inner is child else f"{where}[]")


def _rules(schema: Json, path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", []):
        yield path, rule["message"]
    for name, child in schema.get("properties", {}).items():
        yield from _rules(child, f"{path}.{name}" if path else name)


def render() -> str:
    """The whole page."""
    whole = crd.build()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    lines = [_HEAD]
    for part in ("spec", "status"):
        rows = _fields(whole["properties"][part], part)
        lines += [f"## {part}", whole["properties"][part]["description"], ""]
        if part == "spec":
            lines += ["| field | type | default | |", "|---|---|---|---|"]
            lines += [
                f"| `{path}` | {kind} | {default} | {sentence} |" for path, kind, default, sentence in rows
            ]
        else:
            lines += ["| field | type | |", "|---|---|---|"]
            lines += [f"| `{path}` | {kind} | {sentence} |" for path, kind, _, sentence in rows]
        lines.append("")
    lines += ["## What the API server refuses", ""]
    lines += [f"- `{path or 'metadata'}`: {message}." for path, message in _rules(whole, "")]
    lines += [
        "",
        "## Reasons",
        "The closed set of reasons of the conditions Ready, QuotaFeasible, DatabaseReachable, Resizing, Paused and Degraded.",
        "",
    ]
    lines += ["| reason | |", "|---|---|"]
    lines += [f"| `{reason}` | {sentence} |" for reason, sentence in SENTENCES.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render(), end="")
