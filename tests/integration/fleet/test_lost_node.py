"""F34: a node is lost and its pods stay Terminating for ever; their workers start elsewhere without anybody's help."""

import os
import signal
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.control_plane import TEST_KUBELET, ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.integration.fleet.scene import FLEETS, Scene, enrol, live, silence
from tests.integration.fleet.sending import Sending, pod_environment
from tests.submission.server import Submission
from tests.waiting import until


async def test_the_pod_of_a_lost_node_is_deleted_by_force_and_its_worker_starts_elsewhere(
    scene: Scene,
    engine: AsyncEngine,
    kubelet: Kubelet,
    submission: Submission,
    control_plane: ControlPlane,
    tmp_path: Path,
) -> None:
    """The machine hangs with mails in flight, and comes back after its worker was replaced: no mail goes out twice."""
    kubelet.room = 1
    it = Sending(scene, engine, submission)
    await it.create(workers=2, mailboxes=12, quota=400, cooldown=(1500, 2500))
    await scene.start_operator(WARMUP_TIMING='{"lost": 3}')

    def bound() -> list[str]:
        pods = scene.items("api/v1", "pods")
        return [it["metadata"]["name"] for it in pods if it["spec"].get("nodeName") == "test-node"]

    [name] = await until(bound, "the first node has a pod")
    number = int(name.removeprefix("main-"))
    other = Kubelet(
        control_plane.kubeconfig_of(TEST_KUBELET),
        tmp_path / "elsewhere",
        scene.namespace,
        environment=pod_environment(),
        node="second-node",
    )
    async with other:
        await scene.counted(engine, 2)
        await it.claiming(1, 2)
        process = kubelet.process_of(name)
        assert process is not None
        kubelet.cut_off = True
        os.kill(process, signal.SIGSTOP)
        scene.delete("api/v1", "pods", name)  # as Kubernetes does for a node that does not answer
        # A busy machine may make the other one seem down for a moment, too.
        await scene.reason("WorkersDown", saying=f"1 of 2 workers not live: {name}")

        await scene.reason("Running")
        assert other.process_of(name) is not None
        sent = f"SELECT 1 FROM mails JOIN workers USING (number, incarnation) WHERE number = {number}"
        await until(lambda: it.fleet.rows(sent), "its mailboxes are sent for again")
        forced = [event for event in scene.writes() if event["verb"] == "delete"]
        assert [event["objectRef"]["name"] for event in forced] == [name]

        os.kill(process, signal.SIGCONT)
        await until(lambda: kubelet.process_of(name) is None, "the replaced process has ended")
        assert "replaced: a newer process runs" in kubelet.log_of(name)
        await it.judge()
    assert scene.refusals() == []


async def test_a_leaving_pod_of_a_lost_node_is_deleted_by_force_too(
    scene: Scene, engine: AsyncEngine
) -> None:
    """The count no longer has its number: the StatefulSet alone tells that a pod is left over."""
    await enrol(engine, 10)
    await live(engine, 1, 2)
    scene.create_secrets()
    scene.create_fleet(workers={"replicas": 2})
    await scene.start_operator(WARMUP_TIMING='{"lost": 3}')
    await scene.reason("Running")
    await until(lambda: len(scene.items("api/v1", "pods")) == 2, "both pods")
    lost = {"metadata": {"name": "main-2"}, "target": {"kind": "Node", "name": "lost-node"}}
    scene.control_plane.request("POST", scene.path("api/v1", "pods", "main-2/binding"), lost)
    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": {"replicas": 1}}})
    await scene.counted(engine, 1)

    def going() -> bool:
        pod = scene.get("api/v1", "pods", "main-2")
        return pod is not None and "deletionTimestamp" in pod["metadata"]

    await until(going, "the pod of the lost node is Terminating")
    await scene.look_again(2)
    assert going(), "while its lease runs it drains"
    await silence(engine, 2)
    await until(lambda: scene.get("api/v1", "pods", "main-2") is None, "it is gone")
    await scene.reason("Settled", "Resizing")
    assert scene.refusals() == []
