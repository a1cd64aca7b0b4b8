"""What a fleet owns in the cluster, as plain dicts, and whether a live object has to be written. Pure.

Invariants: the pod template never carries the number of workers, so a resize restarts nobody; every object is owned by its
fleet, so the garbage collector ends it; nothing here holds a secret, only the names of Secrets.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any

from warmup_core.spec import WarmupFleetSpec
from warmup_core.types import API_VERSION, DATABASE_CA_KEY, GROUP, KIND

Json = dict[str, Any]

MANAGER = "warmup-fleet"
"""Field manager of every apply, and the value of the label ``MANAGED_BY``."""
MANAGED_BY = "app.kubernetes.io/managed-by"
APPLIED = f"{GROUP}/applied"
"""Annotation: a hash of what was applied, so that a field we no longer state is noticed."""
INSTANCE = "app.kubernetes.io/instance"
PORT = 3000
_USER = 65532
_SECRETS = "/etc/warmup"
_AWAY_SECONDS = 30
"""How long a pod stays bound to a node that does not answer; Kubernetes' own 300 s are too long for mailboxes that wait."""


def labels(fleet: Json) -> dict[str, str]:
    """What every object and pod of a fleet carries."""
    return {
        "app.kubernetes.io/name": "warmup-worker",
        INSTANCE: fleet["metadata"]["name"],
        MANAGED_BY: MANAGER,
    }


def selector(fleet: Json) -> dict[str, str]:
    """What picks a fleet's pods; immutable in a StatefulSet."""
    return {"app.kubernetes.io/name": "warmup-worker", INSTANCE: fleet["metadata"]["name"]}


def selector_text(fleet: Json) -> str:
    """The same as kubectl and the scale subresource write it."""
    return ",".join(f"{key}={value}" for key, value in selector(fleet).items())


def workers_name(fleet: Json) -> str:
    """Name of the ServiceAccount, the Service and the PodDisruptionBudget; the StatefulSet has the fleet's own name."""
    return f"{fleet['metadata']['name']}-workers"


def _object(fleet: Json, api_version: str, kind: str, name: str, **rest: Any) -> Json:
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": fleet["metadata"]["name"],
        "uid": fleet["metadata"]["uid"],
        "controller": True,
        # True would need a right on the fleet's finalizers, and a deletion could wait for us.
        "blockOwnerDeletion": False,
    }
    manifest: Json = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": fleet["metadata"]["namespace"],
            "labels": labels(fleet),
            "ownerReferences": [owner],
        },
        **rest,
    }
    digest = sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    manifest["metadata"]["annotations"] = {APPLIED: digest}
    return manifest


def service_account(fleet: Json) -> Json:
    """The workers' account: without rights and without a token."""
    return _object(fleet, "v1", "ServiceAccount", workers_name(fleet), automountServiceAccountToken=False)


def service(fleet: Json) -> Json:
    """Headless: names for the pods, also while they are not ready, so that metrics are always to be had."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": selector(fleet),
        "ports": [{"name": "metrics", "port": PORT, "targetPort": "metrics", "protocol": "TCP"}],
    }
    return _object(fleet, "v1", "Service", workers_name(fleet), spec=spec)


def disruption_budget(fleet: Json) -> Json:
    """Nodes are drained one worker at a time."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": selector(fleet)}}
    return _object(fleet, "policy/v1", "PodDisruptionBudget", workers_name(fleet), spec=spec)


def stateful_set(fleet: Json, spec: WarmupFleetSpec, replicas: int, default_image: str) -> Json:
    """Pods NAME-1, NAME-2, ...; Parallel, so that a pod that cannot start holds up no other and no repair."""
    return _object(
        fleet,
        "apps/v1",
        "StatefulSet",
        fleet["metadata"]["name"],
        spec={
            "replicas": replicas,
            "serviceName": workers_name(fleet),
            "podManagementPolicy": "Parallel",
            "ordinals": {"start": 1},
            "selector": {"matchLabels": selector(fleet)},
            "template": {
                "metadata": _pod_metadata(fleet, spec),
                "spec": _pod(fleet, spec, spec.workers.image or default_image),
            },
        },
    )


def _pod_metadata(fleet: Json, spec: WarmupFleetSpec) -> Json:
    metadata: Json = {"labels": {**spec.workers.pod_labels, **labels(fleet)}}
    if spec.workers.pod_annotations:
        metadata["annotations"] = spec.workers.pod_annotations
    return metadata


def _placement(fleet: Json, spec: WarmupFleetSpec) -> Json:
    """Where the pods run, as the manifest says; what it does not say is left to the cluster."""
    workers = spec.workers
    ours = {"labelSelector": {"matchLabels": selector(fleet)}}
    said: Json = {
        "nodeSelector": workers.node_selector,
        "affinity": workers.affinity,
        "topologySpreadConstraints": [{**ours, **it} for it in workers.topology_spread_constraints],
        "priorityClassName": workers.priority_class_name,
        "imagePullSecrets": [{"name": it.name} for it in workers.image_pull_secrets],
    }
    return {name: value for name, value in said.items() if value}


