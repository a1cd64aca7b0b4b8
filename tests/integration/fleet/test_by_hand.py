"""What others do to a fleet's objects, and to the fleet while the operator is away."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.fleet.scene import FLEETS, Json, Scene, count_of, enrol, live
from tests.waiting import until

STATEFUL_SETS = "apis/apps/v1", "statefulsets", "main"


async def running(scene: Scene, engine: AsyncEngine, workers: int = 2) -> None:
    """No look comes by itself within the test, so what is put right is put right because a watch has told of it."""
    await enrol(engine, 10)
    await live(engine, *range(1, workers + 1))
    scene.create_secrets()
    scene.create_fleet(workers={"replicas": workers})
    await scene.start_operator(WARMUP_IDLE_SECONDS="3600")
    await scene.reason("Running")


async def _is_deleted(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return bool(await connection.scalar(text("SELECT deleted FROM fleet")))


async def test_what_was_edited_by_hand_is_put_right_at_once(scene: Scene, engine: AsyncEngine) -> None:
    await running(scene, engine)
    scene.merge(*STATEFUL_SETS, {"spec": {"replicas": 0}})
    await until(lambda: scene.replicas() == 2, "two pods are asked for again")

    def image() -> str:
        found = scene.stateful_set()
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"]) if found else ""

    right, containers = image(), [{"name": "worker", "image": "elsewhere/worker:1"}]
    scene.merge(*STATEFUL_SETS, {"spec": {"template": {"spec": {"containers": containers}}}})
    await until(lambda: image() == right, "the image is the released one again")


async def test_what_others_add_is_theirs(scene: Scene, engine: AsyncEngine) -> None:
    await running(scene, engine)
    template = {"template": {"metadata": {"annotations": {"example.org/theirs": "yes"}}}}
    scene.merge(*STATEFUL_SETS, {"metadata": {"labels": {"example.org/theirs": "yes"}}, "spec": template})
    before = len(scene.writes())
    await scene.look_again(2)
    found = scene.stateful_set()
    assert found is not None
    assert found["metadata"]["labels"]["example.org/theirs"] == "yes"
    assert found["spec"]["template"]["metadata"]["annotations"] == {"example.org/theirs": "yes"}
    writes = [write["objectRef"]["resource"] for write in scene.writes()[before:]]
    assert "statefulsets" not in writes


async def test_what_was_deleted_by_hand_is_made_again(scene: Scene, engine: AsyncEngine) -> None:
    await running(scene, engine)
    before = scene.stateful_set()
    assert before is not None
    # The StatefulSet last: it alone is watched, and the look that its end wakes makes again whatever is gone by then.
    for group, plural in ("api/v1", "services"), ("apis/policy/v1", "poddisruptionbudgets"):
        scene.delete(group, plural, "main-workers")
    scene.delete(*STATEFUL_SETS)

    def again() -> bool:
        found = scene.stateful_set()
        return bool(found and found["metadata"]["uid"] != before["metadata"]["uid"])

    await until(again, "another StatefulSet")
    await until(lambda: scene.get("api/v1", "services", "main-workers"), "the service")
    await until(lambda: scene.get("apis/policy/v1", "poddisruptionbudgets", "main-workers"), "the budget")
    assert scene.replicas() == 2


async def test_a_fleet_is_deleted_with_the_operator_gone(scene: Scene, engine: AsyncEngine) -> None:
    """field-036: no finalizer waits for anybody."""
    await running(scene, engine)
    scene.stop_operator()
    fleet = scene.fleet()
    assert fleet["metadata"].get("finalizers", []) == []
    assert not [key for key in fleet["metadata"].get("annotations", {}) if "kopf" in key or "warmup" in key]
    scene.delete(FLEETS, "warmupfleets", "main")
    assert scene.get(FLEETS, "warmupfleets", "main") is None
    await until(lambda: scene.stateful_set() is None, "the garbage collector ended the StatefulSet")
    await until(lambda: scene.items("api/v1", "pods") == [], "no pods")

    # Nobody marked the row: it still names the fleet that is gone. That keeps others off, and nobody who is made again.
    assert not await _is_deleted(engine)
    count, epoch = await count_of(engine)
    scene.create_fleet("second")
    await scene.start_operator()
    refused = await scene.reason("DatabaseInUse", name="second")
    assert f"{scene.namespace}/main (uid {fleet['metadata']['uid']}" in refused["message"]
    assert await count_of(engine) == (count, epoch)
    again = scene.create_fleet(workers={"replicas": count})
    await scene.reason("Running")
    assert await count_of(engine) == (count, epoch + 1)
    await scene.said(f"(uid {again['metadata']['uid']}", name="second")


async def test_a_deleted_fleet_claims_nothing_and_made_again_goes_on(
    scene: Scene, engine: AsyncEngine
) -> None:
    await running(scene, engine)
    count, epoch = await count_of(engine)
    held = {
        "metadata": {"finalizers": ["example.org/held"]}
    }  # somebody else's, so that the deletion takes its time
    scene.merge(FLEETS, "warmupfleets", "main", held)
    scene.delete(FLEETS, "warmupfleets", "main")

    await until(lambda: _is_deleted(engine), "the row is marked deleted")
    assert await count_of(engine) == (0, epoch + 1)
    scene.delete(*STATEFUL_SETS)
    await scene.look_again(2)
    assert scene.stateful_set() is None, "an object of a fleet on its way out was made again"
    scene.merge(FLEETS, "warmupfleets", "main", {"metadata": {"finalizers": []}})
    await until(lambda: scene.get(FLEETS, "warmupfleets", "main") is None, "the fleet is gone")
    await until(lambda: scene.get("api/v1", "services", "main-workers") is None, "its Service is gone")

    async def forgotten() -> bool:
        return "warmup_operator_fleets 0.0" in (await scene.ask("/metrics"))[1]

    await until(forgotten, "its loop has ended")
    _, exposition = await scene.ask("/metrics")
    assert scene.namespace not in exposition, "a fleet that is gone leaves no series"

    scene.create_fleet(workers={"replicas": count})
    await scene.reason("Running")
    assert not await _is_deleted(engine)
    assert (await count_of(engine))[1] > epoch + 1


async def test_what_changed_while_the_operator_was_away_is_found_at_its_start(
    scene: Scene, engine: AsyncEngine
) -> None:
    await running(scene, engine)
    scene.stop_operator()
    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": {"replicas": 1}, "paused": True}})
    scene.delete(*STATEFUL_SETS)
    await scene.start_operator()
    await scene.reason("Paused")
    await until(lambda: scene.replicas() == 1, "one pod")
    assert (await count_of(engine))[0] == 1


async def test_two_operators_do_each_step_once(scene: Scene, engine: AsyncEngine) -> None:
    await running(scene, engine)
    epoch = (await count_of(engine))[1]
    second = Scene(scene.control_plane, scene.namespace, scene.rights, scene.directory, scene.url)

    def told() -> list[Json]:
        return [event for event in scene.events("Resized") if "to 4 workers" in event["note"]]

    try:
        await second.start_operator()
        await live(engine, 3, 4)
        scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": {"replicas": 4}}})

        async def grown() -> bool:
            return (await count_of(engine))[0] == 4

        await until(grown, "four workers")
        # Whoever has turned the count tells of it afterwards, when the other may have written its status already.
        await until(told, "the growth is told")
        await scene.look_again(2)
        await second.looked(await second.looks() + 2)
        await scene.reason("Running")
        assert await count_of(engine) == (4, epoch + 1)
        assert len(told()) == 1
    finally:
        second.stop_operator()
