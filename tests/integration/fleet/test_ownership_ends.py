"""How a fleet ends, who takes a database over, and what a manifest says of the pods: on a real API server."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.fleet.scene import FLEETS, Scene, count_of, enrol, live
from tests.postgres.server import Postgres
from tests.waiting import until
from warmup_core.fleet import ADOPT
from warmup_operator.ending import PURGE

MAIN = FLEETS, "warmupfleets", "main"


async def running(scene: Scene, engine: AsyncEngine, **spec: Any) -> dict[str, Any]:
    await enrol(engine, 5)
    await live(engine, 1)
    scene.create_secrets()
    fleet = scene.create_fleet(**spec)
    await scene.start_operator()
    await scene.reason("Running")
    return fleet


async def mailboxes(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM mailboxes")) or 0)


async def test_what_a_manifest_says_of_the_pods_reaches_them(scene: Scene, engine: AsyncEngine) -> None:
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
    }
    spot = {"key": "spot", "operator": "Exists", "effect": "NoSchedule"}
    await running(
        scene,
        engine,
        workers={
            "resources": {"requests": {"cpu": 1, "memory": "200Mi"}, "limits": {"memory": "400Mi"}},
            "nodeSelector": {"pool": "mail"},
            "tolerations": [spot],
            "topologySpreadConstraints": [spread],
            "imagePullSecrets": [{"name": "registry"}],
            "podLabels": {"team": "mail", "app.kubernetes.io/name": "theirs"},
            "podAnnotations": {"example.org/inject": "false"},
            "terminationGracePeriodSeconds": 115,
        },
    )
    found = scene.stateful_set()
    assert found is not None
    template, selector = found["spec"]["template"], found["spec"]["selector"]
    pod = template["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"memory": "400Mi"}
    assert pod["nodeSelector"] == {"pool": "mail"}
    assert spot in pod["tolerations"]
    assert len(pod["tolerations"]) == 3
    assert pod["topologySpreadConstraints"] == [{**spread, "labelSelector": selector}]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["terminationGracePeriodSeconds"] == 115
    assert template["metadata"]["labels"]["team"] == "mail"
    assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "warmup-worker"
    assert template["metadata"]["annotations"] == {"example.org/inject": "false"}
    before = len(scene.writes())
    await scene.look_again(2)
    assert "statefulsets" not in [write["objectRef"]["resource"] for write in scene.writes()[before:]]

    scene.merge(*MAIN, {"spec": {"workers": {"tolerations": [{"key": "spot", "effect": "Never"}]}}})
    refused = await scene.reason("KubernetesRefused")
    assert "effect" in refused["message"]


async def test_a_purge_empties_the_database_before_the_fleet_goes(scene: Scene, engine: AsyncEngine) -> None:
    await running(scene, engine, deletionPolicy="Purge")
    assert scene.fleet()["metadata"]["finalizers"] == [PURGE]
    scene.delete(*MAIN)
    await until(lambda: scene.get(*MAIN) is None, "the fleet is gone")
    assert await mailboxes(engine) == 0
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM fleet")) == 0
        assert await connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1


async def test_a_purge_waits_for_mail_in_flight_and_can_be_called_off(
    scene: Scene, engine: AsyncEngine
) -> None:
    await running(scene, engine, deletionPolicy="Purge")
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at)"
                " SELECT current_date, 1, min(id), max(id), 0, 'intent', 1, 1, 1, clock_timestamp() FROM mailboxes"
            )
        )
    scene.delete(*MAIN)
    await scene.look_again(2)
    assert scene.fleet()["metadata"]["finalizers"] == [PURGE]
    assert await mailboxes(engine) == 5
    scene.merge(*MAIN, {"spec": {"deletionPolicy": "Retain"}})
    await until(lambda: scene.get(*MAIN) is None, "the fleet is gone")
    assert await mailboxes(engine) == 5


async def test_a_purge_that_does_not_know_its_database_says_so_once_and_goes_on_when_it_does(
    scene: Scene, engine: AsyncEngine
) -> None:
    await running(scene, engine, deletionPolicy="Purge")
    scene.stop_operator()
    scene.delete("api/v1", "secrets", "main-database")
    scene.delete(*MAIN)
    await scene.start_operator()
    await until(lambda: scene.events("PurgeWaits"), "it is told what the purge waits for")
    await scene.look_again(2)
    [event] = scene.events("PurgeWaits")
    assert "Secrets" in event["note"]
    assert "Retain" in event["note"]
    assert await mailboxes(engine) == 5
    scene.create_secret("main-database", url=scene.url)
    await until(lambda: scene.get(*MAIN) is None, "the fleet is gone")
    assert await mailboxes(engine) == 0


async def test_a_finalizer_that_a_backups_manifest_brought_goes_too_and_anothers_stays(
    scene: Scene, engine: AsyncEngine
) -> None:
    """`kubectl get -o yaml`, delete, `kubectl create -f`: it is kubectl's then, not only ours."""
    manifest = await running(scene, engine, deletionPolicy="Purge")
    scene.delete(*MAIN)
    await until(lambda: scene.get(*MAIN) is None, "the fleet is gone")
    kept = {"name": "main", "finalizers": [PURGE, "example.org/held"]}
    scene.control_plane.request(
        "POST", scene.path(FLEETS, "warmupfleets"), {**manifest, "metadata": kept, "status": {}}
    )
    await scene.reason("NoMailboxes")
    scene.delete(*MAIN)
    await until(lambda: scene.fleet()["metadata"]["finalizers"] == ["example.org/held"], "ours is gone")
    scene.merge(*MAIN, {"metadata": {"finalizers": []}})
    await until(lambda: scene.get(*MAIN) is None, "the fleet is gone")


