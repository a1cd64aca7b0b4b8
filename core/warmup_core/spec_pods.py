"""What a fleet's manifest may say of its worker pods beside their number and image. Pure.

The shapes that Kubernetes owns (affinity, tolerations, spread constraints, resources) are passed through as they are: the API
server knows them better, in its own version, and refuses what is wrong when the StatefulSet is written; the condition repeats
its sentence.
"""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from warmup_core.spec_model import Model, ObjectName

Passed = dict[str, Any]
"""An object of the Kubernetes API, passed through."""
LabelValue = Annotated[str, StringConstraints(max_length=63)]


class PullSecretRef(Model):
    """A Secret with an image registry's login."""

    name: ObjectName = Field(description="Name of the Secret, in the fleet's namespace.")


class PodSettings(Model):
    """Where and how the pods run. A change rolls them, one after the other, each draining first."""

    resources: Passed | None = Field(
        None,
        description="Requests and limits of the worker's container, as in any pod; unset, 100m CPU and 128Mi are requested.",
    )
    node_selector: dict[str, LabelValue] = Field(
        default_factory=dict, description="Labels that a node must have to run a worker."
    )
    tolerations: list[Passed] = Field(
        default_factory=list,
        max_length=32,
        description="Taints of nodes that a worker bears, beside 30 s of a node that does not answer.",
    )
    affinity: Passed | None = Field(
        None, description="Affinity and anti-affinity of the pods, as in any pod."
    )
    topology_spread_constraints: list[Passed] = Field(
        default_factory=list,
        max_length=8,
        description="How the pods spread over zones and nodes; without a labelSelector it is this fleet's pods.",
    )
    priority_class_name: str = Field("", max_length=253, description="PriorityClass of the pods.")
    image_pull_secrets: list[PullSecretRef] = Field(
        default_factory=list, max_length=16, description="Secrets to pull the workers' image with."
    )
    pod_labels: dict[str, LabelValue] = Field(
        default_factory=dict, description="Further labels of the pods; the operator's own stay as they are."
    )
    pod_annotations: dict[str, str] = Field(
        default_factory=dict, description="Annotations of the pods, such as those of a service mesh."
    )
