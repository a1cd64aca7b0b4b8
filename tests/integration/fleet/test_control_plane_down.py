"""Kubernetes falls silent, part by part: workers know only Postgres and SMTP, and go on sending. Then it comes back."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.integration.fleet.scene import FLEETS, Scene
from tests.integration.fleet.sending import PATIENT, Sending
from tests.integration.worker.fleet import password_of
from tests.submission.accounts import derived
from tests.submission.server import Submission
from tests.waiting import until

MAILBOXES = 24


@contextmanager
def running_again(control_plane: ControlPlane) -> Iterator[None]:
    """Whatever of etcd and the API server was killed in the block runs again after it."""
    try:
        yield
    finally:
        if "etcd" not in control_plane.programs:
            control_plane.start_etcd()
        if "kube-apiserver" not in control_plane.programs:
            control_plane.start_api_server()


def useless(scene: Scene) -> bool:
    """Whether the API server cannot even tell of the fleet."""
    try:
        scene.control_plane.request("GET", scene.path(FLEETS, "warmupfleets", "main") + "?timeout=1s")
    except OSError:  # refused, reset, cut off before an answer, too late, or an HTTP status
        return True
    return False


async def test_workers_go_on_sending_while_etcd_and_the_api_server_are_dead(
    scene: Scene, engine: AsyncEngine, patient_kubelet: Kubelet, control_plane: ControlPlane
) -> None:
    # In a thread: the server must answer also while this test waits for a program to start.
    with Submission(derived(password_of)).in_thread() as submission:
        it = Sending(scene, engine, submission, PATIENT)
        await it.create(workers=2, mailboxes=MAILBOXES, quota=400, cooldown=(1000, 2000))
        await scene.start_operator()
        await scene.reason("Running")
        await it.claiming(1, 2)
        pods = [patient_kubelet.process_of(f"main-{number}") for number in (1, 2)]

        with running_again(control_plane):
            for kill in control_plane.kill_etcd, control_plane.kill_api_server:
                kill()
                await until(lambda: asyncio.to_thread(useless, scene), "the API server is of no use")
                # More than twice as many as could be in flight: mailboxes have claimed again since.
                enough = len(submission.journal.accepted) + 2 * MAILBOXES
                await until(lambda n=enough: len(submission.journal.accepted) >= n, "they go on sending")  # type: ignore[misc]
        assert [patient_kubelet.process_of(f"main-{number}") for number in (1, 2)] == pods
        assert scene.operator is not None
        assert scene.operator.poll() is None

        it.wish(3)
        await scene.counted(engine, 3)
        await it.claiming(1, 2, 3)
        await it.judge()
