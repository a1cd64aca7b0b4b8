"""The operator's own settings, read once from the environment.

Owns every ``WARMUP_*`` variable the operator reads; the chart writes them. Fails: ``Refused`` with every fault listed, before
anything is started.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from warmup_core import timing
from warmup_core.types import Refused
from warmup_operator.resize import Timing

VERSION = version("warmup-fleet")

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_KNOWN = {
    "WARMUP_WATCH_NAMESPACES",
    "WARMUP_OPERATOR_NAMESPACE",
    "WARMUP_WORKER_IMAGE",
    "WARMUP_LISTEN",
    "WARMUP_IDLE_SECONDS",
    "WARMUP_LIST_SECONDS",
    "WARMUP_SILENCE_SECONDS",
    "WARMUP_STALE_SECONDS",
    "WARMUP_TIMING",
}


@dataclass(frozen=True)
class OperatorSettings:
    """``namespaces``: where fleets are served, empty for the whole cluster. Durations in seconds."""

    namespaces: tuple[str, ...]
    operator_namespace: str
    worker_image: str
    listen_host: str
    listen_port: int
    idle_seconds: float
    """From one look at a healthy fleet to the next, and between counts in its status."""
    list_seconds: float
    """From one list of all fleets to the next: how late a lost event is noticed."""
    silence_seconds: float
    """How long a watch may bring nothing before it is opened anew."""
    stale_seconds: float
    """How long no reconcile of any fleet may have succeeded before liveness fails; three times the idle time at the least."""
    timing: Timing = field(default_factory=Timing)


def from_environment(environment: Mapping[str, str]) -> OperatorSettings:
    """Read the settings. Raises Refused with every variable that is wrong."""
    faults: list[str] = []
    host, _, port = environment.get("WARMUP_LISTEN", "0.0.0.0:8080").rpartition(":")
    if not port.isdecimal() or not host:
        faults.append("WARMUP_LISTEN must be ADDRESS:PORT, such as 0.0.0.0:8080")

    def seconds(name: str, default: float) -> float:
        text = environment.get(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not value > 0:
            faults.append(f"{name}={text} is not a positive number of seconds")
        return value

    constants = Timing()
    try:
        constants = timing.parse(environment.get("WARMUP_TIMING", "{}"), Timing)
    except Refused as refused:
        faults.append(str(refused))
    idle, stale = seconds("WARMUP_IDLE_SECONDS", 30.0), seconds("WARMUP_STALE_SECONDS", 600.0)
    list_, silence = seconds("WARMUP_LIST_SECONDS", 60.0), seconds("WARMUP_SILENCE_SECONDS", 70.0)
    if faults:
        raise Refused("The operator's environment cannot be used.", faults)
    return OperatorSettings(
        namespaces=tuple(
            name.strip() for name in environment.get("WARMUP_WATCH_NAMESPACES", "").split(",") if name.strip()
        ),
        operator_namespace=environment.get("WARMUP_OPERATOR_NAMESPACE") or _own_namespace(),
        worker_image=environment.get("WARMUP_WORKER_IMAGE") or f"ghcr.io/warmup-fleet/worker:{VERSION}",
        listen_host=host,
        listen_port=int(port),
        idle_seconds=idle,
        list_seconds=list_,
        silence_seconds=silence,
        stale_seconds=max(stale, 3 * idle),
        timing=constants,
    )


def unread(environment: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and are none: most likely misspelt."""
    return sorted(name for name in environment if name.startswith("WARMUP_") and name not in _KNOWN)


def _own_namespace() -> str:
    return _NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.exists() else "warmup-system"
