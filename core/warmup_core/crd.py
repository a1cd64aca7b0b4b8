"""The CustomResourceDefinition, built from the models of ``spec`` as a structural schema. Pure.

``python -m warmup_core.crd`` prints it; ``make crd`` writes ``crds/warmupfleets.yaml``; a test holds the two equal. What
pydantic writes and a structural schema refuses (``$ref``, nullable ``anyOf``, ``additionalProperties: false``, ``title``) is
resolved here; anything else unknown raises, so that a new kind of field cannot slip into the CRD half translated.
"""

from typing import Any

import yaml

from warmup_core.spec import WarmupFleetSpec
from warmup_core.spec_rules import RULES
from warmup_core.spec_status import WarmupFleetStatus
from warmup_core.types import API_VERSION, GROUP, KIND, PLURAL, VERSION

_KEPT = {
    "type", "description", "default", "pattern", "enum", "format", "items", "minimum", "maximum", "minLength",
    "maxLength", "minItems", "maxItems", "required", "nullable",
}  # fmt: skip

COLUMNS: list[tuple[str, str, str, int]] = [
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("Status", "string", '.status.conditions[?(@.type=="Ready")].reason', 0),
    ("Workers", "string", ".status.workers.summary", 0),
    ("Mailboxes", "integer", ".status.mailboxes.total", 0),
    ("Due", "integer", ".status.today.due", 0),
    ("Sent", "integer", ".status.today.sent", 0),
    ("Behind", "integer", ".status.today.behind", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Epoch", "integer", ".status.epoch", 1),
    ("In-Doubt", "integer", ".status.today.inDoubt", 1),
    ("Yesterday", "string", ".status.yesterday", 1),
    ("Sized-By", "string", ".status.sizing.by", 1),
    ("Message", "string", ".status.message", 1),
]
"""What ``kubectl get warmupfleets`` shows: name, type, JSONPath, priority (1: only with ``-o wide``)."""


def structural(schema: dict[str, Any], definitions: dict[str, Any], path: str) -> dict[str, Any]:
    """One pydantic JSON schema node as a structural OpenAPI v3 node, with its CEL rules."""
    node = dict(schema)
    if reference := node.pop("$ref", None):
        node = {**definitions[reference.rpartition("/")[2]], **node}
    if choices := node.pop("anyOf", None):
        rest = [choice for choice in choices if choice != {"type": "null"}]
        if len(rest) != 1 or len(choices) != 2:
            raise ValueError(f"{path}: only `X | None` can be translated, got {choices}")
        node = {**structural(rest[0], definitions, path), **node, "nullable": True}
        if node.get("default", 0) is None:
            del node["default"]
    if "const" in node:
        node["enum"] = [node.pop("const")]
    node.pop("title", None)
    further = node.pop("additionalProperties", None)
    if further is True:
        node["x-kubernetes-preserve-unknown-fields"] = True
    elif further:
        node["additionalProperties"] = structural(further, definitions, f"{path}{{}}")
    properties = node.pop("properties", None)
    rules = node.pop("x-kubernetes-validations", None)
    if unknown := set(node) - _KEPT - {"additionalProperties", "x-kubernetes-preserve-unknown-fields"}:
        raise ValueError(f"{path}: no translation for {sorted(unknown)}")
    if "items" in node:
        node["items"] = structural(node["items"], definitions, f"{path}[]")
    if properties is not None:
        node["properties"] = {
            name: structural(child, definitions, f"{path}.{name}") for name, child in properties.items()
        }
        if path.startswith("spec.") and not node.get("required"):
            # Without it the API server would not go into an object that the user left out, and fill in nothing. It is
            # written out, because the API server holds it to the CEL rules before it fills anything in.
            node["default"] = {
                name: child["default"] for name, child in node["properties"].items() if "default" in child
            }
    stated = [{"rule": rule, "message": message} for rule, message in RULES.get(path, [])] or rules
    if stated:
        node["x-kubernetes-validations"] = stated
    return node


def schema_of(model: type[WarmupFleetSpec | WarmupFleetStatus], path: str) -> dict[str, Any]:
    """The structural schema of a whole model."""
    raw = model.model_json_schema(by_alias=True)
    definitions = raw.pop("$defs", {})
    return structural(raw, definitions, path)


def build() -> dict[str, Any]:
    """The CRD as a plain dict."""
    spec = schema_of(WarmupFleetSpec, "spec")
    status = schema_of(WarmupFleetStatus, "status")
    spec["description"] = "What the fleet should be."
    status["description"] = "What the fleet is, as the operator saw it last."
    conditions = status["properties"]["conditions"]
    conditions["x-kubernetes-list-type"] = "map"
    conditions["x-kubernetes-list-map-keys"] = ["type"]
    columns = [
        {"name": name, "type": kind, "jsonPath": path, "priority": priority}
        for name, kind, path, priority in COLUMNS
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "warmup-fleet"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": KIND, "plural": PLURAL, "singular": "warmupfleet", "shortNames": ["wuf"]},
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.workers.replicas",
                            "statusReplicasPath": ".status.workers.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": columns,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": f"A fleet of mailboxes kept warm ({API_VERSION}).",
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string", "description": "Version of the API."},
                                "kind": {"type": "string", "description": "Kind of the object."},
                                "metadata": {"type": "object"},
                                "spec": spec,
                                "status": status,
                            },
                            "x-kubernetes-validations": [
                                {"rule": rule, "message": message} for rule, message in RULES[""]
                            ],
                        }
                    },
                }
            ],
        },
    }


def render() -> str:
    """The CRD as YAML, with the line that says where it comes from."""
    text: str = yaml.safe_dump(build(), sort_keys=False, width=110, allow_unicode=True)
    return "# Generated from core/warmup_core/spec.py and spec_status.py by `make crd`. Do not edit.\n" + text


if __name__ == "__main__":
    print(render(), end="")
