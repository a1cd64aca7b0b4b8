"""What a user gets wrong is said in a condition and an event, with the cure, and mends itself once it is mended."""

import json
import urllib.error

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.fleet.scene import FLEETS, Scene, count_of, enrol, live
from tests.waiting import until
from warmup_core.credentials import new_key


async def test_every_missing_secret_is_named_with_the_command_that_makes_it(scene: Scene) -> None:
    """field-029, a Secret that comes later."""
    scene.create_fleet()
    await scene.start_operator()
    ready = await scene.reason("SecretMissing")
    create = f"kubectl create secret generic -n {scene.namespace}"
    assert f"{create} main-database --from-literal=url=postgresql://" in ready["message"]
    assert f'{create} main-keys --from-literal=keys="$(warmup keys new)"' in ready["message"]
    database = scene.condition("DatabaseReachable")
    assert (database["status"], database["reason"]) == ("False", "SecretMissing")
    assert "main-keys" not in database["message"]
    assert {event["type"] for event in await scene.told("SecretMissing")} == {"Warning"}
    assert scene.stateful_set() is None

    scene.create_secret("main-database", wrong=scene.url)
    missing_key = await scene.reason("SecretKeyMissing", "DatabaseReachable")
    assert (
        f"Secret {scene.namespace}/main-database has no key 'url'; it holds wrong" in missing_key["message"]
    )
    scene.change_secret("main-database", url=scene.url)
    await scene.reason("Reachable", "DatabaseReachable")
    assert scene.condition()["reason"] == "SecretMissing"
    scene.create_secret("main-keys", keys=new_key("k1"))
    await scene.reason("NoMailboxes")


async def test_bad_keys_are_listed_by_line_and_never_shown(scene: Scene) -> None:
    scene.create_secret("main-database", url=scene.url)
    scene.create_secret("main-keys", keys="k1:c2VjcmV0\nnonsense\n")
    scene.create_fleet()
    await scene.start_operator()
    wrong = await scene.reason("EncryptionKeysInvalid")
    assert f"Secret {scene.namespace}/main-keys, key 'keys'" in wrong["message"]
    assert "line 1" in wrong["message"]
    assert "line 2" in wrong["message"]
    assert scene.condition("DatabaseReachable")["status"] == "True"
    scene.change_secret("main-keys", keys=new_key("k1"))
    await scene.reason("NoMailboxes")
    assert "c2VjcmV0" not in scene.log.read_text()
    assert "c2VjcmV0" not in str(scene.items("apis/events.k8s.io/v1", "events"))


async def test_templates_with_faults_are_told_by_file_and_line_and_good_ones_are_mounted(
    scene: Scene, engine: AsyncEngine
) -> None:
    await enrol(engine, 2)
    scene.create_secrets()
    good = "language: en\n== subject\nNews\n== first\nHello {{recipient_name}}\n== answer\nYes\n"
    maps = scene.path("api/v1", "configmaps")
    scene.create_fleet(content={"templatesConfigMapRef": {"name": "texts"}})
    await scene.start_operator()
    missing = await scene.reason("ConfigMapMissing")
    assert f"kubectl create configmap -n {scene.namespace} texts --from-file=" in missing["message"]
    faulty = {"en.txt": good.replace("recipient_name", "recipient_nam"), "README": "not a template"}
    scene.control_plane.request("POST", maps, {"metadata": {"name": "texts"}, "data": faulty})
    wrong = await scene.reason("TemplatesInvalid")
    assert (
        "en.txt line 5: nothing is called {{recipient_nam}}; is {{recipient_name}} meant?" in wrong["message"]
    )
    scene.merge("api/v1", "configmaps", "texts", {"data": {"en.txt": good}})
    await scene.reason("Starting")
    made = scene.stateful_set()
    assert made is not None
    pod = made["spec"]["template"]["spec"]
    volume = next(it for it in pod["volumes"] if it["name"] == "templates")
    assert volume["configMap"]["name"] == "texts"
    mount = next(it for it in pod["containers"][0]["volumeMounts"] if it["name"] == "templates")
    assert {"name": "WARMUP_TEMPLATES_DIR", "value": mount["mountPath"]} in pod["containers"][0]["env"]


