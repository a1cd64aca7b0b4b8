"""The third step of a look: make the fleet's objects in the cluster so, and write only what is not.

Invariants: an object of our name that is not this fleet's is left alone; what exists is written under the resourceVersion that
was read, so a write that rests on an old view is refused; one object's refusal keeps no other from being written.
Fails: KubernetesError where no answer came or the object has moved on; the next look starts anew. A refusal is a ``Problem``.
"""

from dataclasses import dataclass
from typing import Any

from warmup_core.spec import WarmupFleetSpec
from warmup_operator import kube, resources
from warmup_operator.kube import Kind, Kube, KubernetesError
from warmup_operator.status import Problem, Reason

Json = dict[str, Any]


@dataclass(frozen=True)
class Applied:
    """The StatefulSet as it stands now, and what could not be written."""

    stateful_set: Json | None
    problems: tuple[Problem, ...]


async def apply(
    cluster: Kube,
    fleet: Json,
    spec: WarmupFleetSpec,
    stateful_set: Json | None,
    replicas: int,
    default_image: str,
) -> Applied:
    """Bring ServiceAccount, Service, StatefulSet and PodDisruptionBudget to what the spec asks for."""
    problems: list[Problem] = []
    wishes = [
        (kube.SERVICE_ACCOUNT, resources.service_account(fleet)),
        (kube.SERVICE, resources.service(fleet)),
        (kube.STATEFUL_SET, resources.stateful_set(fleet, spec, replicas, default_image)),
        (kube.DISRUPTION_BUDGET, resources.disruption_budget(fleet)),
    ]
    for kind, manifest in wishes:
        live = stateful_set
        if kind is not kube.STATEFUL_SET:
            live = await cluster.get(kind, fleet["metadata"]["namespace"], manifest["metadata"]["name"])
        try:
            written = await _apply_one(cluster, kind, manifest, live, fleet)
        except Problem as problem:
            problems.append(problem)
            continue
        if kind is kube.STATEFUL_SET:
            stateful_set = written
    return Applied(stateful_set, tuple(problems))


async def _apply_one(cluster: Kube, kind: Kind, manifest: Json, live: Json | None, fleet: Json) -> Json:
    namespace, name = fleet["metadata"]["namespace"], manifest["metadata"]["name"]
    if live is not None and not resources.owned_by(live, fleet):
        raise Problem(
            Reason.NAME_TAKEN,
            f"{kind.kind} {namespace}/{name} exists and is not this fleet's; it was left alone. Delete it"
            f" (kubectl delete {kind.plural} -n {namespace} {name}) or give the fleet another name.",
        )
    if live is not None and not resources.must_write(manifest, live):
        return live
    if live is not None:
        manifest["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    try:
        return await cluster.apply(kind, manifest)
    except KubernetesError as error:
        if not error.refused:
            raise
        raise Problem(Reason.KUBERNETES_REFUSED, f"{kind.kind} {namespace}/{name}: {error}") from None
