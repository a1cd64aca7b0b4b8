"""A WarmupFleet's manifest as a person writes it, read without an API server: in a pull request, on a laptop. Pure.

Held to the same fields, bounds and rules as the API server holds it to. Fails: ``Refused`` with every fault and its path.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from warmup_core import spec_rules
from warmup_core.spec import WarmupFleetSpec
from warmup_core.types import API_VERSION, KIND, Refused

Json = dict[str, Any]

_TAG: Final = "tag:yaml.org,2002:"
_TOP: Final = {"apiVersion", "kind", "metadata", "spec", "status"}


class _Loader(yaml.SafeLoader):
    """Reads as kubectl does: ``18:00`` is a text, not 1080, the base-60 number of YAML 1.1."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {f"{_TAG}int", f"{_TAG}float"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    f"{_TAG}float", re.compile(r"^[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?$"), list("-+0123456789.")
)


@dataclass(frozen=True)
class Manifest:
    """One WarmupFleet. ``namespace`` is empty where the manifest leaves it to kubectl."""

    namespace: str
    name: str
    spec: WarmupFleetSpec


def find(text: str) -> Json:
    """The one WarmupFleet among the documents of a YAML file, as it stands. Raises Refused."""
    try:
        documents = [it for it in yaml.load_all(text, _Loader) if it is not None]
    except yaml.YAMLError as error:
        raise Refused("The manifest is not YAML.", [" ".join(str(error).split())]) from None
    fleets = [it for it in documents if isinstance(it, dict) and it.get("kind") == KIND]
    if len(fleets) != 1:
        raise Refused(
            f"The manifest holds {len(fleets) or 'no'} documents of kind {KIND}; one is needed, as in examples/fleet.yaml."
        )
    return fleets[0]


def read(document: Json, called: Mapping[str, str] | None = None) -> Manifest:
    """A WarmupFleet from its document. ``called``: other names for paths, such as an option's. Raises Refused."""
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name, namespace = str(metadata.get("name", "")), str(metadata.get("namespace", ""))
    faults = [f"metadata.name {name!r}: {message}" for message in spec_rules.broken("", name)]
    if document.get("apiVersion") != API_VERSION:
        faults.append(f"apiVersion is {document.get('apiVersion')!r}; this release reads {API_VERSION}.")
    faults += [f"{path} is no field of a {KIND}." for path in document if path not in _TOP]
    raw = document.get("spec")
    try:
        spec = WarmupFleetSpec.model_validate(raw, strict=True)
        faults += [f"spec.{message}" for message in spec_rules.broken("spec", spec)]
    except ValidationError as error:
        faults += [_sentence(fault["loc"], fault["msg"], called or {}) for fault in error.errors()]
    faults += _broken(raw if isinstance(raw, dict) else {})
    if faults:
        raise Refused(f"The {KIND} cannot be used.", faults)
    return Manifest(namespace, name, spec)


def _broken(raw: Json) -> Iterator[str]:
    """What breaks a rule, in each part of the spec that can be read at all."""
    for path in spec_rules.RULES:
        _, *names = path.split(".")
        if not names:
            continue
        model: Any = WarmupFleetSpec.model_fields[names[0]].annotation
        try:
            found: Any = TypeAdapter(model).validate_python(raw.get(names[0], {}), strict=True)
        except ValidationError:
            continue
        for name in names[1:]:
            found = getattr(found, name)
        yield from (f"spec.{message}" for message in spec_rules.broken(path, found))


def _sentence(where: tuple[int | str, ...], message: str, called: Mapping[str, str]) -> str:
    path = ".".join(["spec", *map(str, where)])
    return f"{called.get(path, path)}: {message}"
