"""The WarmupFleet as a user meets it through the API server and kubectl: defaults, refusals, explain, columns, scale."""

import json
import os
import subprocess
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane
from tests.integration.fleet.scene import FLEETS, Scene
from warmup_core import crd

MINIMAL = {
    "database": {"urlSecretRef": {"name": "main-database"}},
    "encryption": {"keysSecretRef": {"name": "main-keys"}},
}

BUDGET = "database.maxConnections must be at least 4 more than workers.max and than workers.replicas"


def kubectl(control_plane: ControlPlane, *arguments: str, given: str | None = None) -> str:
    done = _kubectl(control_plane, *arguments, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _kubectl(
    control_plane: ControlPlane, *arguments: str, given: str | None = None
) -> "subprocess.CompletedProcess[str]":
    program = programs.ensure("kubectl") / "kubectl"
    environment = {"KUBECONFIG": str(control_plane.kubeconfig), "HOME": str(control_plane.directory)}
    return subprocess.run(
        [program, *arguments],
        input=given,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def refused(scene: Scene, name: str = "main", **spec: Any) -> str:
    """The API server's sentences against a spec."""
    with pytest.raises(urllib.error.HTTPError) as error:
        scene.create_fleet(name, **spec)
    with error.value as answer:
        assert answer.code == 422
        return str(json.load(answer)["message"])


def test_the_api_server_fills_in_every_default(scene: Scene) -> None:
    assert scene.create_fleet(ramp={})["spec"] == {
        "emailsPerMailboxPerDay": 30,
        "timeZone": "UTC",
        "ramp": {"type": "Linear", "start": 2, "step": 2},
        "schedule": {
            "days": ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
            "from": "00:00",
            "to": "24:00",
        },
        "workers": {
            "min": 1,
            "max": 100,
            "maxMailboxesPerWorker": 2000,
            "headroomPercent": 20,
            "resizeCooldown": "10m",
            "sizing": "Auto",
            "maxConcurrentSends": 50,
            "image": "",
            "priorityClassName": "",
            "terminationGracePeriodSeconds": 90,
        },
        "pacing": {
            "mode": "Continuous",
            "cooldown": {"min": "2m", "max": "5m"},
            "interval": {
                "every": "10m",
                "batchSize": 200,
                "batchDelay": "2s",
                "stagger": {"min": "500ms", "max": "2s"},
            },
        },
        "limits": {
            "perMinute": 2500,
            "perHour": 150000,
            "providers": [{"name": "gmail", "perMailboxPerDay": 500}],
        },
        "recipients": {"replyPercent": 30},
        "content": {},
        "smtp": {},
        "database": {
            "urlSecretRef": {"name": "main-database", "key": "url"},
            "maxConnections": 150,
            "migrations": "Auto",
            "retentionDays": 90,
        },
        "encryption": {"keysSecretRef": {"name": "main-keys", "key": "keys"}},
        "oauth": {},
        "paused": False,
        "deletionPolicy": "Retain",
    }


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"workers": {"min": 5, "max": 2}}, "workers.min must not be greater than workers.max"),
        ({"workers": {"max": 147}}, BUDGET),
        ({"workers": {"replicas": 147}}, BUDGET),
        ({"schedule": {"from": "24:00"}}, "spec.schedule.from"),
        (
            {"pacing": {"cooldown": {"min": "10m"}}},
            "pacing.cooldown.min must not be longer than pacing.cooldown.max",
        ),
        (
            {"pacing": {"interval": {"every": "0s"}}},
            "pacing.interval.every must be longer than nothing, such as 10m",
        ),
        (
            {"pacing": {"interval": {"stagger": {"min": "3s"}}}},
            "pacing.interval.stagger.min must not be longer than pacing.interval.stagger.max",
        ),
        ({"emailsPerMailboxPerDay": 0}, "should be greater than or equal to 1"),
        ({"workers": {"replicas": -1}}, "should be greater than or equal to 0"),
        ({"workers": {"terminationGracePeriodSeconds": 60}}, "should be greater than or equal to 70"),
        ({"pacing": {"cooldown": {"max": "5 minutes"}}}, "spec.pacing.cooldown.max"),
        ({"database": {}}, "spec.database.urlSecretRef: Required value"),
        ({"database": {**MINIMAL["database"], "migrations": "Never"}}, 'supported values: "Auto", "Manual"'),
    ],
)
def test_a_bad_spec_is_refused_in_words(scene: Scene, spec: dict[str, Any], sentence: str) -> None:
    assert sentence in refused(scene, **spec)


def test_a_name_too_long_for_the_pods_labels_is_refused(scene: Scene) -> None:
    assert "metadata.name may have at most 40 characters" in refused(scene, "a" * 41)
    assert "metadata.name must be small letters, digits and dashes" in refused(scene, "a.b")
    scene.create_fleet("a" * 40)


