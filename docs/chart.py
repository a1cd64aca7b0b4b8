"""Writes the chart's README from the comments of its values: `make crd`. A test holds the page equal to them. Pure.

The form of values.yaml that it reads: a comment stands above its value, at the same depth; a nested value has its own.
A blank line ends a comment that belongs to no value. Fails: ``Refused`` that names the values without a comment.
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from warmup_core.types import Refused

CHART = Path(__file__).parents[1] / "helm" / "warmup-fleet"

_HEAD = """# Warmup Fleet's chart

Generated from the comments of values.yaml by `make crd`. Do not edit.

```sh
helm install warmup ./helm/warmup-fleet --namespace warmup-system --create-namespace
helm test warmup --namespace warmup-system
```
It makes the operator, its rights and the CRD; fleets are made with manifests, and the operator makes their workers. What comes
next stands in the notes that `helm install` prints. Uninstalling keeps the CRD, and with it every fleet and its workers.

The operator and the workers log in to nothing that the chart makes: a fleet's database URL and keys are Secrets that exist
already, named by its manifest, and so are the image pull secrets. Only `postgresql.trial=true` brings a database along, for a
first look: not for production.

## Values
A value that is not listed here is refused.

| value | default | |
|---|---|---|
"""

_KEY = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z]+):(?P<rest>.*)")


def comments(text: str) -> dict[str, str]:
    """The comment above each value, by its dotted path."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    said: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            said.append(line.lstrip()[1:].strip())
        elif key := _KEY.fullmatch(line):
            depth = len(key["indent"])
            path = [it for it in path if it[0] < depth] + [(depth, key["name"])]
            if said:
                found[".".join(name for _, name in path)] = " ".join(said)
            said = []
        else:
            said = []
    return found


def rows(text: str) -> list[tuple[str, Any, str]]:
    """(path, default, description) of every value that a person sets. Raises Refused."""
    described = comments(text)
    found: list[tuple[str, Any, str]] = []

    def walk(values: dict[str, Any], above: str) -> None:
        for name, value in values.items():
            path = f"{above}{name}"
            if path in described or not isinstance(value, dict):
                found.append((path, value, described.get(path, "")))
            else:
                walk(value, f"{path}.")

    walk(yaml.safe_load(text), "")
    if bare := [path for path, _, description in found if not description]:
        raise Refused("values.yaml has values without a comment above them.", bare)
    return found


def render(text: str) -> str:
    """The whole page for a values.yaml."""
    lines = [
        f"| `{path}` | `{json.dumps(default)}` | {description} |" for path, default, description in rows(text)
    ]
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render((CHART / "values.yaml").read_text()), end="")
