"""From a manifest to pods, a count in the database and a status that says so; and then nothing is written any more."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.control_plane import ControlPlane
from tests.cluster.proxy import Exchange, Proxy, Reply
from tests.integration.fleet.scene import FLEETS, Json, Scene, count_of, enrol, live, silence
from tests.integration.worker.fleet import about_noon
from tests.postgres.judge import judge
from tests.postgres.server import Postgres
from tests.waiting import until


@pytest.fixture
async def elsewhere(
    scene: Scene, control_plane: ControlPlane, postgres: Postgres
) -> AsyncIterator[tuple[Scene, AsyncEngine]]:
    """Another namespace, and another database."""
    name, url = f"{scene.namespace}-too", await postgres.create()
    control_plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    engine = judge(url)
    yield Scene(control_plane, name, scene.rights, scene.directory, url), engine
    await engine.dispose()
    control_plane.request("DELETE", f"/api/v1/namespaces/{name}")
    control_plane.request("DELETE", f"/api/v1/namespaces/{name}/pods", {"gracePeriodSeconds": 0})


async def test_a_fleet_comes_to_life(scene: Scene, engine: AsyncEngine) -> None:
    await enrol(engine, 200)
    scene.create_secrets()
    scene.create_fleet(workers={"maxMailboxesPerWorker": 100})
    await scene.start_operator()
    starting = await scene.reason("Starting")
    assert starting["status"] == "False"
    assert starting["message"].startswith("0 of 2 workers are live")
    await until(lambda: len(scene.items("api/v1", "pods")) == 2, "two pods")
    assert [pod["metadata"]["name"] for pod in scene.items("api/v1", "pods")] == ["main-1", "main-2"]
    assert await count_of(engine) == (0, 1)

    await live(engine, 1)
    await until(lambda: scene.condition()["message"].startswith("1 of 2"), "one of two is live")
    assert await count_of(engine) == (0, 1)
    await live(engine, 2)
    running = await scene.reason("Running")
    assert (running["status"], await count_of(engine)) == ("True", (2, 2))
    # The StatefulSet's own count of its pods comes after them.
    await until(lambda: scene.status()["workers"]["replicas"] == 2, "the pods are counted")
    status = scene.status()
    assert status["workers"] | {"ready": 0} == {
        "summary": "2/2",
        "wanted": 2,
        "ready": 0,
        "replicas": 2,
    }
    assert status["sizing"] == {
        "by": "Mailboxes",
        **{"wanted": 2, "demandPerDay": 6000, "capacityPerWorker": 270_000},
        "reason": "200 mailboxes, at most 100 a worker, want 2; by mails alone,"
        " workers.maxMailboxesPerWorker: null, 1 would do",
    }
    assert (status["mailboxes"], status["today"]["due"]) == (
        {"total": 200, "active": 200, "paused": 0, "unowned": 0, "topReasons": []},
        6000,
    )
    assert status["observedGeneration"] == scene.fleet()["metadata"]["generation"]
    assert [event["note"] for event in scene.events("Resized")] == [
        "From 0 to 2 workers, epoch 2: all 2 workers are live."
    ]
    assert [event["type"] for event in await scene.told("Running")] == ["Normal"]
    assert scene.refusals() == []


async def test_an_idle_fleet_is_looked_at_and_nothing_is_written(scene: Scene, engine: AsyncEngine) -> None:
    await enrol(engine, 10)
    await live(engine, 1)
    scene.create_secrets()
    # Over, and midnight is far, so that no count moves.
    zone, _ = about_noon(datetime.now(UTC))
    scene.create_fleet(timeZone=zone, schedule={"to": "00:10"}, workers={"max": 1})
    await scene.start_operator()
    await scene.reason("Running")
    await scene.told("Running")
    await until(lambda: scene.status()["workers"]["replicas"] == 1, "the pod is counted")
    await scene.look_again(2)

    owned = [
        (scene.path("apis/apps/v1", "statefulsets"), "main"),
        (scene.path("api/v1", "services"), "main-workers"),
        (scene.path("api/v1", "serviceaccounts"), "main-workers"),
        (scene.path("apis/policy/v1", "poddisruptionbudgets"), "main-workers"),
    ]

    def versions() -> list[str]:
        return [
            scene.control_plane.request("GET", f"{path}/{name}")["metadata"]["resourceVersion"]
            for path, name in owned
        ]

    written, before = len(scene.writes()), versions()
    assert written > 0
    await scene.look_again(3)
    touched = scene.fleet()["metadata"]["resourceVersion"]
    await scene.looked(await scene.looks() + 3)
    assert versions() == before
    assert [event["requestURI"] for event in scene.writes()[written:]] == []
    assert scene.fleet()["metadata"]["resourceVersion"] == touched


async def test_a_worker_that_falls_silent_is_named(scene: Scene, engine: AsyncEngine) -> None:
    await enrol(engine, 10)
    await live(engine, 1, 2)
    scene.create_secrets()
    scene.create_fleet(workers={"replicas": 2})
    await scene.start_operator()
    await scene.reason("Running")
    await silence(engine, 2)
    down = await scene.reason("WorkersDown")
    assert down["status"] == "False"
    assert "1 of 2 workers not live: main-2 was last heard of less than a minute ago" in down["message"]
    await live(engine, 2)
    await scene.reason("Running")


async def test_a_rollout_that_begins_in_the_middle_of_a_look_explains_the_worker_that_it_has_taken(
    scene: Scene, engine: AsyncEngine
) -> None:
    """The look has read the StatefulSet as it was before, and then the rows."""
    await enrol(engine, 10)
    await live(engine, 1, 2)
    scene.create_secrets()
    scene.create_fleet(workers={"replicas": 2})
    read, go_on = asyncio.Event(), asyncio.Event()

    async def holding(exchange: Exchange) -> Reply | None:
        request = exchange.request
        if request.write or not request.path.endswith("/statefulsets/main") or read.is_set():
            return None
        answer = await exchange.taken()
        read.set()
        await go_on.wait()
        return answer

    async with Proxy(scene.control_plane) as proxy:
        scene.rights = proxy.kubeconfig(scene.rights, scene.directory / "behind-the-proxy")
        await scene.start_operator(WARMUP_IDLE_SECONDS="3600")
        await scene.reason("Running")
        await until(lambda: scene.status()["workers"]["replicas"] == 2, "both pods are counted")
        await scene.look_again(2)
        proxy.faults.append(holding)
        scene.merge(FLEETS, "warmupfleets", "main", {"metadata": {"annotations": {"test/touched": "now"}}})
        await until(read.is_set, "a look has read the StatefulSet")
        theirs = {"metadata": {"annotations": {"example.org/theirs": "yes"}}}
        scene.merge("apis/apps/v1", "statefulsets", "main", {"spec": {"template": theirs}})

        def rolls() -> bool:
            status = (scene.stateful_set() or {})["status"]
            return bool(status["updateRevision"] != status["currentRevision"])

        await until(rolls, "the rollout has begun")
        await silence(engine, 2)
        go_on.set()
        await scene.reason("RollingOut")
        assert scene.events("WorkersDown") == []
        scene.stop_operator()


async def test_growing_and_shrinking_never_take_a_pod_from_a_worker_that_owns(
    scene: Scene, engine: AsyncEngine
) -> None:
    await enrol(engine, 10)
    await live(engine, 1, 2)
    scene.create_secrets()
    scene.create_fleet(workers={"replicas": 2})
    await scene.start_operator()
    await scene.reason("Running")

    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": {"replicas": 4}}})
    growing = await scene.reason("Growing")
    assert growing["status"] == "True"
    assert "2 of 4 workers are live; 2 go on sending" in growing["message"]
    assert (scene.replicas(), (await count_of(engine))[0]) == (4, 2)
    await live(engine, 3, 4)
    await scene.reason("Running")
    assert await count_of(engine) == (4, 3)

    def asked() -> list[Json]:
        return [write for write in scene.writes() if write["objectRef"]["resource"] == "statefulsets"]

    before = len(asked())
    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": {"replicas": 1}}})
    await until(lambda: scene.replicas() == 1, "one pod is asked for")
    assert await count_of(engine) == (1, 4)
    [flip] = [event for event in scene.events("Resized") if event["note"].startswith("From 4 to 1 workers")]
    # The audit log has a request when it has been answered, which is a moment after it was carried out.
    [lowered] = await until(lambda: asked()[before:], "the lowering is in the audit log")
    assert flip["eventTime"] < lowered["requestReceivedTimestamp"]

    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": {"replicas": 0}}})
    await scene.reason("Stopped")
    await until(lambda: scene.replicas() == 0, "no pod is asked for")
    assert (await count_of(engine))[0] == 0
    assert 'replicas":null' in scene.condition()["message"]


async def test_a_wish_that_changes_its_mind_ends_where_it_began(scene: Scene, engine: AsyncEngine) -> None:
    await enrol(engine, 10)
    await live(engine, 1)
    scene.create_secrets()
    scene.create_fleet(workers={"replicas": 1})
    await scene.start_operator()
    await scene.reason("Running")
    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": {"replicas": 3}}})
    await scene.reason("Growing")
    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": {"replicas": 1}}})
    await scene.reason("Running")
    await until(lambda: scene.replicas() == 1, "one pod again")
    assert await count_of(engine) == (1, 2)


async def test_one_operator_serves_fleets_of_one_name_in_several_namespaces(
    scene: Scene, engine: AsyncEngine, elsewhere: tuple[Scene, AsyncEngine]
) -> None:
    """Each by its own database; what happens to one is nothing to the other."""
    other, others_engine = elsewhere
    for it, mailboxes, its_engine in (scene, 10, engine), (other, 20, others_engine):
        await enrol(its_engine, mailboxes)
        await live(its_engine, 1, 2)
        it.create_secrets()
        it.create_fleet()
    await scene.start_operator(WARMUP_WATCH_NAMESPACES=f"{scene.namespace},{other.namespace}")
    await scene.reason("Running")
    await other.reason("Running")
    _, exposition = await scene.ask("/metrics")
    for it, mailboxes in (scene, 10), (other, 20):
        assert f'warmup_fleet_mailboxes{{name="main",namespace="{it.namespace}"}} {mailboxes}.0' in exposition
    before = await count_of(engine), (scene.stateful_set() or {})["metadata"]["generation"]

    other.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": {"replicas": 2}}})
    await other.counted(others_engine, 2)
    other.delete(FLEETS, "warmupfleets", "main")
    await until(lambda: other.get(FLEETS, "warmupfleets", "main") is None, "it is gone")
    await scene.look_again()
    assert (await count_of(engine), (scene.stateful_set() or {})["metadata"]["generation"]) == before
    assert scene.condition()["reason"] == "Running"