def test_an_unknown_field_is_refused_by_kubectl(scene: Scene) -> None:
    manifest = {
        "apiVersion": "warmupfleet.io/v1alpha1",
        "kind": "WarmupFleet",
        "metadata": {"name": "main", "namespace": scene.namespace},
        "spec": {**MINIMAL, "emailsPerDay": 5},
    }
    done = _kubectl(scene.control_plane, "apply", "-f", "-", given=yaml.safe_dump(manifest))
    assert done.returncode == 1
    assert 'unknown field "spec.emailsPerDay"' in done.stderr


def paths(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", child["description"]
        yield from paths(child.get("items", child), f"{path}.{name}")


def test_kubectl_explains_every_field(control_plane: ControlPlane, installed: str) -> None:
    schema = crd.build()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    told = " ".join(kubectl(control_plane, "explain", "warmupfleet", "--recursive=true").split())
    one = " ".join(kubectl(control_plane, "explain", "warmupfleet.spec.workers").split())
    assert schema["spec"]["properties"]["workers"]["description"] in one
    for part in ("spec", "status"):
        for path, _ in paths(schema[part], part):
            assert path.rpartition(".")[2] in told, path
    served = control_plane.request("GET", "/openapi/v3/apis/warmupfleet.io/v1alpha1")["components"]["schemas"]
    [kind] = [value for name, value in served.items() if name.endswith(".WarmupFleet")]
    for part in ("spec", "status"):
        assert dict(paths(kind["properties"][part], part)) == dict(paths(schema[part], part))


def test_the_columns_are_those_of_the_status(scene: Scene) -> None:
    scene.create_fleet()
    status = {
        "epoch": 7,
        "message": "All is well.",
        "workers": {"summary": "2/2", "wanted": 2, "ready": 2, "replicas": 2},
        "sizing": {
            "by": "Mailboxes",
            **{"wanted": 2, "demandPerDay": 6000, "capacityPerWorker": 540_000},
            "reason": "200 mailboxes.",
        },
        "mailboxes": {"total": 200, "active": 200},
        "yesterday": "99.98%",
        "today": {
            "day": "2026-11-25",
            **{"due": 600, "sent": 250, "inDoubt": 1, "inFlight": 4, "scheduled": 345},
            **{"deferred": 0, "skipped": 0, "behind": 3},
        },
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Running",
                "message": "All is well.",
                "lastTransitionTime": "2026-11-25T12:00:00Z",
                "observedGeneration": 1,
            }
        ],
    }
    scene.merge(FLEETS, "warmupfleets", "main/status", {"status": status})
    table = kubectl(scene.control_plane, "get", "wuf", "-n", scene.namespace)
    head, line = (row.split() for row in table.splitlines())
    assert head == ["NAME", "READY", "STATUS", "WORKERS", "MAILBOXES", "DUE", "SENT", "BEHIND", "AGE"]
    assert line[:-1] == ["main", "True", "Running", "2/2", "200", "600", "250", "3"]
    wide = kubectl(scene.control_plane, "get", "wuf", "-n", scene.namespace, "-o", "wide")
    assert wide.splitlines()[0].split()[9:] == ["EPOCH", "IN-DOUBT", "YESTERDAY", "SIZED-BY", "MESSAGE"]
    assert wide.splitlines()[1].split()[9:] == ["7", "1", "99.98%", "Mailboxes", "All", "is", "well."]


def test_kubectl_scale_fixes_the_count_and_the_patch_frees_it(scene: Scene) -> None:
    scene.create_fleet()
    kubectl(scene.control_plane, "scale", "warmupfleet", "main", "-n", scene.namespace, "--replicas=5")
    assert scene.fleet()["spec"]["workers"]["replicas"] == 5
    scene.merge(FLEETS, "warmupfleets", "main/status", {"status": {"selector": "a=b"}})
    scale = scene.control_plane.request("GET", scene.path(FLEETS, "warmupfleets", "main/scale"))
    assert (scale["spec"]["replicas"], scale["status"]["selector"]) == (5, "a=b")
    patch = '{"spec":{"workers":{"replicas":null}}}'
    kubectl(
        scene.control_plane,
        "patch",
        "warmupfleets",
        "main",
        "-n",
        scene.namespace,
        "--type=merge",
        "-p",
        patch,
    )
    assert "replicas" not in scene.fleet()["spec"]["workers"]


def test_kubectl_scale_keeps_to_the_connections(scene: Scene) -> None:
    """The scale subresource is held to the rules of the whole fleet."""
    scene.create_fleet()
    scale = ("scale", "warmupfleet", "main", "-n", scene.namespace)
    done = _kubectl(scene.control_plane, *scale, "--replicas=147")
    assert done.returncode == 1
    assert BUDGET in done.stderr
    assert "replicas" not in scene.fleet()["spec"]["workers"]
    kubectl(scene.control_plane, *scale, "--replicas=146")


def test_the_crd_of_the_folder_is_accepted_as_it_is(control_plane: ControlPlane, installed: str) -> None:
    file = Path(__file__).parents[3] / "crds" / "warmupfleets.yaml"
    told = kubectl(
        control_plane, "apply", "--dry-run=server", "--server-side", "--force-conflicts", "-f", str(file)
    )
    assert "serverside-applied (server dry run)" in told
