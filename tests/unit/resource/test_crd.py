"""The CRD is what the models say, in both places where it is kept, and a structural schema throughout."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from warmup_core import crd

ROOT = Path(__file__).parents[3]
SCHEMA: dict[str, Any] = crd.build()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


@pytest.mark.parametrize("kept", ["crds/warmupfleets.yaml", "helm/warmup-fleet/files/warmupfleets.yaml"])
def test_the_file_is_what_the_models_say(kept: str) -> None:
    assert (ROOT / kept).read_text() == crd.render(), "the models have changed: run `make crd`"


def fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    if "items" in node:
        yield from fields(node["items"], f"{path}[]")


@pytest.mark.parametrize(("path", "field"), list(fields(SCHEMA)))
def test_every_field_has_one_sentence_and_a_type(path: str, field: dict[str, Any]) -> None:
    assert field["type"] in {"object", "array", "string", "integer", "boolean"}, path
    if path != ".metadata":
        assert field["description"].endswith("."), path
        assert len(field["description"]) <= 130, path


def test_no_word_of_pydantic_that_a_structural_schema_refuses_is_left() -> None:
    text = yaml.safe_dump(SCHEMA)
    for word in ("$ref", "anyOf", "additionalProperties: ", "title:", "const:", "exclusiveM"):
        assert word not in text, word


def test_a_field_that_cannot_be_translated_is_refused_by_its_path() -> None:
    with pytest.raises(ValueError, match=r"spec\.x: no translation for \['multipleOf'\]"):
        crd.structural({"type": "integer", "multipleOf": 2}, {}, "spec.x")
    with pytest.raises(ValueError, match=r"spec\.x: only `X \| None`"):
        crd.structural({"anyOf": [{"type": "integer"}, {"type": "string"}]}, {}, "spec.x")
