"""What a cluster does to pods on purpose: nodes are drained one worker at a time, and a spot machine is taken back.

The Eviction API of a real API server, with the fleet's PodDisruptionBudget; the pods are real worker processes.
"""

import asyncio
import re
import urllib.error
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.control_plane import TEST_KUBELET, ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.integration.fleet.scene import Json, Scene
from tests.integration.fleet.sending import PATIENT, Sending, pod_environment
from tests.submission import faults
from tests.submission.faults import Exchange, Fault, Step
from tests.submission.server import Submission
from tests.waiting import until
from warmup_worker.timing import Timing

ADMITTED, REFUSED = 201, 429
NOTICE = 120
"""Seconds from a cloud's word that it takes a spot machine back to its end (Amazon EC2; Azure and Google give 30)."""


def node(control_plane: ControlPlane, scene: Scene, folder: Path, timing: Timing = PATIENT) -> Kubelet:
    """A node for the scene's pods, of the folder's name."""
    kubeconfig, environment = control_plane.kubeconfig_of(TEST_KUBELET), pod_environment(timing)
    return Kubelet(kubeconfig, folder, scene.namespace, environment=environment, node=folder.name)


@pytest.fixture
async def kubelet(control_plane: ControlPlane, scene: Scene, tmp_path: Path) -> AsyncIterator[Kubelet]:
    """A node whose workers are not taken for dead."""
    async with node(control_plane, scene, tmp_path / "test-node") as running:
        yield running


