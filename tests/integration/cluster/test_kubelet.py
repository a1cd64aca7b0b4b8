"""The test kubelet does to a process what a real one does to a container, and tells the API server the truth."""

import os
import re
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.cluster.control_plane import MERGE_PATCH, TEST_KUBELET, ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.waiting import until

STATEFUL_SET = """
metadata: {name: main}
spec:
  replicas: 1
  serviceName: main
  ordinals: {start: 1}
  podManagementPolicy: Parallel
  selector: {matchLabels: {app.kubernetes.io/name: warmup-worker}}
  template:
    metadata: {labels: {app.kubernetes.io/name: warmup-worker}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 30
      containers:
        - name: worker
          image: warmup-worker
          args: [worker]
          ports: [{name: http, containerPort: 3000}]
          env:
            - {name: PLAIN, value: as it is}
            - {name: WARMUP_WORKER_ID, valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}}
            - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            - {name: ADDRESS, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
            - {name: DATABASE_URL_FILE, value: /etc/warmup/database/url}
          volumeMounts: [{name: database, mountPath: /etc/warmup/database, readOnly: true}]
          livenessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1, failureThreshold: 60}
          readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 5, failureThreshold: 1, timeoutSeconds: 30}
      volumes: [{name: database, secret: {secretName: main-database}}]
"""


QUICKLY_DEAD = {
    "startupProbe": {
        "httpGet": {"path": "/healthz", "port": "http"},
        "periodSeconds": 1,
        "failureThreshold": 60,
    },
    "livenessProbe": {
        "httpGet": {"path": "/healthz", "port": "http"},
        "periodSeconds": 1,
        "failureThreshold": 2,
    },
}
"""For a process that shall be found dead. The others have a minute: a busy machine may let none start or answer for seconds."""


