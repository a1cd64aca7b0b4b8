"""What a pod's container is given: its environment and the files of its volumes, from the manifest. Pure, no I/O.

Manifests are plain dicts as the API answers them. `Objects` are the Secrets and ConfigMaps a pod refers to, read
beforehand; None stands for one that does not exist.
Failure: `MissingInput` as long as an object or a key is missing. What a real kubelet would do and this one cannot
is refused by `unsupported`, so that no test passes for a wrong reason.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

Manifest = Mapping[str, Any]


_FIELDS = (
    r"metadata\.(name|namespace|uid|labels\[|annotations\[)|spec\.(nodeName|serviceAccountName)|status\.podIP"
)


class Reference(NamedTuple):
    kind: Literal["secrets", "configmaps"]
    name: str

    def __str__(self) -> str:
        return f'{self.kind.removesuffix("s")} "{self.name}"'


Objects = Mapping[Reference, Mapping[str, bytes] | None]


class MissingInput(Exception):
    """The container cannot start yet; `reason` is the one a real kubelet reports while it waits."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def contents(item: Manifest) -> dict[str, bytes]:
    """The keys and values of a Secret or ConfigMap as the API answers it."""
    encoded = item.get("data" if item.get("kind") == "Secret" else "binaryData") or {}
    plain = {} if item.get("kind") == "Secret" else item.get("data") or {}
    return {key: base64.b64decode(value) for key, value in encoded.items()} | {
        key: value.encode() for key, value in plain.items()
    }


def references(pod: Manifest) -> set[Reference]:
    """The Secrets and ConfigMaps that the pod's environment and volumes name."""
    found = {
        reference
        for container in pod["spec"]["containers"]
        for variable in container.get("env", [])
        for reference, _ in _key_reference(variable)
    }
    return found | {
        reference for volume in pod["spec"].get("volumes", []) for reference, _ in _sources(volume)
    }


def environment(pod: Manifest, container: Manifest, address: str, objects: Objects) -> dict[str, str]:
    """The container's environment; `address` is the pod's IP. Raises MissingInput."""
    values: dict[str, str] = {}
    for variable in container.get("env", []):
        name, source = variable["name"], variable.get("valueFrom", {})
        if "fieldRef" in source:
            values[name] = _field(pod, source["fieldRef"]["fieldPath"], address)
        elif source:
            [(reference, selector)] = _key_reference(variable)
            data, optional = objects[reference], selector.get("optional", False)
            if data is not None and selector["key"] in data:
                values[name] = data[selector["key"]].decode()
            elif not optional:
                what = reference if data is None else f'key "{selector["key"]}" of {reference}'
                raise MissingInput("CreateContainerConfigError", f"{what} not found")
        else:
            # $(NAME) stands for an earlier variable, as in a real pod.
            text = variable.get("value", "")
            values[name] = re.sub(r"\$\((\w+)\)", lambda found: values.get(found[1], found[0]), text)
    return values


def volume_files(volume: Manifest, objects: Objects) -> dict[str, bytes]:
    """The files of one volume by relative path. Raises MissingInput, for which a real pod waits in creation."""
    files: dict[str, bytes] = {}
    for reference, source in _sources(volume):
        data = objects[reference]
        if data is None:
            if not source.get("optional", False):
                raise MissingInput("ContainerCreating", f"{reference} not found")
            continue
        items = source.get("items") or [{"key": key, "path": key} for key in data]
        for item in items:
            if item["key"] in data:
                files[item["path"]] = data[item["key"]]
            elif not source.get("optional", False):
                raise MissingInput("ContainerCreating", f'key "{item["key"]}" of {reference} not found')
    return files


def unsupported(pod: Manifest) -> list[str]:
    """The parts of the manifest that the test kubelet cannot honour, as paths in it."""
    spec = pod["spec"]
    found = ["spec.initContainers"] if spec.get("initContainers") else []
    if len(spec["containers"]) != 1:
        found.append("spec.containers: more than one")
    for container in spec["containers"]:
        found += [f"container {key}" for key in ("command", "envFrom", "lifecycle") if container.get(key)]
        found += [
            f"{mount['mountPath']}: subPath"
            for mount in container.get("volumeMounts", [])
            if "subPath" in mount
        ]
        found += [
            f"env {variable['name']}: {kind}"
            for variable in container.get("env", [])
            for kind in variable.get("valueFrom", {})
            if kind not in ("fieldRef", "secretKeyRef", "configMapKeyRef")
        ]
        found += [
            f"env {variable['name']}: {variable['valueFrom']['fieldRef']['fieldPath']}"
            for variable in container.get("env", [])
            if "fieldRef" in variable.get("valueFrom", {})
            and not re.match(_FIELDS, variable["valueFrom"]["fieldRef"]["fieldPath"])
        ]
        found += [
            f"{probe} without httpGet"
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
            if probe in container and "httpGet" not in container[probe]
        ]
    for volume in spec.get("volumes", []):
        sources = volume["projected"]["sources"] if "projected" in volume else [volume]
        kinds = {kind for source in sources for kind in source} - {"name"}
        found += [
            f"volume {volume['name']}: {kind}" for kind in sorted(kinds - {"secret", "configMap", "emptyDir"})
        ]
    return found


def _key_reference(variable: Manifest) -> Iterator[tuple[Reference, Manifest]]:
    source = variable.get("valueFrom", {})
    if selector := source.get("secretKeyRef"):
        yield Reference("secrets", selector["name"]), selector
    if selector := source.get("configMapKeyRef"):
        yield Reference("configmaps", selector["name"]), selector


def _sources(volume: Manifest) -> Iterator[tuple[Reference, Manifest]]:
    for source in volume["projected"]["sources"] if "projected" in volume else [volume]:
        if secret := source.get("secret"):
            # A volume says secretName, a part of a projected volume says name.
            yield Reference("secrets", secret.get("secretName") or secret["name"]), secret
        if config_map := source.get("configMap"):
            yield Reference("configmaps", config_map["name"]), config_map


def _field(pod: Manifest, path: str, address: str) -> str:
    """The downward API: a field of the pod, or one label or annotation as metadata.labels['KEY']."""
    if path.startswith("status.podIP"):
        return address
    if keyed := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str(pod["metadata"].get(keyed[1], {}).get(keyed[2], ""))
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, {})
    return value if isinstance(value, str) else ""
