"""A database that is wrong, away, empty or another fleet's is told apart in a condition, and all goes on once it is mended."""

import socket

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.fleet.scene import FLEETS, Scene, count_of, enrol, live
from tests.ports import free_port
from tests.postgres.server import Postgres
from tests.waiting import until
from warmup_core.credentials import new_key


async def test_a_wrong_password_is_told_from_a_missing_database(
    scene: Scene, postgres: Postgres, engine: AsyncEngine
) -> None:
    user = f"locked_{engine.url.database}"
    await postgres.execute(f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD 'right'")
    scene.create_secret("main-database", url=postgres.url(str(engine.url.database), user, "wr0ng-secret"))
    scene.create_secret("main-keys", keys=new_key("k1"))
    scene.create_fleet()
    await scene.start_operator()
    wrong = await scene.reason("DatabasePasswordWrong", "DatabaseReachable")
    assert f"the password for user '{user}' is wrong" in wrong["message"]
    assert "wr0ng-secret" not in scene.log.read_text()
    scene.change_secret("main-database", url=postgres.url("nowhere", user, "right"))
    missing = await scene.reason("DatabaseMissing")
    assert "there is no database 'nowhere'" in missing["message"]
    scene.change_secret("main-database", url=postgres.url(str(engine.url.database), user, "right"))
    await scene.reason("NoMailboxes")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://user@host/name", "DatabaseUrlInvalid"),
        ("postgresql://u@127.0.0.1/d?sslrootcert=/nowhere/ca.pem", "DatabaseUrlInvalid"),
        ("closed", "DatabaseUnreachable"),
        ("silent", "DatabaseTimeout"),
    ],
)
async def test_a_url_that_leads_nowhere(scene: Scene, url: str, reason: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:
        port = {"closed": free_port(), "silent": silent.getsockname()[1]}.get(url)
        scene.create_secret("main-database", url=f"postgresql://u@127.0.0.1:{port}/d" if port else url)
        scene.create_secret("main-keys", keys=new_key("k1"))
        scene.create_fleet()
        await scene.start_operator()
        condition = await scene.reason(reason, "DatabaseReachable")
        assert condition["status"] == "False"
        assert scene.stateful_set() is None
    scene.change_secret("main-database", url=scene.url)
    await scene.reason("NoMailboxes")


async def test_a_database_that_goes_away_takes_no_worker_with_it(scene: Scene, engine: AsyncEngine) -> None:
    await enrol(engine, 5)
    await live(engine, 1, 2, 3)
    scene.create_secrets()
    scene.create_fleet(workers={"replicas": 3})
    await scene.start_operator()
    await scene.reason("Running")
    away = make_url(scene.url).set(port=free_port()).render_as_string(hide_password=False)
    scene.change_secret("main-database", url=away)
    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": {"replicas": 1}}})
    await scene.reason("DatabaseUnreachable")
    await scene.look_again()
    assert scene.replicas() == 3
    scene.change_secret("main-database", url=scene.url)
    await scene.reason("Running")
    await until(lambda: scene.replicas() == 1, "one pod")


async def test_a_second_fleet_at_the_same_database_is_refused_by_the_firsts_name(
    scene: Scene, engine: AsyncEngine
) -> None:
    await enrol(engine, 5)
    await live(engine, 1)
    scene.create_secrets()
    first = scene.create_fleet()
    await scene.start_operator()
    await scene.reason("Running")
    before = await count_of(engine)
    scene.create_fleet("second")
    refused = await scene.reason("DatabaseInUse", name="second")
    assert f"{scene.namespace}/main (uid {first['metadata']['uid']}" in refused["message"]
    assert scene.condition("DatabaseReachable", "second")["reason"] == "DatabaseInUse"
    assert scene.stateful_set("second") is None
    assert scene.condition()["reason"] == "Running"
    assert await count_of(engine) == before


async def test_workers_pointed_at_another_fleets_database_are_called_off(
    scene: Scene, engine: AsyncEngine, postgres: Postgres
) -> None:
    scene.create_secrets()
    scene.create_fleet()
    scene.create_secret("second-database", url=await postgres.create())
    scene.create_fleet("second", database={"urlSecretRef": {"name": "second-database"}})
    await scene.start_operator()
    await scene.reason("NoMailboxes")
    await scene.reason("NoMailboxes", name="second")
    assert scene.replicas("second") == 1
    scene.change_secret("second-database", url=scene.url)
    await scene.reason("DatabaseInUse", name="second")
    await until(lambda: scene.replicas("second") == 0, "no pod of the second fleet")


async def test_an_empty_database_gets_the_schema_or_the_command_that_brings_it(
    scene: Scene, postgres: Postgres
) -> None:
    url = postgres.url(await postgres.create_empty())
    scene.create_secret("main-database", url=url)
    scene.create_secret("main-keys", keys=new_key("k1"))
    database = {"urlSecretRef": {"name": "main-database"}, "migrations": "Manual"}
    scene.create_fleet(database=database)
    await scene.start_operator()
    outdated = await scene.reason("SchemaOutdated")
    assert "warmup database upgrade" in outdated["message"]
    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"database": {"migrations": "Auto"}}})
    await scene.reason("NoMailboxes")


async def test_the_workers_role_is_given_its_rights_by_the_owner(
    scene: Scene, postgres: Postgres, engine: AsyncEngine
) -> None:
    role = f"worker_{engine.url.database}"
    await postgres.execute(f"CREATE ROLE {role} LOGIN")
    scene.create_secret("main-database", url=postgres.url(str(engine.url.database), role))
    scene.create_secret("main-owner", url=scene.url)
    scene.create_secret("main-keys", keys=new_key("k1"))
    scene.create_fleet(
        database={"urlSecretRef": {"name": "main-database"}, "ownerUrlSecretRef": {"name": "main-owner"}}
    )
    await scene.start_operator()
    await scene.reason("NoMailboxes")
    async with engine.connect() as connection:
        allowed = await connection.exec_driver_sql(f"SELECT has_table_privilege('{role}', 'mails', 'INSERT')")
        assert allowed.scalar() is True
    other = await postgres.create()
    scene.change_secret("main-owner", url=other)
    await scene.reason("DatabaseUrlsDiffer", "DatabaseReachable")