@dataclass(frozen=True)
class Cluster:
    """One namespace with a kubelet, and what the tests ask of it."""

    control_plane: ControlPlane
    namespace: str
    kubelet: Kubelet

    def create(self, kind: str, manifest: Any, group: str = "api/v1") -> None:
        self.control_plane.request("POST", f"/{group}/namespaces/{self.namespace}/{kind}", manifest)

    def create_secret(self, name: str, **data: str) -> None:
        encoded = {key: b64encode(value.encode()).decode() for key, value in data.items()}
        self.create("secrets", {"metadata": {"name": name}, "data": encoded})

    def create_stateful_set(
        self, replicas: int = 1, container: dict[str, Any] | None = None, **pod: Any
    ) -> None:
        manifest = yaml.safe_load(STATEFUL_SET)
        manifest["spec"]["replicas"] = replicas
        template = manifest["spec"]["template"]["spec"]
        template |= pod
        template["containers"][0] |= container or {}
        self.create("statefulsets", manifest, "apis/apps/v1")

    def ready_replicas(self) -> int:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/statefulsets/main"
        return int(self.control_plane.request("GET", path)["status"].get("readyReplicas", 0))

    def pods(self) -> dict[str, dict[str, Any]]:
        items = self.control_plane.request("GET", f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        return {item["metadata"]["name"]: item for item in items}

    def container(self, pod: str) -> dict[str, Any]:
        """The status of the pod's only container; empty as long as there is none."""
        statuses = self.pods().get(pod, {}).get("status", {}).get("containerStatuses", [{}])
        return dict(statuses[0])

    def delete(self, pod: str, **options: Any) -> None:
        self.control_plane.request("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{pod}", options)

    async def ask(self, pod: str, path: str) -> str:
        """GET from the pod's process."""
        async with aiohttp.request("GET", self._url(pod, path)) as answer:
            return await answer.text()

    async def tell(self, pod: str, path: str, code: int) -> None:
        """Make the pod's process answer a probe with `code` from now on."""
        async with aiohttp.request("PUT", self._url(pod, path), data=str(code)) as answer:
            assert answer.status == 204

    def _url(self, pod: str, path: str) -> str:
        return f"http://{self.pods()[pod]['status']['podIP']}:3000{path}"


@pytest.fixture
async def cluster(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    command = [sys.executable, str(Path(__file__).with_name("stand_in.py"))]
    kubeconfig = control_plane.kubeconfig_of(TEST_KUBELET)
    async with Kubelet(
        kubeconfig, tmp_path, namespace, command=command, environment={"FROM": "image"}
    ) as kubelet:
        yield Cluster(control_plane, namespace, kubelet)


async def test_the_pods_of_a_stateful_set_become_processes_that_know_their_number(cluster: Cluster) -> None:
    cluster.create_secret("main-database", url="postgresql://one")
    cluster.create_stateful_set(replicas=2)
    await until(lambda: cluster.ready_replicas() == 2, "both pods are ready")
    pods = cluster.pods()
    assert {pod["spec"]["nodeName"] for pod in pods.values()} == {"test-node"}
    assert len({pod["status"]["podIP"] for pod in pods.values()}) == 2
    for name, number in ("main-1", "1"), ("main-2", "2"):
        assert await cluster.ask(name, "/env/WARMUP_WORKER_ID") == number
        assert await cluster.ask(name, "/env/POD") == name
        assert await cluster.ask(name, "/env/ADDRESS") == pods[name]["status"]["podIP"]
        assert await cluster.ask(name, "/env/PLAIN") == "as it is"
        assert await cluster.ask(name, "/file/DATABASE_URL_FILE") == "postgresql://one"
        assert cluster.kubelet.log_of(name) == "started with ['worker']\n"


async def test_a_process_has_the_image_s_environment_and_not_ours(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ours")
    cluster.create_secret("main-database", url="postgresql://one")
    cluster.create_stateful_set()
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready")
    assert await cluster.ask("main-1", "/env/DATABASE_URL") == ""
    assert await cluster.ask("main-1", "/env/FROM") == "image"


async def test_a_deleted_pod_gets_sigterm_and_its_successor_a_new_process(cluster: Cluster) -> None:
    cluster.create_secret("main-database", url="postgresql://one")
    cluster.create_stateful_set()
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready")
    uid, process = cluster.pods()["main-1"]["metadata"]["uid"], cluster.kubelet.process_of("main-1")
    cluster.delete("main-1")
    await until(
        lambda: cluster.pods().get("main-1", {}).get("metadata", {}).get("uid", uid) != uid, "a new pod"
    )
    await until(lambda: cluster.container("main-1").get("ready"), "the new pod is ready")
    assert cluster.kubelet.log_of("main-1").splitlines() == [
        "started with ['worker']",
        "SIGTERM",
        "started with ['worker']",
    ]
    assert cluster.kubelet.process_of("main-1") not in (process, None)


async def test_a_process_deaf_to_sigterm_is_killed_after_its_grace(cluster: Cluster) -> None:
    cluster.create_secret("main-database", url="postgresql://one")
    cluster.create_stateful_set(
        container={
            "env": [{"name": "DEAF", "value": "yes"}],
            "livenessProbe": None,
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 3000}},
        }
    )
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready")
    cluster.delete("main-1", gracePeriodSeconds=600)
    await until(lambda: "SIGTERM" in cluster.kubelet.log_of("main-1"), "SIGTERM has come")
    assert "deletionTimestamp" in cluster.pods()["main-1"]["metadata"]
    assert cluster.kubelet.process_of("main-1")
    cluster.delete("main-1", gracePeriodSeconds=2)  # shorter, as it may become at any time
    await until(lambda: cluster.kubelet.log_of("main-1").count("started") == 2, "the next process")


async def test_a_changed_secret_reaches_the_file(cluster: Cluster) -> None:
    cluster.create_secret("main-database", url="postgresql://one")
    cluster.create_stateful_set()
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready")
    process = cluster.kubelet.process_of("main-1")
    path = f"/api/v1/namespaces/{cluster.namespace}/secrets/main-database"
    cluster.control_plane.request("PATCH", path, {"stringData": {"url": "postgresql://two"}}, MERGE_PATCH)

    async def url() -> str:
        return await cluster.ask("main-1", "/file/DATABASE_URL_FILE")

    async def changed() -> bool:
        try:
            return await url() == "postgresql://two"
        except aiohttp.ClientError:  # the version that it was about to open has just gone
            return False

    await until(changed, "the file has the new URL")
    assert cluster.kubelet.process_of("main-1") == process


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ({}, "ContainerCreating"),
        (
            {
                "env": [{"name": "URL", "valueFrom": {"secretKeyRef": {"name": "late", "key": "url"}}}],
                "volumeMounts": [],
            },
            "CreateContainerConfigError",
        ),
    ],
    ids=["volume", "variable"],
)
async def test_a_pod_waits_for_its_secret(cluster: Cluster, container: dict[str, Any], reason: str) -> None:
    late = {"name": "database", "secret": {"secretName": "late"}}
    cluster.create_stateful_set(container=container, volumes=[late] if reason == "ContainerCreating" else [])

    def waiting() -> dict[str, str]:
        return dict(cluster.container("main-1").get("state", {}).get("waiting", {}))

    await until(lambda: waiting().get("message"), "the pod says what it waits for")
    assert waiting() == {"reason": reason, "message": 'secret "late" not found'}
    assert cluster.pods()["main-1"]["status"]["phase"] == "Pending"
    cluster.create_secret("late", url="postgresql://late")
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready")


