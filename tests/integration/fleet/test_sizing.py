"""The count follows mailboxes, mails and what workers measured; it waits where it should, and a person can take it over."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.control_plane import TEST_KUBELET, ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.integration.fleet.scene import FLEETS, Scene, count_of, enrol, live
from tests.integration.worker.fleet import KEY_LINE, PATIENT, Fleet, about_noon, password_of
from tests.submission.accounts import derived
from tests.submission.server import Submission
from tests.waiting import until

UNFIX = '--type=merge -p \'{"spec":{"workers":{"replicas":null}}}\''


async def running(scene: Scene, engine: AsyncEngine, count: int = 1, **workers: object) -> None:
    """100 mailboxes with 30 mails a day, six processes that are live whatever the count is, and the first count."""
    await enrol(engine, 100)
    await live(engine, *range(1, 7))
    scene.create_secrets()
    scene.create_fleet(workers={"maxMailboxesPerWorker": None, **workers})
    await scene.start_operator()
    await scene.counted(engine, count)


async def measured(engine: AsyncEngine, mails_a_day: float) -> None:
    """All workers have found that they can send so much."""
    await execute(
        engine, f"UPDATE workers SET send_seconds = 1, sends_per_second = {mails_a_day / 86_400 + 1e-6}"
    )


async def execute(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


async def rested(engine: AsyncEngine) -> None:
    """The cooldown is over."""
    await execute(engine, "UPDATE fleet SET resized_at = resized_at - interval '10 min'")


def change(scene: Scene, **workers: object) -> None:
    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": workers}})


async def test_the_count_follows_what_workers_measured_and_waits_before_it_shrinks(
    scene: Scene, engine: AsyncEngine
) -> None:
    await running(scene, engine)
    await measured(engine, 864)
    await scene.counted(engine, 5)
    await until(lambda: scene.status()["sizing"]["capacityPerWorker"] == 864, "the status has the figure")
    assert scene.status()["sizing"] == {
        "by": "Mails",
        **{"wanted": 5, "demandPerDay": 3_000, "capacityPerWorker": 864},
        "reason": "3000 mails a day with 20 % headroom, 864 a worker, want 5; without headroom 4 would do",
    }

    await measured(engine, 950)
    await scene.said("5 workers, sized by Mails; the count stays 5: fewer would not do for 10 % more.")
    assert (scene.status()["sizing"]["wanted"], scene.status()["workers"]["wanted"]) == (4, 5)

    await measured(engine, 1_728)
    await scene.said("the count stays 5 until resizeCooldown is over at ")
    scene.stop_operator()
    await scene.start_operator()
    await scene.look_again(2)
    assert (await count_of(engine))[0] == 5, "an operator that starts anew knows nothing of the cooldown"
    await rested(engine)
    await scene.counted(engine, 3)
    await scene.said("3 workers, sized by Mails.")


async def test_a_person_is_only_told_or_decides_and_gives_the_decision_back(
    scene: Scene, engine: AsyncEngine
) -> None:
    await running(scene, engine, sizing="Recommend")
    await measured(engine, 864)
    await scene.said("workers.sizing is Recommend, so the count stays 1 where it would be 5")
    assert (scene.status()["sizing"]["wanted"], scene.status()["workers"]["wanted"]) == (5, 1)
    assert (scene.replicas(), (await count_of(engine))[0]) == (1, 1)

    change(scene, replicas=2)
    await scene.counted(engine, 2)
    await scene.said(UNFIX)
    assert scene.status()["sizing"]["by"] == "Fixed"
    assert "by itself it would be 5" in scene.status()["sizing"]["reason"]
    change(scene, replicas=0)
    await scene.reason("Stopped")
    assert UNFIX in scene.condition()["message"]
    assert await count_of(engine) == (0, (await count_of(engine))[1])

    change(scene, replicas=None, sizing="Auto")
    await scene.counted(engine, 5)
    await scene.said("5 workers, sized by Mails.")


async def test_a_hundred_thousand_mailboxes_want_50_workers_and_a_change_is_in_the_status_with_the_look_it_wakes(
    scene: Scene, engine: AsyncEngine
) -> None:
    """No look comes by itself here, so what the status says of a change it says for that change."""
    await enrol(engine, 100_000, users=1_000)
    await live(engine, 1)
    scene.create_secrets()
    scene.create_fleet(workers={"sizing": "Recommend"})
    await scene.start_operator(WARMUP_IDLE_SECONDS="3600")
    await scene.said("Recommend, so the count stays 1 where it would be 50")
    assert scene.status()["sizing"] | {"reason": ""} == {
        "by": "Mailboxes",
        # All are at one host, which may take half of a worker.
        **{"wanted": 50, "demandPerDay": 3_000_000, "capacityPerWorker": 270_000},
        "reason": "",
    }
    change(scene, maxMailboxesPerWorker=1_000)
    await scene.said("so the count stays 1 where it would be 100")
    assert scene.status()["observedGeneration"] == scene.fleet()["metadata"]["generation"]

    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"limits": {"perHour": 10_000}}})
    low = await scene.reason("LimitTooLow")
    assert (low["status"], low["message"]) == (
        "False",
        "limits.perHour of 10000 lets 238739 of the 3000000 mails of the fleet through in 24h; it has to be at least 125119.",
    )
    assert scene.condition("QuotaFeasible") | {"lastTransitionTime": ""} == low | {
        "type": "QuotaFeasible",
        "lastTransitionTime": "",
    }
    events = await scene.told("LimitTooLow")
    assert {event["type"] for event in events} == {"Warning"}
    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"limits": {"perHour": 125_119}}})
    await scene.reason("Running")


async def test_a_demand_that_cannot_be_read_shrinks_nothing(scene: Scene, engine: AsyncEngine) -> None:
    await running(scene, engine, 3, min=3)
    await scene.reason("Running")
    await execute(engine, "ALTER TABLE quotas RENAME TO mislaid")
    change(scene, min=1)
    await scene.reason("SchemaMissing")
    await rested(engine)
    await scene.look_again(2)
    assert (scene.replicas(), (await count_of(engine))[0]) == (3, 3)
    await execute(engine, "ALTER TABLE mislaid RENAME TO quotas")
    await scene.counted(engine, 1)


async def test_a_pause_stops_real_workers_by_their_next_heartbeat_and_keeps_their_pods(
    scene: Scene, engine: AsyncEngine, control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    """The operator hears of it by its watch and the workers by a heartbeat, which is every two seconds: within five."""
    environment = {"WARMUP_TIMING": json.dumps(asdict(PATIENT))}
    kubelet = Kubelet(
        control_plane.kubeconfig_of(TEST_KUBELET), tmp_path / "pods", namespace, environment=environment
    )
    async with Submission(derived(password_of)) as submission, kubelet:
        await Fleet(engine, scene.url, submission, Path()).enrol(12)
        scene.create_secret("main-database", url=scene.url)
        scene.create_secret("main-keys", keys=KEY_LINE)
        authority = {"metadata": {"name": "main-ca"}, "data": {"ca.crt": submission.authority.pem.decode()}}
        control_plane.request("POST", scene.path("api/v1", "configmaps"), authority)
        zone, noon = about_noon(datetime.now(UTC))
        scene.create_fleet(
            emailsPerMailboxPerDay=2_000,
            timeZone=zone,
            schedule={"from": "00:00", "to": str(timedelta(seconds=noon + 1_200)).zfill(8)},
            workers={"replicas": 2},
            pacing={"cooldown": {"min": "0s", "max": "0s"}},
            limits={"perMinute": 600},
            smtp={"allowedNetworks": ["127.0.0.0/8"], "caConfigMapRef": {"name": "main-ca"}},
        )
        await scene.start_operator(WARMUP_IDLE_SECONDS="60")
        await scene.counted(engine, 2)
        await submission.journal.until("accepted", 30)
        pods = {pod["metadata"]["uid"] for pod in scene.items("api/v1", "pods")}
        scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"paused": True}})
        await scene.reason("Paused")
        await beats(engine)
        await until(lambda: nothing_in_flight(engine), "what was in flight has ended")
        sent = len(submission.journal.accepted)
        for _ in range(10):  # two seconds, in which 20 mails would be due
            await beats(engine)
        assert len(submission.journal.accepted) == sent
        scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"paused": False}})
        await submission.journal.until("accepted", sent + 5)
        assert {pod["metadata"]["uid"] for pod in scene.items("api/v1", "pods")} == pods


async def beats(engine: AsyncEngine) -> None:
    """Wait for a heartbeat of every worker that begins from now on: the second that arrives."""
    for _ in range(2):
        async with engine.connect() as connection:
            since = await connection.scalar(text("SELECT max(lease_until) FROM workers"))

        async def beaten(since: datetime = since) -> bool:
            async with engine.connect() as connection:
                return bool(
                    await connection.scalar(
                        text("SELECT bool_and(lease_until > :since) FROM workers"), {"since": since}
                    )
                )

        await until(beaten, "every worker has beaten again")


async def nothing_in_flight(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return not await connection.scalar(text("SELECT EXISTS (SELECT FROM mails WHERE state = 'intent')"))