async def test_what_a_purge_waits_for_in_a_namespace_that_ends_stands_in_the_log(
    scene: Scene, engine: AsyncEngine
) -> None:
    """Where no event can be made any more."""
    await running(scene, engine, deletionPolicy="Purge")
    scene.stop_operator()
    scene.delete("api/v1", "secrets", "main-database")
    scene.control_plane.request("DELETE", f"/api/v1/namespaces/{scene.namespace}")
    await scene.start_operator()
    await until(lambda: "The database cannot be emptied: " in scene.log.read_text(), "the log says why")
    assert scene.events("PurgeWaits") == []
    scene.merge(*MAIN, {"spec": {"deletionPolicy": "Retain"}})
    await until(lambda: scene.get(*MAIN) is None, "the fleet is gone")


async def test_a_fleet_with_nothing_to_purge_has_no_finalizer(scene: Scene, engine: AsyncEngine) -> None:
    await running(scene, engine, deletionPolicy="Purge")
    scene.merge(*MAIN, {"spec": {"deletionPolicy": "Retain"}})
    await until(lambda: not scene.fleet()["metadata"].get("finalizers"), "no finalizer")
    scene.stop_operator()
    scene.delete(*MAIN)
    await until(lambda: scene.get(*MAIN) is None, "the fleet goes without an operator")


async def test_an_annotation_takes_a_database_over_and_the_first_fleet_is_refused_from_then_on(
    scene: Scene, engine: AsyncEngine, postgres: Postgres
) -> None:
    first = await running(scene, engine)
    epoch = (await count_of(engine))[1]
    scene.create_fleet("second")
    refused = await scene.reason("DatabaseInUse", name="second")
    uid = first["metadata"]["uid"]
    assert f"{ADOPT}={uid}" in refused["message"]
    scene.merge(FLEETS, "warmupfleets", "second", {"metadata": {"annotations": {ADOPT: "another"}}})
    await scene.look_again(2)
    assert scene.condition(name="second")["reason"] == "DatabaseInUse"
    scene.merge(FLEETS, "warmupfleets", "second", {"metadata": {"annotations": {ADOPT: uid}}})
    await scene.reason("Running", name="second")
    assert (await count_of(engine))[1] > epoch
    lost = await scene.reason("DatabaseInUse")
    assert f"{scene.namespace}/second" in lost["message"]
    await until(lambda: scene.replicas() == 0, "no pod of the first fleet")
