"""The whole machine but for the node: operator, pods as real worker processes, a database and a submission server."""

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.kubelet import Kubelet
from tests.integration.fleet.scene import Scene, count_of
from tests.integration.fleet.sending import PATIENT, Sending
from tests.integration.worker.fleet import KEY_LINE
from tests.submission.server import Submission
from tests.waiting import until

MAILBOXES, QUOTA = 12, 6


async def test_a_fleet_grows_and_shrinks_while_it_sends_and_loses_and_doubles_nothing(
    scene: Scene, engine: AsyncEngine, patient_kubelet: Kubelet, submission: Submission
) -> None:
    it = Sending(scene, engine, submission, PATIENT)
    await it.create(workers=2, mailboxes=MAILBOXES, quota=QUOTA, cooldown=(2000, 4000))
    await scene.start_operator()
    await scene.reason("Running")
    assert (await count_of(engine))[0] == 2
    await submission.journal.until("accepted", MAILBOXES)

    it.wish(3)
    await scene.counted(engine, 3)
    await until(lambda: scene.status()["workers"]["ready"] == 3, "three pods are ready")
    it.wish(1)
    await scene.counted(engine, 1)
    await it.pods_are(1)

    due = MAILBOXES * QUOTA
    await it.fleet.mails("sent", due)
    await it.judge()
    assert await it.fleet.states() == {"sent": due}
    numbers = {row.number for row in await it.fleet.rows("SELECT DISTINCT number FROM mails")}
    assert numbers >= {1, 2}
    await until(lambda: scene.status()["today"]["sent"] == due, "the status has the last count")
    today = scene.status()["today"]
    parts = ("sent", "inDoubt", "inFlight", "scheduled", "deferred", "skipped")
    assert [today[part] for part in parts] == [due, 0, 0, 0, 0, 0]
    assert scene.refusals() == []


async def test_a_rotated_password_reaches_the_running_worker(
    scene: Scene, engine: AsyncEngine, kubelet: Kubelet
) -> None:
    """field-029."""
    role = f"locked_{engine.url.database}"
    password = "first"
    await _set_password(engine, role, password, "CREATE")
    right = engine.url.set(drivername="postgresql", username=role, password=password)
    scene.create_secret("main-database", url=right.render_as_string(hide_password=False))
    scene.create_secret("main-owner", url=scene.url)
    scene.create_secret("main-keys", keys=KEY_LINE)
    scene.create_fleet(
        database={"urlSecretRef": {"name": "main-database"}, "ownerUrlSecretRef": {"name": "main-owner"}}
    )
    await scene.start_operator()
    await scene.counted(engine, 1)
    pod = kubelet.process_of("main-1")
    await _set_password(engine, role, "second", "ALTER")
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
        )

    async def cut_off() -> bool:
        return not await _live(engine)

    await until(cut_off, "the worker is cut off")
    changed = right.set(password="second").render_as_string(hide_password=False)
    scene.change_secret("main-database", url=changed)
    await until(lambda: _live(engine), "the worker is back")
    assert kubelet.process_of("main-1") == pod


async def _set_password(engine: AsyncEngine, role: str, password: str, verb: str) -> None:
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"{verb} ROLE {role} LOGIN PASSWORD '{password}'")


async def _live(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        answer = await connection.exec_driver_sql(
            "SELECT EXISTS (SELECT FROM workers WHERE lease_until > clock_timestamp())"
        )
        return bool(answer.scalar())
