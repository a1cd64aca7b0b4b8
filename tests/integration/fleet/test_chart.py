"""The chart as a user installs it: what it makes, what the operator may do, what stays when it goes."""

from pathlib import Path
from typing import Any

import yaml
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.control_plane import ControlPlane
from tests.integration.fleet.conftest import CHART, helm
from tests.integration.fleet.scene import ACCOUNT, Scene, enrol, live
from warmup_operator import settings

FLEET_KINDS = {"warmupfleets", "warmupfleets/status"}


def rendered(control_plane: ControlPlane, directory: Path, *arguments: str) -> list[dict[str, Any]]:
    text = helm(
        control_plane, directory, "template", "warmup", str(CHART), "--namespace", "there", *arguments
    )
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def of_kind(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def test_the_notes_say_what_to_do_next(installed: str) -> None:
    assert "kubectl apply -f -" in installed
    assert (
        "kubectl exec -i -n warmup-system deploy/warmup-fleet -- warmup --fleet mail/main mailboxes import -"
        in installed
    )


def test_one_operator_at_a_time_with_nothing_it_does_not_need(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    [deployment] = of_kind(rendered(control_plane, tmp_path), "Deployment")
    assert deployment["metadata"]["name"] == "warmup-fleet"
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["image"] == "ghcr.io/warmup-fleet/operator:0.1.0"
    variables = {it["name"]: it.get("value") for it in container["env"]}
    assert variables["WARMUP_WORKER_IMAGE"] == settings.from_environment({}).worker_image
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_crd_outlives_the_release(control_plane: ControlPlane, tmp_path: Path) -> None:
    [definition] = of_kind(rendered(control_plane, tmp_path), "CustomResourceDefinition")
    assert definition["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_a_list_of_namespaces_gives_rights_in_these_only(control_plane: ControlPlane, tmp_path: Path) -> None:
    manifests = rendered(control_plane, tmp_path, "--set", "watchNamespaces={a,b}")
    [cluster_role] = of_kind(manifests, "ClusterRole")
    assert cluster_role["rules"] == [
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}
    ]
    assert [role["metadata"]["namespace"] for role in of_kind(manifests, "Role")] == ["a", "b"]


def test_monitors_come_by_a_switch(control_plane: ControlPlane, tmp_path: Path) -> None:
    assert of_kind(rendered(control_plane, tmp_path), "ServiceMonitor") == []
    monitors = of_kind(
        rendered(control_plane, tmp_path, "--set", "serviceMonitor.enabled=true"), "ServiceMonitor"
    )
    assert [monitor["metadata"]["name"] for monitor in monitors] == ["warmup-fleet", "warmup-fleet-workers"]


def test_nothing_is_deleted_listed_or_held_that_need_not_be(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    [role] = of_kind(rendered(control_plane, tmp_path), "ClusterRole")
    for rule in role["rules"]:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        assert not {"delete", "deletecollection", "update", "impersonate", "escalate", "bind"} & set(
            rule["verbs"]
        )
        assert not any("finalizers" in resource for resource in rule["resources"])
        if "secrets" in rule["resources"]:
            assert rule["verbs"] == ["get"]


async def test_every_right_is_used_and_none_is_missing(
    scene: Scene, engine: AsyncEngine, control_plane: ControlPlane, tmp_path: Path
) -> None:
    await enrol(engine, 5)
    quota = {
        "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}},
    }  # so that the pod's absence is looked into
    control_plane.request("POST", scene.path("api/v1", "resourcequotas"), quota)
    scene.create_secrets()
    authority = {"metadata": {"name": "main-ca"}, "data": {"ca.crt": "x"}}
    control_plane.request("POST", scene.path("api/v1", "configmaps"), authority)
    scene.create_fleet(smtp={"caConfigMapRef": {"name": "main-ca"}})
    await scene.start_operator(WARMUP_WATCH_NAMESPACES="")  # the whole cluster
    await scene.reason("Starting")
    await live(engine, 1)
    await scene.reason("Running")
    stateful_set = scene.stateful_set()
    assert stateful_set is not None
    scene.merge("apis/apps/v1", "statefulsets", "main", {"spec": {"replicas": 0}})
    await scene.looked(await scene.looks() + 1)

    [role] = of_kind(rendered(control_plane, tmp_path), "ClusterRole")
    allowed = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    used = {
        (
            reference.get("apiGroup", ""),
            "/".join(filter(None, [reference["resource"], reference.get("subresource")])),
            event["verb"],
        )
        for event in control_plane.audit()
        if event["user"]["username"] == ACCOUNT and (reference := event.get("objectRef"))
    }
    assert scene.refusals() == []
    # Server-side apply of what is not there needs `create` beside `patch`; the log names the request, a patch.
    implied = {(group, resource, "create") for group, resource, verb in used if verb == "patch"}
    assert used <= allowed
    assert allowed <= used | implied
