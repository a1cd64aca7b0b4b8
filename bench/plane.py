"""What every bench of the operator finds on its control plane: the CRD of this release, and the namespaces."""

from tests.cluster.control_plane import SERVER_SIDE_APPLY, ControlPlane
from warmup_core.crd import build

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def prepare(control_plane: ControlPlane, *namespaces: str) -> None:
    """Bring both."""
    resource = build()
    path = f"{_CRDS}/{resource['metadata']['name']}?fieldManager=bench"
    control_plane.request("PATCH", path, resource, SERVER_SIDE_APPLY)
    for name in namespaces:
        control_plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
