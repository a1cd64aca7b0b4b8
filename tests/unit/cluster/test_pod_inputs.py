"""A container is given what a real kubelet would give it, or waits, or is refused."""

from typing import Any

import pytest

from tests.cluster.pod_inputs import (
    MissingInput,
    Reference,
    contents,
    environment,
    references,
    unsupported,
    volume_files,
)

URL = Reference("secrets", "database")
SETTINGS = Reference("configmaps", "settings")


def pod(*env: dict[str, Any], volumes: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    container = {"name": "worker", "env": list(env)}
    metadata = {"name": "main-1", "labels": {"apps.kubernetes.io/pod-index": "1"}}
    return {"metadata": metadata, "spec": {"containers": [container], "volumes": list(volumes)}}


def resolve(objects: dict[Reference, dict[str, bytes] | None], *env: dict[str, Any]) -> dict[str, str]:
    manifest = pod(*env)
    assert references(manifest) == set(objects)
    return environment(manifest, manifest["spec"]["containers"][0], "127.1.0.7", objects)


def from_secret(name: str, key: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": "database", "key": key} | options}}


def from_field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def test_variables_come_from_where_the_manifest_says() -> None:
    config = {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}}
    assert resolve(
        {URL: {"url": b"postgresql://"}, SETTINGS: {"colour": b"red"}},
        {"name": "PLAIN", "value": "as it is"},
        {"name": "EMPTY"},
        {"name": "BUILT", "value": "$(PLAIN), $(UNKNOWN)"},
        from_field("NUMBER", "metadata.labels['apps.kubernetes.io/pod-index']"),
        from_field("ADDRESS", "status.podIP"),
        from_field("POD", "metadata.name"),
        from_secret("URL", "url"),
        config,
    ) == {
        "PLAIN": "as it is",
        "EMPTY": "",
        "BUILT": "as it is, $(UNKNOWN)",
        "NUMBER": "1",
        "ADDRESS": "127.1.0.7",
        "POD": "main-1",
        "URL": "postgresql://",
        "COLOUR": "red",
    }


@pytest.mark.parametrize(
    ("secret", "message"),
    [(None, 'secret "database" not found'), ({"other": b""}, 'key "url" of secret "database" not found')],
)
def test_a_variable_without_its_secret_waits_unless_it_is_optional(
    secret: dict[str, bytes] | None, message: str
) -> None:
    with pytest.raises(MissingInput) as problem:
        resolve({URL: secret}, from_secret("URL", "url"))
    assert (problem.value.reason, str(problem.value)) == ("CreateContainerConfigError", message)
    assert resolve({URL: secret}, from_secret("URL", "url", optional=True)) == {}


def test_a_volume_holds_the_keys_or_the_items_named() -> None:
    objects = {URL: {"url": b"postgresql://", "owner": b"root"}}
    assert volume_files({"secret": {"secretName": "database"}}, objects) == objects[URL]
    items = [{"key": "url", "path": "deep/url"}]
    projected = {"projected": {"sources": [{"secret": {"name": "database", "items": items}}]}}
    assert volume_files(projected, objects) == {"deep/url": b"postgresql://"}


@pytest.mark.parametrize(
    ("secret", "message"),
    [(None, 'secret "database" not found'), ({"other": b""}, 'key "url" of secret "database" not found')],
)
def test_a_volume_without_its_secret_waits_unless_it_is_optional(
    secret: dict[str, bytes] | None, message: str
) -> None:
    source = {"secretName": "database", "items": [{"key": "url", "path": "url"}]}
    with pytest.raises(MissingInput) as problem:
        volume_files({"secret": source}, {URL: secret})
    assert (problem.value.reason, str(problem.value)) == ("ContainerCreating", message)
    assert volume_files({"secret": source | {"optional": True}}, {URL: secret}) == {}


def test_contents_are_bytes_whatever_the_kind() -> None:
    assert contents({"kind": "Secret", "data": {"url": "cG9zdGdyZXM="}}) == {"url": b"postgres"}
    config_map = {"kind": "ConfigMap", "data": {"colour": "röt"}, "binaryData": {"blob": "AAE="}}
    assert contents(config_map) == {"colour": "röt".encode(), "blob": b"\x00\x01"}
    assert contents({"kind": "Secret"}) == {}


def test_what_would_be_done_wrongly_is_named() -> None:
    token = {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    manifest = pod(from_field("HOST", "status.hostIP"), volumes=(token, {"name": "scratch", "emptyDir": {}}))
    manifest["spec"]["containers"][0] |= {"command": ["sh"], "livenessProbe": {"tcpSocket": {"port": 1}}}
    assert unsupported(manifest) == [
        "container command",
        "env HOST: status.hostIP",
        "livenessProbe without httpGet",
        "volume token: serviceAccountToken",
    ]
    assert unsupported(pod(from_field("ADDRESS", "status.podIP"))) == []
