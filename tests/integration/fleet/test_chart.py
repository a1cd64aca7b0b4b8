"""The chart as a user installs it: what it makes, what the operator may do, what stays when it goes."""

import json
from base64 import b64encode
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.control_plane import ControlPlane
from tests.integration.chart.test_values import GUARDED, PLACED, TRIAL
from tests.integration.fleet.conftest import CHART, helm
from tests.integration.fleet.scene import ACCOUNT, Scene, enrol, live
from tests.waiting import until
from warmup_operator import settings

LOST_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}
"""All that the operator may delete: pods that a lost node keeps Terminating."""
NOT_HERE = {("", "pods", "delete"), ("warmupfleet.io", "warmupfleets", "patch")}
"""Rights that a scene without a lost node and without deletionPolicy Purge has no use for."""


def rendered(control_plane: ControlPlane, directory: Path, *arguments: str) -> list[dict[str, Any]]:
    text = helm(
        control_plane, directory, "template", "warmup", str(CHART), "--namespace", "there", *arguments
    )
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def of_kind(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def operators(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """The role of the operator, beside those for people."""
    roles = {it["metadata"]["name"]: it for it in of_kind(manifests, "ClusterRole")}
    return roles["warmup-fleet-there"]


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
    """field-034: it is a template with this policy, and stays one."""
    [definition] = of_kind(rendered(control_plane, tmp_path), "CustomResourceDefinition")
    assert definition["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_upgrade_and_rollback_leave_fleets_as_they_are(
    control_plane: ControlPlane, installed: str, namespace: str, tmp_path: Path
) -> None:
    """field-034: the CRD is neither made anew nor moved, so nothing of it goes."""
    path = f"/apis/warmupfleet.io/v1alpha1/namespaces/{namespace}/warmupfleets"
    spec = {"database": {"urlSecretRef": {"name": "d"}}, "encryption": {"keysSecretRef": {"name": "k"}}}
    manifest = {"apiVersion": "warmupfleet.io/v1alpha1", "kind": "WarmupFleet", "metadata": {"name": "main"}}
    before = control_plane.request("POST", path, {**manifest, "spec": spec})
    definition = f"{PATHS['CustomResourceDefinition']}/warmupfleets.warmupfleet.io"
    uid = control_plane.request("GET", definition)["metadata"]["uid"]
    release = ("warmup", "--namespace", "warmup-system")
    helm(
        control_plane, tmp_path, "upgrade", *release[:1], str(CHART), *release[1:], "--set", "idleSeconds=29"
    )
    helm(control_plane, tmp_path, "rollback", *release)
    after = control_plane.request("GET", f"{path}/main")
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    assert control_plane.request("GET", definition)["metadata"]["uid"] == uid


def test_a_list_of_namespaces_gives_rights_in_these_only(control_plane: ControlPlane, tmp_path: Path) -> None:
    manifests = rendered(control_plane, tmp_path, "--set", "watchNamespaces={a,b}")
    [cluster_role] = of_kind(manifests, "ClusterRole")
    assert cluster_role["rules"] == [
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}
    ]
    assert [role["metadata"]["namespace"] for role in of_kind(manifests, "Role")] == ["a", "b"]


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("view", {"get", "list", "watch"}),
        (
            "edit",
            {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "scale"},
        ),
        (
            "admin",
            {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "scale"},
        ),
    ],
)
async def test_whoever_may_view_or_edit_a_namespace_may_do_so_with_its_fleets(
    control_plane: ControlPlane, installed: str, namespace: str, role: str, may: set[str]
) -> None:
    binding = {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nina"}],
    }
    bindings = PATHS["RoleBinding"].format(namespace=namespace)
    control_plane.request("POST", bindings, binding)

    def allowed(verb: str, subresource: str = "") -> bool:
        asked = {"namespace": namespace, "verb": verb, "group": "warmupfleet.io", "resource": "warmupfleets"}
        review = {"spec": {"user": "nina", "resourceAttributes": asked | {"subresource": subresource}}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(control_plane.request("POST", path, review)["status"]["allowed"])

    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")

    def granted() -> bool:
        scales = {"scale"} if allowed("patch", "scale") else set()
        return {verb for verb in verbs if allowed(verb)} | scales == may

    await until(granted, "exactly these are granted, once the roles are aggregated")
    assert allowed("get", "scale")
    assert not allowed("patch", "status"), "that is the operator's"


def test_monitors_come_by_a_switch(control_plane: ControlPlane, tmp_path: Path) -> None:
    assert of_kind(rendered(control_plane, tmp_path), "ServiceMonitor") == []
    monitors = of_kind(
        rendered(control_plane, tmp_path, "--set", "serviceMonitor.enabled=true"), "ServiceMonitor"
    )
    assert [monitor["metadata"]["name"] for monitor in monitors] == ["warmup-fleet", "warmup-fleet-workers"]


def test_nothing_is_deleted_listed_or_held_that_need_not_be(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    role = operators(rendered(control_plane, tmp_path))
    deleted = [rule for rule in role["rules"] if "delete" in rule["verbs"]]
    assert deleted == [LOST_PODS]
    for rule in role["rules"]:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        assert not {"deletecollection", "update", "impersonate", "escalate", "bind"} & set(rule["verbs"])
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

    role = operators(rendered(control_plane, tmp_path))
    allowed = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }

    def used() -> set[tuple[str, str, str]]:
        return {
            (
                reference.get("apiGroup", ""),
                "/".join(filter(None, [reference["resource"], reference.get("subresource")])),
                event["verb"],
            )
            for event in control_plane.audit()
            if event["user"]["username"] == ACCOUNT and (reference := event.get("objectRef"))
        }

    def unused() -> set[tuple[str, str, str]]:
        # Server-side apply of what is not there needs `create` beside `patch`; the log names the request, a patch.
        implied = {(group, resource, "create") for group, resource, verb in used() if verb == "patch"}
        return allowed - used() - implied - NOT_HERE

    # The log has a request once it is answered, and the watches begin when they will.
    await until(lambda: not unused(), f"all of {sorted(unused())} are used")
    assert scene.refusals() == []
    assert used() <= allowed


PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "Secret": "/api/v1/namespaces/{namespace}/secrets",
    "StatefulSet": "/apis/apps/v1/namespaces/{namespace}/statefulsets",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}


