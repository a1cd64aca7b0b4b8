"""The objects of a fleet: safe pods, no count in the template, written only when something is missing."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core.spec import WarmupFleetSpec
from warmup_operator import resources
from warmup_operator.resources import must_write, owned_by

FLEET = {"metadata": {"name": "main", "namespace": "mail", "uid": "uid-1"}}
SPEC: dict[str, Any] = {
    "database": {"urlSecretRef": {"name": "main-database", "key": "address"}},
    "encryption": {"keysSecretRef": {"name": "main-keys", "key": "mine"}},
}


def stateful_set(replicas: int = 2, **spec: Any) -> dict[str, Any]:
    parsed = WarmupFleetSpec.model_validate({**SPEC, **spec})
    return resources.stateful_set(FLEET, parsed, replicas, "released:1")


def pod(**spec: Any) -> dict[str, Any]:
    made: dict[str, Any] = stateful_set(**spec)["spec"]["template"]["spec"]
    return made


def everything() -> list[dict[str, Any]]:
    return [
        stateful_set(),
        resources.service(FLEET),
        resources.service_account(FLEET),
        resources.disruption_budget(FLEET),
    ]


def test_a_resize_leaves_the_template_alone() -> None:
    assert stateful_set(2)["spec"]["template"] == stateful_set(50)["spec"]["template"]


@pytest.mark.parametrize(
    "changed",
    [
        {"emailsPerMailboxPerDay": 7},
        {"timeZone": "Europe/Berlin"},
        {"ramp": {"type": "Steps", "steps": [3, 5]}},
        {"schedule": {"days": ["Mon"], "from": "08:00", "to": "18:00"}},
        {"pacing": {"mode": "Interval", "interval": {"every": "5m"}, "cooldown": {"min": "1m"}}},
        {"limits": {"perMinute": 7, "perUserPerHour": 5, "providers": []}},
        {"recipients": {"replyPercent": 0}},
        {"smtp": {"allowedNetworks": ["10.0.0.0/8"]}},
        {
            "database": {
                **SPEC["database"],
                "maxConnections": 300,
                "retentionDays": 30,
                "migrations": "Manual",
            }
        },
        {"workers": {"replicas": 9, "min": 2, "max": 50, "maxConcurrentSends": 7, "sizing": "Recommend"}},
        {"paused": True, "deletionPolicy": "Purge"},
    ],
    ids=lambda changed: "+".join(changed),
)
def test_what_is_sent_and_how_much_of_it_replaces_no_pod(changed: dict[str, Any]) -> None:
    """Workers read it from the database; texts, logins and passwords are files, of which the template has only the names."""
    assert stateful_set(**changed)["spec"]["template"] == stateful_set()["spec"]["template"]


def test_every_object_is_owned_by_the_fleet_and_holds_up_no_deletion() -> None:
    for made in everything():
        assert owned_by(made, FLEET)
        assert made["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] is False
        assert not owned_by(made, {"metadata": {**FLEET["metadata"], "uid": "another"}})


def test_the_number_comes_from_the_pods_index_and_starts_at_one() -> None:
    made = stateful_set()
    assert made["spec"]["ordinals"] == {"start": 1}
    assert made["spec"]["podManagementPolicy"] == "Parallel"
    [number] = [env for env in pod()["containers"][0]["env"] if env["name"] == "WARMUP_WORKER_ID"]
    path = "metadata.labels['apps.kubernetes.io/pod-index']"
    assert number["valueFrom"] == {"fieldRef": {"fieldPath": path}}


def test_the_users_keys_become_the_files_that_the_worker_reads() -> None:
    spec = pod(oauth={"applicationsSecretRef": {"name": "main-oauth"}})
    [mount] = [it for it in spec["containers"][0]["volumeMounts"] if it["name"] == "oauth"]
    [volume] = [it for it in spec["volumes"] if it["name"] == "oauth"]
    assert volume["secret"] == {
        "secretName": "main-oauth",
        "items": [{"key": "applications.json", "path": "applications.json"}],
    }
    variable = {"name": "WARMUP_OAUTH_APPLICATIONS_FILE", "value": f"{mount['mountPath']}/applications.json"}
    assert variable in spec["containers"][0]["env"]
    spec = pod(smtp={"caConfigMapRef": {"name": "main-ca", "key": "bundle"}})
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["database"]["secret"] == {
        "secretName": "main-database",
        "items": [{"key": "address", "path": "url"}],
    }
    assert volumes["database-ca"]["secret"] == {
        "secretName": "main-database",
        "optional": True,
        "items": [{"key": "ca.crt", "path": "ca.crt"}],
    }
    assert volumes["keys"]["secret"]["items"] == [{"key": "mine", "path": "keys"}]
    assert volumes["ca"]["configMap"]["items"] == [{"key": "bundle", "path": "ca.crt"}]
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    files = {env["name"]: env.get("value") for env in spec["containers"][0]["env"]}
    assert files["DATABASE_URL_FILE"] == f"{mounts['database']}/url"
    assert files["DATABASE_CA_FILE"] == f"{mounts['database-ca']}/ca.crt"
    assert files["WARMUP_ENCRYPTION_KEYS_FILE"] == f"{mounts['keys']}/keys"
    assert files["WARMUP_SMTP_CA_FILE"] == f"{mounts['ca']}/ca.crt"
    assert set(mounts) == set(volumes)


def test_a_fleet_without_its_own_authorities_mounts_none() -> None:
    assert "WARMUP_SMTP_CA_FILE" not in str(pod())


def test_the_pod_has_no_rights_and_no_credentials() -> None:
    spec = pod()
    container = spec["containers"][0]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert resources.service_account(FLEET)["automountServiceAccountToken"] is False


def test_grace_and_image_are_the_specs() -> None:
    spec = pod(workers={"terminationGracePeriodSeconds": 120, "image": "mine:2"})
    assert spec["terminationGracePeriodSeconds"] == 120
    assert {"name": "WARMUP_GRACE_SECONDS", "value": "120"} in spec["containers"][0]["env"]
    assert spec["containers"][0]["image"] == "mine:2"
    assert pod()["containers"][0]["image"] == "released:1"


def test_what_is_not_there_is_written_and_what_is_there_is_not() -> None:
    for made in everything():
        assert must_write(made, None)
        assert not must_write(made, deepcopy(made))


def test_what_the_server_and_others_add_is_no_reason_to_write() -> None:
    live = deepcopy(stateful_set())
    live["status"] = {"replicas": 2}
    live["metadata"]["labels"]["theirs"] = "yes"
    template = live["spec"]["template"]["spec"]
    template["dnsPolicy"] = "ClusterFirst"
    template["containers"][0]["imagePullPolicy"] = "IfNotPresent"
    template["containers"].append({"name": "sidecar"})
    template["containers"][0]["env"].insert(0, {"name": "THEIRS", "value": "1"})
    assert not must_write(stateful_set(), live)


def test_a_field_that_we_no_longer_state_is_a_reason_to_write() -> None:
    before = stateful_set(smtp={"caConfigMapRef": {"name": "main-ca"}})
    assert must_write(stateful_set(), before)


def _leaves(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(node, dict):
        return [leaf for key, child in node.items() for leaf in _leaves(child, (*path, key))]
    if isinstance(node, list):
        return [leaf for index, child in enumerate(node) for leaf in _leaves(child, (*path, index))]
    return [path]


@given(st.sampled_from(_leaves(stateful_set())))
def test_any_single_edit_of_ours_is_put_right(path: tuple[Any, ...]) -> None:
    live = deepcopy(stateful_set())
    node: Any = live
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = "edited by hand"
    assert must_write(stateful_set(), live)


def test_quantities_are_the_same_however_they_are_written() -> None:
    wanted = stateful_set(workers={"resources": {"requests": {"cpu": 1, "memory": "1024Mi"}}})
    live = deepcopy(wanted)
    kept = live["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    kept.update({"cpu": "1", "memory": "1Gi"})
    assert not must_write(wanted, live)
    for other in ("1001m", "1k", "one"):
        kept["cpu"] = other
        assert must_write(wanted, live)
    kept["cpu"] = "1000m"
    assert not must_write(wanted, live)