async def test_readiness_follows_the_probe(cluster: Cluster) -> None:
    cluster.create_secret("main-database", url="postgresql://one")
    cluster.create_stateful_set()
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready")
    await cluster.tell("main-1", "/readyz", 503)
    await until(lambda: cluster.ready_replicas() == 0, "the pod is not ready")
    assert "running" in cluster.container("main-1")["state"]
    await cluster.tell("main-1", "/readyz", 200)
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready again")
    assert cluster.container("main-1")["restartCount"] == 0


async def test_a_process_that_is_not_alive_is_restarted(cluster: Cluster) -> None:
    cluster.create_secret("main-database", url="postgresql://one")
    cluster.create_stateful_set(container=QUICKLY_DEAD)
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready")
    await cluster.tell("main-1", "/healthz", 500)
    await until(lambda: cluster.container("main-1")["restartCount"] >= 1, "the process was restarted")
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready again")
    assert "SIGTERM" in cluster.kubelet.log_of("main-1")


async def test_a_killed_process_is_restarted_and_told_of(cluster: Cluster) -> None:
    cluster.create_secret("main-database", url="postgresql://one")
    cluster.create_stateful_set()
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready")
    process = cluster.kubelet.process_of("main-1")
    assert process
    os.kill(process, signal.SIGKILL)
    await until(lambda: cluster.container("main-1")["restartCount"] == 1, "the process was restarted")
    assert cluster.container("main-1")["lastState"]["terminated"]["exitCode"] == 128 + signal.SIGKILL
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready again")
    assert cluster.kubelet.process_of("main-1") not in (process, None)


async def test_what_it_cannot_do_it_refuses(cluster: Cluster) -> None:
    cluster.create_stateful_set(
        container={"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}, "volumeMounts": []},
        volumes=[{"name": "scratch", "hostPath": {"path": "/"}}],
    )
    await until(
        lambda: cluster.container("main-1").get("state", {}).get("waiting", {}).get("message"), "a message"
    )
    assert cluster.container("main-1")["state"]["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": "the test kubelet cannot do: container lifecycle, volume scratch: hostPath",
    }


async def test_any_other_pod_is_called_ready(cluster: Cluster) -> None:
    pod = {"metadata": {"name": "other"}, "spec": {"containers": [{"name": "one", "image": "none"}]}}
    cluster.create("pods", pod)
    await until(lambda: cluster.container("other").get("ready"), "the pod is ready")
    assert cluster.pods()["other"]["status"]["phase"] == "Running"
    assert cluster.kubelet.process_of("other") is None
    cluster.delete("other")
    await until(lambda: "other" not in cluster.pods(), "the pod is gone")


async def test_processes_live_on_while_the_api_server_is_away(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.create_secret("main-database", url="postgresql://one")
    cluster.create_stateful_set()
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready")
    process = cluster.kubelet.process_of("main-1")
    cluster.control_plane.kill_api_server()
    await until(lambda: "cannot be reached" in caplog.text, "the kubelet misses the API server")
    cluster.control_plane.start_api_server()
    await cluster.tell("main-1", "/readyz", 503)
    await until(lambda: not cluster.container("main-1")["ready"], "the status is reported again")
    assert cluster.kubelet.process_of("main-1") == process


async def test_an_idle_pod_costs_no_write(cluster: Cluster) -> None:
    cluster.create_secret("main-database", url="postgresql://one")
    cluster.create_stateful_set()
    await until(lambda: cluster.ready_replicas() == 1, "the pod is ready")

    def rounds() -> str:
        """One letter for each list of the kubelet and each patch, in order."""
        verbs = [
            event["verb"]
            for event in cluster.control_plane.audit()
            if event["user"]["username"] == TEST_KUBELET
            and event["objectRef"].get("namespace") == cluster.namespace
        ]
        return "".join(it[0] for it in verbs if it in ("list", "patch"))

    # The log comes after what it tells of, and there was news until now: idle is what follows a patch.
    await until(lambda: re.search("pl{4,}$", rounds()), "four rounds without a write after the last one")


async def test_nothing_is_left_when_it_ends(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    kubeconfig = control_plane.kubeconfig_of(TEST_KUBELET)
    async with Kubelet(kubeconfig, tmp_path, namespace, command=["sleep", "600"]) as kubelet:
        cluster = Cluster(control_plane, namespace, kubelet)
        cluster.create_secret("main-database", url="postgresql://one")
        cluster.create_stateful_set(container={"args": []})
        process = await until(lambda: kubelet.process_of("main-1"), "a process")
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert os.listdir(tmp_path) == ["main-1.log"]
