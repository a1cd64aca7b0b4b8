"""The only caller of the Kubernetes API: plain dicts in and out, server-side apply under one field manager.

Owns the client and the paths of the few kinds that the operator touches; nothing is discovered, cached or watched here.
Invariants: every request ends within ``_TIMEOUT``; a write names our field manager; the caller decides whether to write.
Fails: ``KubernetesError`` with the server's own sentence; status 0 means that no answer came. Nothing is retried here: the
fleet's loop comes round again.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import DynamicApiError
from kubernetes.aio.dynamic.resource import Resource
from prometheus_client import Counter

from warmup_core.types import GROUP, KIND, PLURAL, VERSION
from warmup_operator.resources import MANAGER
from warmup_operator.status import Turn

Json = dict[str, Any]

_TIMEOUT = 10.0
_NOTE_LIMIT = 1024  # of an event's note, set by the API


class NoCluster(Exception):
    """Nothing says where a cluster is, or as whom to ask it."""


class KubernetesError(Exception):
    """The API server refused, or did not answer (``status`` 0). ``message`` is its own sentence."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)

    @property
    def reason(self) -> str:
        """One word for a metric: the name of the HTTP status, such as Conflict; NoAnswer where none came."""
        if not self.status:
            return "NoAnswer"
        try:
            return HTTPStatus(self.status).phrase.title().replace(" ", "")
        except ValueError:
            return str(self.status)

    @property
    def refused(self) -> bool:
        """Whether asking again without a change would be refused again: forbidden or invalid, not a conflict."""
        return self.status in {400, 403, 405, 422}


@dataclass(frozen=True)
class Kind:
    """Where the objects of one kind live."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As manifests write it."""
        return f"{self.group}/{self.version}" if self.group else self.version


FLEET = Kind(GROUP, VERSION, KIND, PLURAL)
SECRET = Kind("", "v1", "Secret", "secrets")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
POD = Kind("", "v1", "Pod", "pods")
CORE_EVENT = Kind("", "v1", "Event", "events")
EVENT = Kind("events.k8s.io", "v1", "Event", "events")
SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts")
SERVICE = Kind("", "v1", "Service", "services")
STATEFUL_SET = Kind("apps", "v1", "StatefulSet", "statefulsets")
DISRUPTION_BUDGET = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")


def refuse_older(version: str, seen: str) -> None:
    """Raise KubernetesError where resourceVersion ``version`` is older than ``seen``, one of the same kind read before.

    They are numbers that only rise, but for a cluster that was restored from a backup: then this fails until the operator is
    started anew, which its liveness probe sees to. Versions that are no numbers are not compared.
    """
    if version.isdecimal() and seen.isdecimal() and int(version) < int(seen):
        raise KubernetesError(409, "the API server answers from an older view than before")