async def test_oauth_applications_are_told_by_name_without_their_secrets_and_good_ones_are_mounted(
    scene: Scene, engine: AsyncEngine
) -> None:
    await enrol(engine, 2)
    scene.create_secrets()
    scene.create_fleet(oauth={"applicationsSecretRef": {"name": "apps"}})
    await scene.start_operator()
    missing = await scene.reason("SecretMissing")
    create = f"kubectl create secret generic -n {scene.namespace} apps"
    assert f"{create} --from-file=applications.json=applications.json" in missing["message"]
    good = {
        "client_id": "id",
        "client_secret": "hidden-word",
        "token_endpoint": "https://oauth.example/token",
    }
    scene.create_secret(
        "apps", **{"applications.json": json.dumps({"google": good | {"token_endpoint": "x"}})}
    )
    wrong = await scene.reason("OAuthApplicationsInvalid")
    assert f"Secret {scene.namespace}/apps, key 'applications.json'" in wrong["message"]
    assert "google: token_endpoint: write an https:// URL" in wrong["message"]
    scene.change_secret("apps", **{"applications.json": json.dumps({"google": good})})
    await scene.reason("Starting")
    made = scene.stateful_set()
    assert made is not None
    pod = made["spec"]["template"]["spec"]
    volume = next(it for it in pod["volumes"] if it["name"] == "oauth")
    assert volume["secret"]["secretName"] == "apps"
    assert "hidden-word" not in scene.log.read_text() + json.dumps(made) + json.dumps(scene.condition())


async def test_credentials_under_a_lost_key_are_told_by_its_id(scene: Scene, engine: AsyncEngine) -> None:
    await enrol(engine, 2)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO credentials SELECT id, 'u', 'old', int8send(id) || '\\x00000000'::bytea, '' FROM mailboxes"
        )
    scene.create_secrets()
    scene.create_fleet()
    await scene.start_operator()
    wrong = await scene.reason("EncryptionKeyUnknown")
    assert (
        f"under 'old', which Secret {scene.namespace}/main-keys, key 'keys', does not hold"
        in wrong["message"]
    )
    assert (await count_of(engine))[0] == 0
    await live(engine, 1)
    await scene.counted(engine, 1)  # what is wrong with some mailboxes keeps the others from nothing
    assert scene.condition()["reason"] == "EncryptionKeyUnknown"


async def test_a_fleet_without_mailboxes_is_told_how_to_import_them(
    scene: Scene, engine: AsyncEngine
) -> None:
    scene.create_secrets()
    scene.create_fleet()
    await scene.start_operator()
    empty = await scene.reason("NoMailboxes")
    command = (
        "kubectl exec -i -n warmup-system deploy/warmup-fleet --"
        f" warmup --fleet {scene.namespace}/main mailboxes import - < mailboxes.csv"
    )
    assert command in empty["message"]
    await enrol(engine, 3)
    await live(engine, 1)
    await scene.reason("Running")


async def test_an_unknown_time_zone_is_the_specs_fault_not_the_databases(scene: Scene) -> None:
    scene.create_secrets()
    scene.create_fleet(timeZone="Europe/Atlantis")
    await scene.start_operator()
    wrong = await scene.reason("TimeZoneUnknown")
    assert "Europe/Atlantis" in wrong["message"]
    assert scene.condition("DatabaseReachable")["status"] == "True"
    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"timeZone": "Europe/Berlin"}})
    await scene.reason("NoMailboxes")


async def test_a_name_that_is_taken_is_left_alone_and_said(scene: Scene) -> None:
    theirs = {
        "metadata": {"name": "main"},
        "spec": {
            "replicas": 0,
            "serviceName": "main",
            "selector": {"matchLabels": {"app": "theirs"}},
            "template": {
                "metadata": {"labels": {"app": "theirs"}},
                "spec": {"containers": [{"name": "c", "image": "theirs"}]},
            },
        },
    }
    scene.control_plane.request("POST", scene.path("apis/apps/v1", "statefulsets"), theirs)
    scene.create_secrets()
    scene.create_fleet()
    await scene.start_operator()
    taken = await scene.reason("NameTaken")
    assert f"StatefulSet {scene.namespace}/main exists and is not this fleet's" in taken["message"]
    found = scene.stateful_set()
    assert found is not None
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "theirs"
    scene.delete("apis/apps/v1", "statefulsets", "main")
    await scene.reason("NoMailboxes")


