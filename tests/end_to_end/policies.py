"""What a NetworkPolicy lets through beside what the pods that it picks really do, by the tables of the kernel. Pure.

For a node whose network plugin does not enforce policies: a connection or a listener that a policy does not name would be noticed
by whoever has one that does. Ports are those that the pod itself speaks to; behind a Service they may be others.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")

_ESTABLISHED, _LISTENING = "01", "0A"


@dataclass(frozen=True)
class Guarded:
    """A policy and the pods that it picks."""

    pods: list[str]
    let_out: set[int]
    reached: set[int]
    """Ports of others that connections of the pods go to."""
    let_in: set[int]
    listened: set[int]
    """Ports that the pods listen on."""


def guarded(policy: dict[str, Any], tables: dict[str, str]) -> Guarded:
    """Lay a policy's spec beside the ``TABLES`` of its pods, by the pods' names."""
    rows = {pod: [line.split() for line in text.splitlines()] for pod, text in tables.items()}
    reached: set[int] = set()
    listened: set[int] = set()
    for of_pod in rows.values():
        own = {_port(row[1]) for row in of_pod if row[3:4] == [_LISTENING]}
        others = [row for row in of_pod if row[3:4] == [_ESTABLISHED] and _port(row[1]) not in own]
        listened |= own
        reached |= {_port(row[2]) for row in others}
    return Guarded(sorted(tables), _named(policy["egress"]), reached, _named(policy["ingress"]), listened)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _named(rules: Iterable[dict[str, Any]]) -> set[int]:
    return {int(port["port"]) for rule in rules for port in rule["ports"]}