class Kube:
    """One connection to one cluster."""

    def __init__(self, api: ApiClient, requests: Counter | None = None) -> None:
        self._client = DynamicClient(
            api
        )  # never awaited: it would discover every kind and write a cache file
        self._requests = requests
        self._cluster_id: str | None = None

    def _resource(self, kind: Kind) -> Resource:
        return Resource(
            prefix="apis" if kind.group else "api",
            group=kind.group,
            api_version=kind.version,
            kind=kind.kind,
            namespaced=kind.namespaced,
            name=kind.plural,
            client=self._client,
        )

    async def _request(
        self, verb: str, kind: Kind, path: str, body: Json | None = None, **options: Any
    ) -> Json:
        code = "none"  # no answer; a step that ends in between counts so, too
        try:
            status, answer = await self._ask(_METHODS[verb], path, body, options)
            code = str(status)
            return answer
        except KubernetesError as error:
            code = str(error.status or "none")
            raise
        finally:
            if self._requests is not None:
                self._requests.labels(verb=verb, kind=kind.kind, code=code).inc()

    async def _ask(self, method: str, path: str, body: Json | None, options: Json) -> tuple[int, Json]:
        try:
            # The library's own limit counts a stalled connection only in parts.
            async with asyncio.timeout(_TIMEOUT):
                response = await self._client.request(method, path, body=body, serialize=False, **options)
                answer: Json = await response.json()
        except DynamicApiError as error:
            raise KubernetesError(int(error.status or 0), str(error.summary()).strip()) from None
        except TimeoutError:
            raise KubernetesError(0, f"the API server did not answer within {_TIMEOUT:.0f} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise KubernetesError(0, f"the API server cannot be reached: {error}") from None
        return response.status, answer

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Json | None:
        """One object, or None when there is none."""
        try:
            return await self._request("get", kind, self._resource(kind).path(name=name, namespace=namespace))
        except KubernetesError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self, kind: Kind, namespace: str | None, *, labels: str | None = None, fields: str | None = None
    ) -> list[Json]:
        """All objects of a kind, in one namespace or in all of them."""
        path = self._resource(kind).path(namespace=namespace)
        answer = await self._request("list", kind, path, label_selector=labels, field_selector=fields)
        items: list[Json] = answer["items"]
        return items

    async def confirm_absent(self, kind: Kind, namespace: str, name: str, seen: str) -> None:
        """Raise KubernetesError unless a list agrees that there is no such object, and is no older than version ``seen``."""
        path = self._resource(kind).path(namespace=namespace)
        answer = await self._request("list", kind, path, field_selector=f"metadata.name={name}")
        refuse_older(answer["metadata"]["resourceVersion"], seen)
        if answer["items"]:
            raise KubernetesError(
                409, f"the API server both has {kind.kind} {namespace}/{name} and has it not"
            )

    async def apply(self, kind: Kind, manifest: Json) -> Json:
        """Server-side apply; what we own is ours even where somebody else wrote it last.

        ``metadata.resourceVersion`` in the manifest makes it compare-and-set: status 409 when the object has moved on.
        """
        metadata = manifest["metadata"]
        return await self._request(
            "apply",
            kind,
            self._resource(kind).path(name=metadata["name"], namespace=metadata["namespace"]),
            manifest,
            **_APPLY,
        )

    async def remove_pod(self, pod: Json) -> None:
        """Delete exactly this pod without waiting for its kubelet; another of its name is left alone."""
        metadata = pod["metadata"]
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        try:
            path = self._resource(POD).path(name=metadata["name"], namespace=metadata["namespace"])
            await self._request("delete", POD, path, options)
        except KubernetesError as error:
            if error.status not in {404, 409}:
                raise

    async def set_finalizers(self, fleet: Json, finalizers: Sequence[str]) -> Json:
        """Make these all that a fleet has, which has not moved on since it was read.

        No server-side apply, which takes away only what no other manager owns: ours may be a person's who made it from a backup.
        """
        metadata = fleet["metadata"]
        path = self._resource(FLEET).path(name=metadata["name"], namespace=metadata["namespace"])
        kept = {key: metadata[key] for key in ("uid", "resourceVersion")}
        body = {"metadata": {**kept, "finalizers": [*finalizers]}}
        return await self._request("patch", FLEET, path, body, **_PATCH)

    async def apply_status(self, fleet: Json, status: Json) -> None:
        """Write a fleet's whole status on the status subresource."""
        metadata = {key: fleet["metadata"][key] for key in ("name", "namespace")}
        body = {"apiVersion": FLEET.api_version, "kind": FLEET.kind, "metadata": metadata, "status": status}
        path = self._resource(FLEET).path(name=metadata["name"], namespace=metadata["namespace"])
        await self._request("status", FLEET, f"{path}/status", body, **_APPLY)

    async def tell(self, fleet: Json, turn: Turn) -> None:
        """A Kubernetes event about a fleet."""
        metadata = fleet["metadata"]
        note = turn.message if len(turn.message) <= _NOTE_LIMIT else turn.message[: _NOTE_LIMIT - 3] + "..."
        event = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {
                "name": f"{metadata['name']}.{uuid4().hex[:16]}",
                "namespace": metadata["namespace"],
            },
            "eventTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            "type": "Warning" if turn.warning else "Normal",
            "reason": turn.reason,
            "note": note,
            "action": "Reconcile",
            "reportingController": f"{GROUP}/operator",
            "reportingInstance": os.environ.get("HOSTNAME") or "operator",
            "regarding": {
                "apiVersion": FLEET.api_version,
                "kind": FLEET.kind,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
        }
        await self._request(
            "create", EVENT, self._resource(EVENT).path(namespace=metadata["namespace"]), event
        )

    async def served_fleet(self) -> Json | None:
        """The schema of a fleet as OpenAPI has it; None while it is not published, or not for us to read."""
        try:
            document = await self._request("get", FLEET, f"/openapi/v3/apis/{GROUP}/{VERSION}")
        except KubernetesError as error:
            if error.status in {403, 404}:
                return None
            raise
        schemas: list[Json] = list(document["components"]["schemas"].values())
        return next((it for it in schemas if _is_fleet(it)), None)

    async def cluster_id(self) -> str:
        """What tells this cluster from every other: the uid of its namespace kube-system."""
        if self._cluster_id is None:
            namespace = await self.get(NAMESPACE, None, "kube-system")
            if namespace is None:
                raise KubernetesError(
                    404, "there is no namespace kube-system, so this cluster has no identity"
                )
            self._cluster_id = str(namespace["metadata"]["uid"])
        return self._cluster_id


def _is_fleet(schema: Json) -> bool:
    kinds = schema.get("x-kubernetes-group-version-kind", [])
    return {"group": GROUP, "version": VERSION, "kind": KIND} in kinds


_METHODS = {
    "get": "get",
    "list": "get",
    "apply": "patch",
    "patch": "patch",
    "status": "patch",
    "create": "post",
    "delete": "delete",
}
"""Our verbs, as the metric has them; "patch" writes the finalizers, "status" applies the status."""
_APPLY: Json = {
    "content_type": "application/apply-patch+yaml",
    "field_manager": MANAGER,
    "force_conflicts": True,
}
_PATCH: Json = {"content_type": "application/merge-patch+json", "field_manager": MANAGER}


@asynccontextmanager
async def connect(requests: Counter | None = None) -> AsyncIterator[Kube]:
    """A client from $KUBECONFIG or ~/.kube/config where there is one, else from the pod's service account. Raises NoCluster.

    ``requests`` counts the requests by verb, kind and code.
    """
    configuration = Configuration()
    named = os.environ.get("KUBECONFIG")
    try:
        if named or (Path.home() / ".kube" / "config").exists():
            await config.load_kube_config(named, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException as error:
        raise NoCluster(
            f"no cluster is configured here: {error} Set KUBECONFIG, or run it in a pod with a service account."
        ) from None
    async with ApiClient(configuration) as api:
        yield Kube(api, requests)
