"""All fleets served, each namespace asked for itself: one that is gone, or whose rights are, takes no other with it.

Invariants: of a namespace that refuses nothing is concluded, neither that it has fleets nor that it has none; each refusal is
counted and said, so an alert can tell of it. Namespaces that answer at the start are watched; one that answers later has its
fleets served by the list alone, until the liveness probe finds that no watch tells of them.
Fails: KubernetesError where no namespace answers, and for whatever is no refusal.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from warmup_operator.kube import FLEET, Kind, KubernetesError
from warmup_operator.metrics import Metrics

Json = dict[str, Any]
_log = logging.getLogger(__name__)

_REFUSALS = frozenset({403, 404})
"""No rights there, or no CRD. Of a namespace that was deleted its rights are gone."""


class Lister(Protocol):
    """The one thing needed of the cluster."""

    async def list(self, kind: Kind, namespace: str | None) -> Sequence[Json]:
        """All objects of a kind, in one namespace or in all of them. Raises KubernetesError."""


@dataclass(frozen=True)
class Listing:
    """``refused``: the namespaces that did not let us list, each with the API server's word."""

    fleets: Sequence[Json]
    refused: Mapping[str, KubernetesError] = field(default_factory=dict)


class Fleets:
    """``namespaces``: where fleets are served; none: in the whole cluster. ``wait_seconds``: from one question to the next while
    no namespace answers."""

    def __init__(
        self, cluster: Lister, namespaces: Sequence[str], metrics: Metrics, wait_seconds: float = 2.0
    ) -> None:
        self._cluster, self._namespaces, self._metrics = cluster, namespaces, metrics
        self._wait_seconds = wait_seconds

    async def list(self) -> Listing:
        """Ask every namespace. Raises KubernetesError."""
        if not self._namespaces:
            return Listing(await self._cluster.list(FLEET, None))
        fleets: list[Json] = []
        refused: dict[str, KubernetesError] = {}
        for namespace in self._namespaces:
            try:
                fleets += await self._cluster.list(FLEET, namespace)
            except KubernetesError as error:
                if error.status not in _REFUSALS:
                    raise
                refused[namespace] = error
        if len(refused) == len(self._namespaces):
            raise next(iter(refused.values()))
        for namespace, refusal in refused.items():
            self._metrics.errors.labels(refusal.reason).inc()
            _log.warning("namespace %s is not served, the others are: %s", namespace, refusal)
        return Listing(fleets, refused)

    async def answering(self) -> Sequence[str]:
        """Wait until a namespace answers, as none does before the CRD is served; those that do, none for the whole cluster."""
        while True:
            try:
                listing = await self.list()
                return [it for it in self._namespaces if it not in listing.refused]
            except KubernetesError as error:
                self._metrics.errors.labels(error.reason).inc()
                _log.warning("waiting until warmupfleets can be listed: %s", error)
                await asyncio.sleep(self._wait_seconds)
