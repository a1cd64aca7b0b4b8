"""F14: the number of workers changes while they send, and whatever can go wrong in the middle does."""

import asyncio
import os
import re
import signal

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.kubelet import Kubelet
from tests.integration.fleet.scene import Json, Scene
from tests.integration.fleet.sending import PATIENT, Sending
from tests.submission import faults
from tests.submission.faults import Step
from tests.submission.server import Submission
from tests.waiting import until


def running(kubelet: Kubelet, number: int) -> int:
    process = kubelet.process_of(f"main-{number}")
    assert process is not None
    return process


async def test_from_four_to_eight_to_four_through_every_death(
    scene: Scene, engine: AsyncEngine, kubelet: Kubelet, submission: Submission
) -> None:
    """Also field-031: one mail whose reply never comes is in flight from the first to the last resize."""
    never = asyncio.Event()
    submission.faults[Step.REPLY] = faults.first(1, faults.hold(never))
    it = Sending(scene, engine, submission)
    await it.create(workers=4, mailboxes=32, quota=400, cooldown=(1500, 2500))
    await it.fleet.execute("UPDATE mailboxes SET quota_override = 4 WHERE id % 5 = 0")
    await scene.start_operator()
    await scene.counted(engine, 4)
    await it.claiming(1, 2, 3, 4)

    it.wish(8)
    await it.asked(8)
    scene.kill_operator()  # the replicas are raised, the count has not turned
    await it.live(6)
    os.kill(running(kubelet, 6), signal.SIGKILL)  # a new worker dies while the others come
    await scene.start_operator()
    await scene.counted(engine, 8)
    scene.kill_operator()  # the count has turned, nobody has been told
    await it.claiming(*range(1, 9))

    hung = running(kubelet, 2)
    os.kill(hung, signal.SIGSTOP)  # F13: with whatever it has in flight
    it.wish(4)
    await scene.start_operator()
    await scene.counted(engine, 4)
    scene.kill_operator()  # between the flip and the lowering of the replicas, or just after
    await it.claiming(1, 3, 4)
    await scene.start_operator()
    await it.pods_are(1, 2, 3, 4)
    # The operator before may have called it down as one of eight, and a busy machine makes others seem down for a moment.
    alone = re.compile(r"1 of 4 workers not live: main-2 .*; 8 mailboxes have no live owner")

    def down() -> bool:
        ready = scene.condition()
        return ready["reason"] == "WorkersDown" and bool(alone.match(ready["message"]))

    await until(down, "it is told who is down")
    os.kill(hung, signal.SIGCONT)
    await it.claiming(2)
    await scene.reason("Running")
    await until(lambda: scene.status()["mailboxes"]["unowned"] == 0, "each mailbox has a live owner")

    it.wish(6)  # A, B, A, and another change in the middle of each
    await it.asked(6)
    it.wish(4)
    it.change(emailsPerMailboxPerDay=401)
    it.wish(6)
    await scene.counted(engine, 6)
    it.wish(3)
    await scene.counted(engine, 3)
    it.wish(6)  # its pods are on their way out; nobody may be given to them
    await scene.counted(engine, 6)
    await it.claiming(*range(1, 7))

    await it.judge()
    states = await it.fleet.states()
    assert set(states) <= {"sent", "failed", "in_doubt"}
    assert states["in_doubt"] >= 1, "the mail without a reply"
    spent = await it.fleet.rows("SELECT max(spent) AS most FROM quotas WHERE mailbox_id % 5 = 0")
    assert spent[0].most == 4
    assert scene.refusals() == []


async def test_pods_that_never_come_up_are_given_up_and_had_when_there_is_room(
    scene: Scene, engine: AsyncEngine, patient_kubelet: Kubelet, submission: Submission
) -> None:
    """Sending never stops for it; the operator may die, what is held back stands in the row."""
    kubelet = patient_kubelet
    kubelet.room = 2
    it = Sending(scene, engine, submission, PATIENT)
    await it.create(workers=2, mailboxes=12, quota=400, cooldown=(1500, 2500))
    timing = '{"resize": 4, "retry": 5, "longest_retry": 3600}'
    await scene.start_operator(WARMUP_TIMING=timing)
    await scene.reason("Running")

    it.wish(4)
    growing = await scene.reason("Growing")
    assert growing["status"] == "True"
    await it.asked(4)
    # Of a growth that was given up before the node had refused its pods the next try tells why.
    why = "Pod main-3: not scheduled: 0/1 nodes are available: 1 Too many pods."

    def given_up() -> dict[str, Json] | None:
        found = scene.conditions()
        failed = found["Ready"]["reason"] == "GrowthFailed" and why in found["Ready"]["message"]
        return found if failed else None

    found = await until(given_up, "the growth is given up, and it is told why")
    failed = found["Ready"]
    assert failed["status"] == "True"
    assert "4 workers wanted, 2 could be had and send. Not live: main-3, main-4." in failed["message"]
    assert "Tried again at " in failed["message"]
    assert found["Resizing"]["status"] == "False"
    await it.pods_are(1, 2)
    sent = (await it.fleet.states()).get("sent", 0)

    await it.asked(4)  # tried again after the pause, and given up again
    await it.asked(2)
    twice = "SELECT 1 FROM fleet WHERE failed_target = 3 AND failed_attempts >= 2 AND growing_since IS NULL"
    await until(lambda: it.fleet.rows(twice), "the row remembers that it was given up twice")
    scene.kill_operator()
    await scene.start_operator(WARMUP_TIMING='{"resize": 30, "retry": 1}')
    kubelet.room = 4
    it.wish(5)  # a changed spec forgets it; what can be had of five are four
    await scene.counted(engine, 4)
    could = "5 workers wanted, 4 could be had and send. Not live: main-5."
    await scene.reason("GrowthFailed", saying=could)
    await it.asked(4)
    await it.claiming(1, 2, 3, 4)
    kubelet.room = None
    await scene.counted(engine, 5)
    await it.claiming(1, 2, 3, 4, 5)
    await it.fleet.mails("sent", sent + 1)

    it.wish(2)
    await it.pods_are(1, 2)
    before = {number: running(kubelet, number) for number in (1, 2)}
    kubelet.room = 1  # so that the first that is replaced waits, until the rollout has been seen
    it.change(workers={"image": "warmup/worker:next"})
    await scene.reason("RollingOut")
    kubelet.room = None
    rolled = "both are replaced"
    await until(lambda: all(kubelet.process_of(f"main-{n}") not in {None, before[n]} for n in before), rolled)
    await scene.reason("Running")
    assert scene.events("WorkersDown") == []
    await it.judge()
