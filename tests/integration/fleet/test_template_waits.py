"""Workers that run are not rolled to another template while the schema is not this release's, or the database is away."""

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.fleet.scene import FLEETS, Scene, enrol, live
from tests.ports import free_port
from tests.waiting import until
from warmup_core.schema import REVISIONS


def image(scene: Scene) -> str:
    found = scene.stateful_set()
    assert found is not None
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


async def test_a_new_template_waits_for_a_database_that_its_workers_can_use(
    scene: Scene, engine: AsyncEngine
) -> None:
    """`helm upgrade` without `workers.image`: Manual, a migration that takes long, a rollback past one, a server that is away."""
    await enrol(engine, 5)
    await live(engine, 1, 2)
    scene.create_secrets()
    database = {"urlSecretRef": {"name": "main-database"}, "migrations": "Manual"}
    scene.create_fleet(workers={"replicas": 2}, database=database)
    await scene.start_operator(WARMUP_WORKER_IMAGE="warmup/worker:this")
    await scene.reason("Running")
    await scene.counted(engine, 2)
    before = (scene.stateful_set() or {})["metadata"]["generation"]
    scene.stop_operator()

    async def schema(statement: str) -> None:
        async with engine.begin() as connection:
            await connection.execute(text(statement), {"wanted": REVISIONS[-1]})

    async def stands(reason: str) -> None:
        await scene.reason(reason)
        await scene.look_again()
        found = scene.stateful_set() or {}
        assert (image(scene), found["metadata"]["generation"]) == ("warmup/worker:this", before), reason

    await schema("UPDATE alembic_version SET version_num = '9999' WHERE version_num = :wanted")
    await scene.start_operator(WARMUP_WORKER_IMAGE="warmup/worker:next")
    await stands("SchemaTooNew")
    await schema(f"UPDATE alembic_version SET version_num = '{REVISIONS[-2]}' WHERE version_num <> :wanted")
    await stands("SchemaOutdated")
    away = make_url(scene.url).set(port=free_port()).render_as_string(hide_password=False)
    scene.change_secret("main-database", url=away)
    scene.merge(
        FLEETS, "warmupfleets", "main", {"spec": {"workers": {"resources": {"requests": {"cpu": "7m"}}}}}
    )
    await stands("DatabaseUnreachable")
    scene.change_secret("main-database", url=scene.url)
    await stands("SchemaOutdated")
    await schema("UPDATE alembic_version SET version_num = :wanted")
    await until(
        lambda: image(scene) == "warmup/worker:next", "the workers are rolled once the schema is current"
    )
    assert scene.replicas() == 2
