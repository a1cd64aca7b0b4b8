"""The first step of a look: what the cluster and the database say of one fleet now. Reads only, but for the fleet's own row.

Invariants: the StatefulSet is read before the fleet's row, so a write of replicas under its resourceVersion cannot rest on a
newer StatefulSet than the row. Whatever the user has to mend is a ``Problem`` in the answer, all of them at once.
Fails: KubernetesError, also where the API server shows an older fleet than the database has seen.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from warmup_core.fleet import ADOPT, Owner
from warmup_core.spec import WarmupFleetSpec
from warmup_operator import inputs, kube
from warmup_operator.kube import Kube, KubernetesError
from warmup_operator.postgres import FleetDatabase, View
from warmup_operator.status import Problem, Reason

Json = dict[str, Any]


@dataclass(frozen=True)
class Observed:
    """What there is. ``reached``: the database answered and is this fleet's, whatever else is wrong."""

    fleet: Json
    stateful_set: Json | None
    spec: WarmupFleetSpec | None = None
    view: View | None = None
    reached: bool = False
    problems: tuple[Problem, ...] = ()


async def owner_of(cluster: Kube, fleet: Json) -> Owner:
    """The fleet's identity in the database."""
    metadata = fleet["metadata"]
    return Owner(await cluster.cluster_id(), metadata["namespace"], metadata["name"], metadata["uid"])


async def observe(cluster: Kube, database: FleetDatabase, fleet: Json, owner: Owner) -> Observed:
    """Look at everything that a decision needs."""
    generation = fleet["metadata"]["generation"]
    stateful_set = await cluster.get(kube.STATEFUL_SET, owner.namespace, owner.name)
    try:
        spec = WarmupFleetSpec.stored(fleet["spec"])
    except ValidationError as error:
        return Observed(fleet, stateful_set, problems=(_unreadable(error),))
    given = await inputs.read(cluster, owner.namespace, spec)
    problems = tuple(given.problems)
    if given.access is None:
        return Observed(fleet, stateful_set, spec, problems=problems)
    try:
        adopt = fleet["metadata"].get("annotations", {}).get(ADOPT)
        view = await database.observe(given.access, owner, spec, generation, adopt)
    except Problem as problem:
        reached = not problem.database
        return Observed(fleet, stateful_set, spec, reached=reached, problems=(*problems, problem))
    if view.row.generation > generation:
        raise KubernetesError(409, "the API server shows an older fleet than the database has seen")
    if given.keys is not None:
        lost = inputs.keys_missing(given.keys, view.demand.keys, spec, owner.namespace)
        problems += (lost,) if lost else ()
    return Observed(fleet, stateful_set, spec, view, True, problems)


async def find_database(cluster: Kube, database: FleetDatabase, fleet: Json) -> None:
    """Point ``database`` at the fleet's, if its spec and Secrets still tell which; for a fleet on its way out."""
    try:
        spec = WarmupFleetSpec.stored(fleet["spec"])
    except ValidationError:
        return
    given = await inputs.read(cluster, fleet["metadata"]["namespace"], spec)
    if given.access is not None:
        with suppress(Problem):
            await database.use(given.access)


def _unreadable(error: ValidationError) -> Problem:
    faults = "; ".join(f"spec.{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return Problem(Reason.SPEC_INVALID, f"{faults}. Update the CRD and the operator together.")
