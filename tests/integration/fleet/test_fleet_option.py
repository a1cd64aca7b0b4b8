"""``warmup --fleet NAMESPACE/NAME`` reads the manifest and its Secrets from a real API server, with the chart's rights."""

import json

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.command import Done, warmup
from tests.integration.fleet.scene import Scene, enrol
from tests.waiting import until
from warmup_core import fleet
from warmup_core.fleet import Owner
from warmup_core.settings import FleetSettings

FILE = "email,user,smtp_host,password\nada@tea.example,ada,mail.example,s3cret\n"


async def run(scene: Scene, *arguments: str, stdin: str = "", name: str = "main") -> Done:
    environ = {"KUBECONFIG": str(scene.rights), "WARMUP_ENCRYPTION_KEYS": ""}
    return await warmup("--fleet", f"{scene.namespace}/{name}", *arguments, stdin=stdin, environ=environ)


async def test_the_fleets_own_database_and_keys_are_used(scene: Scene, engine: AsyncEngine) -> None:
    scene.create_secrets()
    scene.create_fleet()
    done = await run(scene, "mailboxes", "import", "-", stdin=FILE)
    assert (done.code, done.out, done.err) == (0, "1 added, 0 changed, 0 untouched.\n", "")
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT key_id FROM credentials")) == "k1"
    shown = await run(scene, "mailboxes", "show", "ada@tea.example")
    assert "mail.example:587, starttls" in shown.out


async def test_a_fleet_that_is_not_there_is_named(scene: Scene) -> None:
    done = await run(scene, "mailboxes", "list", name="nobody")
    assert done.code == 1
    assert f"There is no WarmupFleet nobody in namespace {scene.namespace}" in done.err


async def test_a_missing_secret_is_named_with_its_cure(scene: Scene) -> None:
    scene.create_fleet()
    done = await run(scene, "mailboxes", "import", "-", stdin=FILE)
    assert done.code == 1
    assert f"Secret {scene.namespace}/main-keys does not exist" in done.err
    scene.create_secrets()
    mended = await run(scene, "mailboxes", "import", "-", stdin=FILE)
    assert mended.code == 0


async def test_a_login_is_tried_with_the_fleets_own_oauth_applications(scene: Scene) -> None:
    scene.create_secrets()
    scene.create_fleet(oauth={"applicationsSecretRef": {"name": "apps"}})
    oauth = "email,user,smtp_host,oauth_application,refresh_token\nada@tea.example,ada,mail.example,google,s3cret\n"
    assert (await run(scene, "mailboxes", "import", "-", stdin=oauth)).code == 0
    missing = await run(scene, "mailboxes", "verify", "ada@tea.example")
    assert missing.code == 1
    assert f"Secret {scene.namespace}/apps does not exist" in missing.err
    nowhere = {"client_id": "id", "client_secret": "s3cret", "token_endpoint": "https://127.0.0.1:1/token"}
    scene.create_secret("apps", **{"applications.json": json.dumps({"google": nowhere})})
    tried = await run(scene, "mailboxes", "verify", "ada@tea.example")
    assert (tried.code, tried.err) == (1, "")
    assert "token      FAILED: oauth-endpoint: " in tried.out
    assert tried.out.rstrip().endswith("google's token endpoint said: 127.0.0.1:1: connection refused")


async def test_another_fleets_database_is_refused(scene: Scene, engine: AsyncEngine) -> None:
    scene.create_secrets()
    scene.create_fleet()
    async with engine.begin() as connection:
        await fleet.own(
            connection,
            Owner("elsewhere", "other", "first", "uid-1"),
            generation=1,
            token="t0ken",
            settings=FleetSettings(),
            time_zone="UTC",
            paused=False,
        )
    done = await run(scene, "mailboxes", "import", "-", stdin=FILE)
    assert done.code == 1
    assert "The database belongs to the fleet other/first" in done.err
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM mailboxes")) == 0


async def test_a_plan_for_the_running_fleet_reads_its_manifest_from_the_cluster(
    scene: Scene, engine: AsyncEngine
) -> None:
    await enrol(engine, 30)
    scene.create_secrets()
    scene.create_fleet(workers={"maxMailboxesPerWorker": 10})
    await scene.start_operator()
    await until(lambda: scene.status().get("sizing"), "the fleet is looked at")
    done = await run(scene, "plan", "--json")
    found = json.loads(done.out)
    assert (done.code, found["subject"]) == (0, f"the running fleet {scene.namespace}/main")
    assert (found["workers"]["wanted"], found["mailboxes"]["total"], found["mails"]["today"]) == (3, 30, 900)
    assert found["workers"]["reason"] == scene.status()["sizing"]["reason"]
    asked = await run(scene, "plan", "--json", "--mailboxes", "500")
    assert json.loads(asked.out)["workers"]["wanted"] == 50
