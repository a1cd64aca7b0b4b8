"""An operator beside a CRD that is older than it, as where the CRD is applied apart from the chart."""

import copy
import urllib.error
from typing import Any

from tests.cluster.control_plane import SERVER_SIDE_APPLY, ControlPlane
from tests.integration.fleet.scene import FLEETS, Scene
from tests.waiting import until

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/warmupfleets.warmupfleet.io"


def bring(control_plane: ControlPlane, definition: dict[str, Any]) -> None:
    """Apply a CRD as helm does, whose it stays."""
    control_plane.request("PATCH", f"{PATH}?fieldManager=helm&force=true", definition, SERVER_SIDE_APPLY)


def served(control_plane: ControlPlane) -> dict[str, Any]:
    """The CRD that is there, as it can be applied."""
    found = control_plane.request("GET", PATH)
    metadata = {name: found["metadata"][name] for name in ("name", "labels", "annotations")}
    return {name: found[name] for name in ("apiVersion", "kind", "spec")} | {"metadata": metadata}


async def test_fields_that_it_drops_are_named_until_this_releases_is_brought(scene: Scene) -> None:
    """field-035: `kubectl apply` refuses such a field unless it is told not to look; then a limit is none."""
    whole = served(scene.control_plane)
    older = copy.deepcopy(whole)
    schema = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["limits"]["properties"]["perUserPerHour"]
    bring(scene.control_plane, older)
    try:
        scene.create_secrets()
        scene.create_fleet()
        await scene.start_operator()
        await scene.reason("CrdOutdated", "Degraded")
        assert "drops spec.limits.perUserPerHour: set, they count" in scene.condition("Degraded")["message"]
        assert scene.condition()["reason"] == "NoMailboxes", "nothing else is in its way"
    finally:
        bring(scene.control_plane, whole)
    await scene.reason("Healthy", "Degraded")


async def test_a_fleet_from_before_a_rule_keeps_its_status_and_can_be_mended(scene: Scene) -> None:
    whole = served(scene.control_plane)
    older = copy.deepcopy(whole)
    schema = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": "true", "message": "none"}]
    bring(scene.control_plane, older)
    name = 0

    def taken() -> bool:
        nonlocal name
        name += 1
        try:
            scene.create_fleet(f"probe{name}", workers={"replicas": 300})
        except urllib.error.HTTPError as error:
            error.close()
            return False
        return True

    try:
        await until(taken, "the API server knows the older CRD")
    finally:
        bring(scene.control_plane, whole)
    kept = f"probe{name}"
    await until(lambda: not taken(), "the API server knows this release's CRD")
    scene.merge(FLEETS, "warmupfleets", f"{kept}/status", {"status": {"message": "All is well."}})
    with_room = scene.merge(FLEETS, "warmupfleets", kept, {"spec": {"database": {"maxConnections": 304}}})
    assert with_room["status"]["message"] == "All is well."
