"""An upgrade to the next release while mails flow, in the order that helm keeps: the CRD, the operator, the schema, the workers.

The version before is this release, workers and operator as they are; the one after is made up (``next_release``). What one of
the two cannot bear of the other shows here before it is released.
"""

import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.control_plane import TEST_KUBELET, ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.integration.fleet import next_release
from tests.integration.fleet.scene import Scene, count_of
from tests.integration.fleet.sending import PATIENT, Sending, pod_environment
from tests.integration.fleet.test_older_crd import bring, served
from tests.integration.fleet.test_resource import MINIMAL
from tests.submission.server import Submission
from tests.waiting import until

WORKERS = 3

Define = Callable[[dict[str, Any]], None]


@pytest.fixture
async def define(control_plane: ControlPlane, installed: str, namespace: str) -> AsyncIterator[Define]:
    """Server-side apply a CRD, as an upgrade of the chart does; afterwards this release's stands again, and is served."""
    whole = served(control_plane)
    yield lambda manifest: bring(control_plane, manifest)
    bring(control_plane, whole)
    probe = {"apiVersion": "warmupfleet.io/v1alpha1", "kind": "WarmupFleet", "metadata": {"name": "probe"}}
    path = f"/apis/warmupfleet.io/v1alpha1/namespaces/{namespace}/warmupfleets?dryRun=All"

    def forgotten() -> bool:
        made = control_plane.request("POST", path, {**probe, "spec": MINIMAL})
        return "courtesy" not in made["spec"]["recipients"]

    await until(forgotten, "the next release's field is served no more")


async def test_an_upgrade_under_load_stops_no_worker_and_sends_nothing_twice(
    scene: Scene,
    engine: AsyncEngine,
    submission: Submission,
    control_plane: ControlPlane,
    define: Define,
    tmp_path: Path,
) -> None:
    next_path = os.pathsep.join([str(next_release.build(tmp_path / "next")), *sys.path])
    image = pod_environment(PATIENT)
    kubeconfig = control_plane.kubeconfig_of(TEST_KUBELET)
    async with Kubelet(kubeconfig, tmp_path / "pods", scene.namespace, environment=image) as kubelet:
        it = Sending(scene, engine, submission, PATIENT)
        await it.create(workers=WORKERS, mailboxes=18, quota=400, cooldown=(1500, 2500))
        it.change(workers={"image": "warmup/worker:this"})
        await scene.start_operator()
        await scene.reason("Running")
        await it.claiming(*range(1, WORKERS + 1))
        epoch, before = (await count_of(engine))[1], scene.fleet()
        processes = {number: kubelet.process_of(f"main-{number}") for number in range(1, WORKERS + 1)}

        # the CRD: what was stored before is served with the new default, and the operator of before goes on
        define(next_release.definition(next_path))
        await until(
            lambda: scene.fleet()["spec"]["recipients"].get("courtesy") == next_release.COURTESY,
            "the new field is served with its default",
        )
        assert scene.fleet()["metadata"]["generation"] == before["metadata"]["generation"]
        await scene.look_again(2)
        assert scene.condition()["reason"] == "Running", scene.condition()["message"]

        # the operator and with it the schema: the workers of before send on under it, and obey what it writes
        scene.stop_operator()
        await scene.start_operator(PYTHONPATH=next_path)
        upgraded = f"SELECT clock_timestamp() AS at FROM alembic_version WHERE version_num = '{next_release.REVISION}'"
        [row] = await until(lambda: it.fleet.rows(upgraded), "the schema is the next release's")
        courteous = f"SELECT 1 FROM fleet WHERE settings['courtesy'] = '{next_release.COURTESY}'"
        await until(lambda: it.fleet.rows(courteous), "the new setting is in the row")
        it.change(emailsPerMailboxPerDay=401)
        await until(lambda: "courtesy" in scene.status()["sizing"], "the status has the new field")

        async def send_on() -> bool:
            since = await it.fleet.rows(
                "SELECT DISTINCT m.number FROM mails m JOIN workers w USING (number, incarnation)"
                " JOIN quotas q ON q.day = m.day AND q.mailbox_id = m.mailbox_id"
                " WHERE m.claimed_at > :at AND m.state = 'sent' AND q.quota = 401",
                at=row.at,
            )
            return {it.number for it in since} == set(processes)

        await until(send_on, "the workers of before send under the next schema and its settings")
        assert {number: kubelet.process_of(f"main-{number}") for number in processes} == processes
        assert all("ended" not in kubelet.log_of(f"main-{number}") for number in processes)

        # the workers, one after the other
        image["PYTHONPATH"] = next_path
        it.change(workers={"image": "warmup/worker:next"})

        def rolled() -> bool:
            status = (scene.stateful_set() or {})["status"]
            same = status["updateRevision"] == status["currentRevision"]
            return bool(same and status["readyReplicas"] == WORKERS)

        await scene.reason("RollingOut")
        await until(rolled, "every worker is the next release's")
        await scene.reason("Running")
        assert not set(processes.values()) & {kubelet.process_of(f"main-{number}") for number in processes}
        assert (await count_of(engine)) == (WORKERS, epoch)
        assert scene.events("WorkersDown") == []
        await it.judge()
        assert "in_doubt" not in await it.fleet.states()
    assert scene.refusals() == []
