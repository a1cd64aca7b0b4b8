"""The control plane is a real one: it knows its users, forgets nothing, and says why it cannot start."""

import urllib.error
from pathlib import Path

import pytest
import yaml
from kubernetes.aio.config import new_client_from_config
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import ForbiddenError

from tests.cluster.control_plane import SERVER_SIDE_APPLY, ControlPlane, ControlPlaneError
from tests.waiting import until

CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings"},
    "data": {"colour": "red"},
}


async def test_the_kubeconfig_is_all_that_a_client_needs(control_plane: ControlPlane) -> None:
    client = await new_client_from_config(str(control_plane.kubeconfig), persist_config=False)
    async with client:
        answer = await DynamicClient(client).request("get", "/version", serializer=lambda _, plain: plain)
    assert answer["gitVersion"] == "v1.36.3"


async def test_the_audit_log_shows_a_patch_that_changes_nothing(
    control_plane: ControlPlane, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/settings"

    def apply() -> str:
        answer = control_plane.request("PATCH", f"{path}?fieldManager=test", CONFIG_MAP, SERVER_SIDE_APPLY)
        return str(answer["metadata"]["resourceVersion"])

    def patches() -> list[str]:
        return [
            event["user"]["username"]
            for event in control_plane.audit()
            if event["verb"] == "patch" and event["objectRef"].get("namespace") == namespace
        ]

    first = apply()
    await until(lambda: len(patches()) == 1, "one PATCH in the audit log")
    assert apply() == first
    await until(lambda: len(patches()) == 2, "two PATCHes in the audit log")
    assert set(patches()) == {"admin"}


async def test_a_service_account_may_do_what_its_rules_say(
    control_plane: ControlPlane, namespace: str
) -> None:
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}
    control_plane.request("POST", f"{rbac}/roles", {"metadata": {"name": "reader"}, "rules": [rule]})
    binding = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }
    control_plane.request("POST", f"{rbac}/rolebindings", binding)

    kubeconfig = control_plane.kubeconfig_of_service_account(namespace, "default")
    client = await new_client_from_config(str(kubeconfig), persist_config=False)
    async with client:
        api = DynamicClient(client)

        async def may_list() -> bool:
            try:
                await api.request("get", f"/api/v1/namespaces/{namespace}/configmaps")
            except ForbiddenError:
                return False
            return True

        await until(may_list, "the role takes effect")
        with pytest.raises(ForbiddenError):
            await api.request("get", f"/api/v1/namespaces/{namespace}/secrets")


async def test_a_stateful_set_numbers_its_pods_from_one(control_plane: ControlPlane, namespace: str) -> None:
    manifest = """
    metadata: {name: main}
    spec:
      replicas: 2
      serviceName: main
      ordinals: {start: 1}
      podManagementPolicy: Parallel
      selector: {matchLabels: {app: main}}
      template:
        metadata: {labels: {app: main}}
        spec: {containers: [{name: main, image: none}]}
    """
    control_plane.request(
        "POST", f"/apis/apps/v1/namespaces/{namespace}/statefulsets", yaml.safe_load(manifest)
    )

    def pods() -> dict[str, str]:
        items = control_plane.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
        labels = {item["metadata"]["name"]: item["metadata"]["labels"] for item in items}
        return {name: label["apps.kubernetes.io/pod-index"] for name, label in labels.items()}

    await until(lambda: pods() == {"main-1": "1", "main-2": "2"}, "the pods main-1 and main-2")


def test_a_killed_api_server_comes_back_with_its_data(control_plane: ControlPlane) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    made = control_plane.request("POST", path, {"metadata": {"name": "kept"}})
    control_plane.kill_api_server()
    with pytest.raises(urllib.error.URLError, match="refused"):
        control_plane.request("GET", path)
    control_plane.start_api_server()
    assert control_plane.request("GET", f"{path}/kept")["metadata"]["uid"] == made["metadata"]["uid"]
    control_plane.request("DELETE", f"{path}/kept")


def test_a_program_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "etcd").write_text("a file where the data folder should be")
    with pytest.raises(ControlPlaneError) as problem, ControlPlane(tmp_path):
        pass
    text = str(problem.value)
    assert text.startswith("etcd ended with code ")
    assert "not a directory" in text.splitlines()[-1]