def matrix(namespace: str) -> Iterator[dict[str, Any]]:
    """Values with none of four switches, with all, and with any two: each three of them stand in every combination."""
    switches: tuple[dict[str, Any], ...] = (
        {**PLACED, "dashboard": {"enabled": True}},
        {"networkPolicy": GUARDED["networkPolicy"]},
        {"watchNamespaces": [namespace]},
        TRIAL,
    )
    for on in product((False, True), repeat=len(switches)):
        if sum(on) % 2 == 0:
            chosen = [values for values, it in zip(switches, on, strict=True) if it]
            yield {name: value for values in chosen for name, value in values.items()}


def test_the_api_server_takes_all_that_values_can_make(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    """A dry run there, strict about unknown fields. The kinds of the Prometheus operator are not served here."""
    for values in matrix(namespace):
        file = tmp_path / "values.json"
        file.write_text(json.dumps(values))
        text = helm(
            control_plane, tmp_path, "template", "w", str(CHART), "--namespace", namespace, "-f", str(file)
        )
        for manifest in filter(None, yaml.safe_load_all(text)):
            path = PATHS[manifest["kind"]].format(namespace=namespace)
            asked = "dryRun=All&fieldManager=test&force=true&fieldValidation=Strict"
            control_plane.request(
                "PATCH",
                f"{path}/{manifest['metadata']['name']}?{asked}",
                manifest,
                "application/apply-patch+yaml",
            )


def test_an_upgrade_keeps_the_password_of_the_trial(
    control_plane: ControlPlane, installed: str, tmp_path: Path
) -> None:
    """As helm renders it on the server, where it finds what the first installation made."""
    release = ("warmup", str(CHART), "--namespace", "warmup-system")

    def password() -> str:
        said = ("template", *release, "--dry-run=server", "--set", "postgresql.trial=true")
        text = helm(control_plane, tmp_path, *said)
        [secret] = of_kind([it for it in yaml.safe_load_all(text) if it], "Secret")
        return str(secret["stringData"]["password"])

    first = password()
    assert password() != first, "made anew while there is none"
    annotations = {"meta.helm.sh/release-name": "warmup", "meta.helm.sh/release-namespace": "warmup-system"}
    labels = {"app.kubernetes.io/managed-by": "Helm"}
    metadata = {"name": "warmup-fleet-postgresql", "annotations": annotations, "labels": labels}
    secret = {"metadata": metadata, "data": {"password": b64encode(first.encode()).decode()}}
    path = "/api/v1/namespaces/warmup-system/secrets"
    control_plane.request("POST", path, secret)
    try:
        assert password() == first
    finally:
        control_plane.request("DELETE", f"{path}/warmup-fleet-postgresql")