def evict(scene: Scene, name: str) -> int:
    """Ask the Eviction API for this pod's end, as `kubectl drain` does; the status of the answer."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    try:
        scene.control_plane.request("POST", scene.path("api/v1", "pods", f"{name}/eviction"), eviction)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return ADMITTED


def pod_of(scene: Scene, number: int) -> Json:
    pod = scene.get("api/v1", "pods", f"main-{number}")
    assert pod is not None
    return pod


def is_ready(pod: Json) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(it["type"] == "Ready" and it["status"] == "True" for it in conditions)


async def spare(scene: Scene, count: int) -> None:
    """Wait until the budget admits so many evictions."""

    def admits() -> bool:
        budget = scene.get("apis/policy/v1", "poddisruptionbudgets", "main-workers")
        status = (budget or {}).get("status", {})
        return bool(status.get("expectedPods") and status["disruptionsAllowed"] == count)

    await until(admits, f"the budget admits {count}")


async def addresses_of(it: Sending, number: int, workers: int) -> list[str]:
    """The senders that this worker owns."""
    rows = await it.fleet.rows(
        "SELECT address FROM mailboxes WHERE id % :n = :w - 1 ORDER BY id", n=workers, w=number
    )
    return [row.address for row in rows]


class Struck:
    """Faults for the next mail of some senders each; ``who``: whom they have struck."""

    def __init__(self, chosen: Mapping[str, Fault]) -> None:
        self._waiting = dict(chosen)
        self.who: set[str] = set()

    async def __call__(self, exchange: Exchange) -> str | None:
        sender = exchange.mail_from or ""
        fault = self._waiting.pop(sender, None)
        if fault is None:
            return None
        self.who.add(sender)
        return await fault(exchange)

    async def all(self) -> None:
        await until(lambda: not self._waiting, "every fault has struck")


async def test_the_eviction_api_takes_one_worker_and_the_next_when_it_is_back(
    scene: Scene, engine: AsyncEngine, kubelet: Kubelet, submission: Submission
) -> None:
    """field-037."""
    it = Sending(scene, engine, submission, PATIENT)
    await it.create(workers=2, mailboxes=8, quota=400, cooldown=(1500, 2500))
    await scene.start_operator()
    await scene.counted(engine, 2)
    await it.claiming(1, 2)
    await spare(scene, 1)

    # worker 1 drains for as long as a reply is waited for
    first, [sender, *_] = pod_of(scene, 1), await addresses_of(it, 1, 2)
    reply = asyncio.Event()
    submission.faults[Step.REPLY] = struck = Struck({sender: faults.hold(reply)})
    await struck.all()
    # Not where a busy machine has let a probe of either fail since.
    await until(lambda: evict(scene, "main-1") == ADMITTED, "the first eviction is admitted")
    assert evict(scene, "main-2") == REFUSED
    await until(lambda: "asked to end: draining" in kubelet.log_of("main-1"), "it drains")
    assert evict(scene, "main-2") == REFUSED
    reply.set()

    # neither is the second given up while the first comes back, before it is ready
    await until(lambda: evict(scene, "main-2") == ADMITTED, "the second eviction is admitted")
    back = pod_of(scene, 1)
    assert back["metadata"]["uid"] != first["metadata"]["uid"]
    assert is_ready(back)
    await spare(scene, 1)

    # a rollout that replaces a pod counts against the same budget
    sender, *_ = await addresses_of(it, 2, 2)
    reply = asyncio.Event()
    submission.faults[Step.REPLY] = struck = Struck({sender: faults.hold(reply)})
    await struck.all()
    it.change(workers={"image": "warmup/worker:next"})
    await until(lambda: "deletionTimestamp" in pod_of(scene, 2)["metadata"], "the rollout takes the second")
    await spare(scene, 0)
    assert evict(scene, "main-1") == REFUSED
    reply.set()
    await it.judge()
    assert "in_doubt" not in await it.fleet.states()


async def test_a_spot_machine_that_is_taken_back_takes_no_mail_along(
    scene: Scene,
    engine: AsyncEngine,
    submission: Submission,
    control_plane: ControlPlane,
    tmp_path: Path,
) -> None:
    """All the pod may have in hand: a reply that comes in time, one that never comes, and a mail that has no dot yet.

    The manifest's least grace is 70 s; the worker stops waiting ``margin`` before its end, which is in its middle here. So long
    this test has to see that the mail without a dot is handed back, and to let the late reply come.
    """
    timing = replace(PATIENT, hand_back=0.5, margin=35.0)
    it = Sending(scene, engine, submission, timing)
    await it.create(workers=2, mailboxes=12, quota=400, cooldown=(1500, 2500))
    it.change(workers={"terminationGracePeriodSeconds": 70})
    await scene.start_operator()
    async with AsyncExitStack() as nodes:
        spot = await nodes.enter_async_context(node(control_plane, scene, tmp_path / "spot-node", timing))
        spot.room = 1

        def bound() -> list[int]:
            pods = scene.items("api/v1", "pods")
            names = [pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName") == "spot-node"]
            return [int(name.removeprefix("main-")) for name in names]

        [number] = await until(bound, "the spot machine has a pod")
        name = f"main-{number}"
        other = await nodes.enter_async_context(node(control_plane, scene, tmp_path / "second-node", timing))
        await scene.counted(engine, 2)
        await it.claiming(1, 2)
        late, never, undotted, *_ = await addresses_of(it, number, 2)
        reply = asyncio.Event()
        submission.faults[Step.REPLY] = answers = Struck({late: faults.hold(reply), never: faults.silence})
        await answers.all()
        submission.faults[Step.DATA] = dialogue = Struck({undotted: faults.silence})
        await dialogue.all()
        in_hand = (
            "SELECT m.id, m.state, m.reply, b.address FROM mails m JOIN mailboxes b ON b.id = m.mailbox_id"
        )
        held = await it.fleet.rows(
            f"{in_hand} WHERE m.state = 'intent' AND b.address = ANY (:who)", who=[late, never, undotted]
        )
        assert {row.address for row in held} == {late, never, undotted}

        spot.room = 0  # cordoned; then every pod on it is evicted
        assert evict(scene, name) == ADMITTED
        ending = pod_of(scene, number)["metadata"]
        assert ending["deletionGracePeriodSeconds"] == 70 < NOTICE
        await until(lambda: "draining for at most 70 s" in spot.log_of(name), "it drains")
        handed_back = f"{in_hand} WHERE m.state = 'failed' AND b.address = :who"
        await until(lambda: it.fleet.rows(handed_back, who=undotted), "what has no dot is handed back")
        reply.set()  # only now: replies are waited for longer than dots
        await until(lambda: "ended with exit code" in spot.log_of(name), "it has ended")
        assert re.findall(r"ended with exit code (\d+)", spot.log_of(name)) == ["0"]
        ended = {
            row.address: (row.state, row.reply)
            for row in await it.fleet.rows(f"{in_hand} WHERE m.id = ANY (:ids)", ids=[row.id for row in held])
        }
        assert ended[late][0] == "sent"
        assert ended[never] == ("in_doubt", "shutdown: the reply to the dot was not awaited")
        assert ended[undotted] == ("failed", "handed back: shutdown")

        # its number runs elsewhere, by itself, and all three send again
        await until(lambda: other.process_of(name), "the worker runs on the other node")
        before = len(submission.journal.events)

        def sent_again() -> bool:
            events = submission.journal.events[before:]
            return {late, never, undotted} <= {it.mail_from for it in events if it.kind == "accepted"}

        await until(sent_again, "all three mailboxes send again")
        await it.judge()
        assert (await it.fleet.states())["in_doubt"] == 1
