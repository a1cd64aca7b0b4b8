"""What the test kubelet reports of a pod and of its node, as the API wants it. Pure: the time is an argument."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from tests.cluster.pod_inputs import Manifest


class Container(NamedTuple):
    """How a container stands; `state` and `last_state` are in the API's own form."""

    state: Mapping[str, Any]
    last_state: Mapping[str, Any]
    started: bool
    ready: bool
    restarts: int


def pod_status(
    pod: Manifest, containers: list[Container], *, address: str, node_address: str, now: datetime
) -> dict[str, Any] | None:
    """The patch (strategic merge) of the pod's status, or None when the pod shows all that already.

    `containers` stand in the order of the pod's spec.
    """
    shown = pod.get("status", {})
    begun = all("running" in container.state or container.last_state for container in containers)
    ready = all(container.ready for container in containers)
    status = {
        "phase": "Running" if begun else "Pending",
        "hostIP": node_address,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": shown.get("startTime") or timestamp(now),
        "conditions": [
            _condition(shown, kind, met, now)
            for kind, met in (("Initialized", True), ("ContainersReady", ready), ("Ready", ready))
        ],
        "containerStatuses": [
            {
                "name": specified["name"],
                "image": specified["image"],
                "imageID": "",
                "state": dict(container.state),
                "lastState": dict(container.last_state),
                "started": container.started,
                "ready": container.ready,
                "restartCount": container.restarts,
            }
            for specified, container in zip(pod["spec"]["containers"], containers, strict=True)
        ],
    }
    return None if _shows(shown, status) else status


def node_status(address: str, now: datetime) -> dict[str, Any]:
    """The status of a node with room for every test; sent again and again, it is the node's heartbeat."""
    room = {"cpu": "64", "memory": "256Gi", "pods": "250", "ephemeral-storage": "1Ti"}
    return {
        "addresses": [{"type": "InternalIP", "address": address}],
        "capacity": room,
        "allocatable": room,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "KubeletReady",
                "message": "the test kubelet is at work",
                "lastHeartbeatTime": timestamp(now),
            }
        ],
    }


def timestamp(now: datetime) -> str:
    """`now` (UTC) in the API's form."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _condition(shown: Manifest, kind: str, met: bool, now: datetime) -> dict[str, Any]:
    """The condition `kind`, with the time of its last change kept when it says what it said before."""
    status = "True" if met else "False"
    for earlier in shown.get("conditions", []):
        if earlier["type"] == kind and earlier["status"] == status:
            return {"type": kind, "status": status, "lastTransitionTime": earlier["lastTransitionTime"]}
    return {"type": kind, "status": status, "lastTransitionTime": timestamp(now)}


def _shows(shown: Any, wanted: Any) -> bool:
    """Whether `shown` holds all of `wanted`. The API adds fields and conditions of its own."""
    if isinstance(wanted, dict):
        return isinstance(shown, dict) and all(_shows(shown.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(shown, list) and all(any(_shows(item, value) for item in shown) for value in wanted)
    return bool(shown == wanted)