def _pod(fleet: Json, spec: WarmupFleetSpec, image: str) -> Json:
    url, keys, ca = spec.database.url_secret_ref, spec.encryption.keys_secret_ref, spec.smtp.ca_config_map_ref
    ca_item = {"key": DATABASE_CA_KEY, "path": DATABASE_CA_KEY}
    mounted: list[tuple[str, Json]] = [
        ("database", {"secret": {"secretName": url.name, "items": [{"key": url.key, "path": "url"}]}}),
        # Apart, for only this key may be missing. It is a file as soon as the Secret has it, without another pod.
        ("database-ca", {"secret": {"secretName": url.name, "optional": True, "items": [ca_item]}}),
        ("keys", {"secret": {"secretName": keys.name, "items": [{"key": keys.key, "path": "keys"}]}}),
    ]
    environment: list[Json] = [
        {
            "name": "WARMUP_WORKER_ID",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}},
        },
        {"name": "DATABASE_URL_FILE", "value": f"{_SECRETS}/database/url"},
        {"name": "DATABASE_CA_FILE", "value": f"{_SECRETS}/database-ca/{DATABASE_CA_KEY}"},
        {"name": "WARMUP_ENCRYPTION_KEYS_FILE", "value": f"{_SECRETS}/keys/keys"},
        {"name": "WARMUP_GRACE_SECONDS", "value": str(spec.workers.termination_grace_period_seconds)},
    ]
    if ca is not None:
        mounted.append(("ca", {"configMap": {"name": ca.name, "items": [{"key": ca.key, "path": "ca.crt"}]}}))
        environment.append({"name": "WARMUP_SMTP_CA_FILE", "value": f"{_SECRETS}/ca/ca.crt"})
    if (applications := spec.oauth.applications_secret_ref) is not None:
        file = "applications.json"
        items = [{"key": applications.key, "path": file}]
        mounted.append(("oauth", {"secret": {"secretName": applications.name, "items": items}}))
        environment.append({"name": "WARMUP_OAUTH_APPLICATIONS_FILE", "value": f"{_SECRETS}/oauth/{file}"})
    if (templates := spec.content.templates_config_map_ref) is not None:
        mounted.append(("templates", {"configMap": {"name": templates.name}}))
        environment.append({"name": "WARMUP_TEMPLATES_DIR", "value": f"{_SECRETS}/templates"})
    return {
        "serviceAccountName": workers_name(fleet),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.workers.termination_grace_period_seconds,
        "tolerations": [
            {
                "key": f"node.kubernetes.io/{state}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": _AWAY_SECONDS,
            }
            for state in ("not-ready", "unreachable")
        ]
        + spec.workers.tolerations,
        **_placement(fleet, spec),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "worker",
                "image": image,
                "args": ["worker"],
                "env": environment,
                "ports": [{"name": "metrics", "containerPort": PORT, "protocol": "TCP"}],
                # Two minutes to start; after that only a worker that no longer answers at all is restarted. A database
                # that is away makes it not ready, never dead.
                "startupProbe": _probe("/healthz", period=2, failures=60),
                "livenessProbe": _probe("/healthz", period=10, failures=6),
                "readinessProbe": _probe("/readyz", period=5, failures=3),
                "resources": spec.workers.resources or {"requests": {"cpu": "100m", "memory": "128Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": name, "mountPath": f"{_SECRETS}/{name}", "readOnly": True} for name, _ in mounted
                ]
                + [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
            }
        ],
        "volumes": [{"name": name, **source} for name, source in mounted]
        + [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
    }


def _probe(path: str, *, period: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": "metrics"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def must_write(desired: Json, live: Json | None) -> bool:
    """Whether ``live`` lacks something that ``desired`` states, or was applied from another manifest of ours."""
    return live is None or not _holds(live, desired)


def _holds(live: Any, desired: Any) -> bool:
    """Whether everything in ``desired`` stands in ``live``. What others and the server's defaults add is theirs.

    Lists of named things are compared by name, as server-side apply merges them; other lists must be equal in length.
    """
    if isinstance(desired, dict):
        return isinstance(live, dict) and all(
            _amounts(live.get(key), value) if key in {"requests", "limits"} else _holds(live.get(key), value)
            for key, value in desired.items()
        )
    if isinstance(desired, list):
        if not isinstance(live, list):
            return False
        if all(isinstance(item, dict) and "name" in item for item in desired):
            named = {item.get("name"): item for item in live if isinstance(item, dict)}
            return all(_holds(named.get(item["name"]), item) for item in desired)
        return len(live) == len(desired) and all(map(_holds, live, desired))
    return bool(live == desired)


def _amounts(live: Any, desired: Any) -> bool:
    """Whether resource quantities are the same, however they are written: the API server keeps 1000m as 1 and 1024Mi as 1Gi."""
    if not isinstance(live, dict) or not isinstance(desired, dict):
        return bool(live == desired)
    return all(name in live and _amount(live[name]) == _amount(it) for name, it in desired.items())


_SUFFIXES = {"m": Decimal("0.001"), "": Decimal(1)} | {
    f"{letter}{i}": Decimal(1024 if i else 1000) ** power
    for power, letter in enumerate("kMGTPE", start=1)
    for i in ("i", "")
}
_SUFFIXES["Ki"] = _SUFFIXES.pop("ki")


def _amount(quantity: Any) -> Any:
    """The number that a quantity stands for; one that is none as it is, for the API server to refuse."""
    found = re.fullmatch(r"([0-9.]+(?:[eE][0-9]+)?)([a-zA-Z]*)", str(quantity))
    try:
        return Decimal(found[1]) * _SUFFIXES[found[2]] if found else quantity
    except (InvalidOperation, KeyError):
        return quantity


def owned_by(live: Json, fleet: Json) -> bool:
    """Whether this very fleet controls the object."""
    uid = fleet["metadata"]["uid"]
    references = live["metadata"].get("ownerReferences", [])
    return any(reference.get("controller") and reference["uid"] == uid for reference in references)
