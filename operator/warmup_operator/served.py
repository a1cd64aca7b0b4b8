"""Whether the API server serves every field of this release's CRD. What an older CRD lacks it drops from a fleet without a word,
and a limit that somebody has set would be none.

Asked through OpenAPI, which every account may read unless a cluster took that away, until nothing is lacking: one request a fleet
and process where all is well.
Fails never: a CRD that is not published yet, or that may not be read, lacks nothing, and while the API server does not answer
what was found last stands. A look has more to tell than this.
"""

import logging
from collections.abc import Sequence
from typing import Any, Protocol

from warmup_core import crd
from warmup_operator.kube import KubernetesError

Json = dict[str, Any]
_log = logging.getLogger(__name__)


class Publisher(Protocol):
    """The one thing needed of the cluster."""

    async def served_fleet(self) -> Json | None:
        """The schema of a fleet as it is served; None where nobody tells. Raises KubernetesError."""


class Served:
    """What one cluster serves. ``lacking`` asks again as long as something is."""

    def __init__(self, cluster: Publisher) -> None:
        self._cluster = cluster
        self._whole = False
        self._found: Sequence[str] = ()

    async def lacking(self) -> Sequence[str]:
        """The fields that are not served, by path."""
        if self._whole:
            return ()
        try:
            served = await self._cluster.served_fleet()
        except KubernetesError as error:
            _log.warning("which fields of a fleet are served cannot be read: %s", error)
            return self._found
        if served is None:
            return ()
        [version] = crd.build()["spec"]["versions"]
        self._found = lacking(served, version["schema"]["openAPIV3Schema"])
        self._whole = not self._found
        return self._found


def lacking(served: Json, needed: Json, path: str = "") -> list[str]:
    """The properties of ``needed`` that ``served`` has not, by path; of one that is not there nothing below. Pure."""
    if served.get("x-kubernetes-preserve-unknown-fields"):
        return []
    if "items" in needed:
        return lacking(served.get("items", {}), needed["items"], f"{path}[]")
    found: list[str] = []
    for name, child in needed.get("properties", {}).items():
        where = f"{path}.{name}" if path else name
        there = served.get("properties", {}).get(name)
        found += [where] if there is None else lacking(there, child, where)
    return found