async def test_what_the_api_server_refuses_is_repeated_in_its_own_words(
    scene: Scene, engine: AsyncEngine
) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"count/statefulsets.apps": "0"}}}
    scene.control_plane.request("POST", scene.path("api/v1", "resourcequotas"), quota)
    await scene.quota_in_force("none")
    scene.create_secrets()
    scene.create_fleet()
    await scene.start_operator()
    wrong = await scene.reason("KubernetesRefused")
    assert f"StatefulSet {scene.namespace}/main: " in wrong["message"]
    assert "exceeded quota: none" in wrong["message"]
    async with engine.connect() as connection:
        since = await connection.scalar(text("SELECT growing_since FROM fleet"))
    assert since is None, "no pod could be asked for, so none is late"
    scene.delete("api/v1", "resourcequotas", "none")
    await scene.reason("NoMailboxes")


async def test_a_quota_of_the_namespace_is_repeated_in_the_clusters_own_words(
    scene: Scene, engine: AsyncEngine
) -> None:
    """field-028."""
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "3"}}}
    scene.control_plane.request("POST", scene.path("api/v1", "resourcequotas"), quota)
    await scene.quota_in_force("few")
    await enrol(engine, 5)
    await live(engine, 1, 2, 3)
    scene.create_secrets()
    scene.create_fleet(workers={"replicas": 5})
    await scene.start_operator()
    await until(lambda: "exceeded quota: few" in scene.condition().get("message", ""), "the quota is named")
    assert scene.condition()["message"].startswith("3 of 5 workers are live")
    assert (await count_of(engine))[0] == 0


async def test_an_event_that_cannot_be_posted_ends_no_look(scene: Scene) -> None:
    """A policy of the cluster refuses them: the status says the same all the same."""
    policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
    events, name = scene.path("apis/events.k8s.io/v1", "events"), f"no-events-{scene.namespace}"
    rules = [
        {
            "apiGroups": ["events.k8s.io"],
            "apiVersions": ["v1"],
            "resources": ["events"],
            "operations": ["CREATE"],
        }
    ]
    here = {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}}
    policy = {
        "matchConstraints": {"namespaceSelector": here, "resourceRules": rules},
        "validations": [{"expression": "false", "message": "no events here"}],
    }
    request = scene.control_plane.request
    request("POST", policies, {"metadata": {"name": name}, "spec": policy})
    try:
        binding = {"policyName": name, "validationActions": ["Deny"]}
        request("POST", bindings, {"metadata": {"name": name}, "spec": binding})

        probe = {
            "metadata": {"name": "probe", "namespace": scene.namespace},
            "eventTime": "2026-11-25T00:00:00.000000Z",
            "reportingController": "test/probe",
            "reportingInstance": "probe",
            "action": "Probe",
            "reason": "Probe",
            "type": "Normal",
            "regarding": {"kind": "Pod", "name": "probe", "namespace": scene.namespace},
        }

        def in_force() -> bool:
            try:
                request("POST", f"{events}?dryRun=All", probe)
            except urllib.error.HTTPError as error:
                return b"no events here" in error.read()
            return False

        await until(in_force, "events are refused")
        scene.create_fleet()
        await scene.start_operator()
        await scene.reason("SecretMissing")
        await until(lambda: "no events here" in scene.log.read_text(), "the refusal is told")
        assert "no event SecretMissing" in scene.log.read_text()
        assert "warmup_operator_reconcile_errors_total{" not in (await scene.ask("/metrics"))[1]
    finally:
        request("DELETE", f"{bindings}/{name}")
        request("DELETE", f"{policies}/{name}")
