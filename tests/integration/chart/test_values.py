"""The chart with every value set, as helm renders it; and a typo, which it refuses."""

import json
import os
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from docs.chart import CHART
from tests.cluster import programs
from warmup_core import database

PLACED: dict[str, Any] = {
    "podLabels": {"team": "mail", "app.kubernetes.io/name": "other"},
    "podAnnotations": {"note": "x"},
    "nodeSelector": {"pool": "system"},
    "tolerations": [{"key": "system", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "system-cluster-critical",
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccount": {"annotations": {"cloud/role": "r"}},
}
WATCHED: dict[str, Any] = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True, "annotations": {"grafana_folder": "Mail"}},
}
GUARDED: dict[str, Any] = {
    "watchNamespaces": ["a", "b"],
    "networkPolicy": {
        "enabled": True,
        "postgresPort": 6432,
        "metricsFrom": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
        ],
    },
}
TRIAL: dict[str, Any] = {"postgresql": {"trial": True}}


def helm(
    folder: Path, command: str, values: dict[str, Any], *arguments: str
) -> subprocess.CompletedProcess[str]:
    file = folder / "values.json"
    file.write_text(json.dumps(values))
    homes = {f"HELM_{kind}_HOME": str(folder / kind) for kind in ("CACHE", "CONFIG", "DATA")}
    named = ["warmup"] if command != "lint" else []
    return subprocess.run(
        [
            programs.ensure("helm") / "helm",
            command,
            *named,
            CHART,
            "--namespace",
            "there",
            "-f",
            file,
            *arguments,
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)} | homes,
        capture_output=True,
        text=True,
        timeout=300,
    )


def rendered(folder: Path, values: dict[str, Any]) -> dict[tuple[str, str, str], Any]:
    """The manifests by kind, namespace and name."""
    done = helm(folder, "template", values)
    assert done.returncode == 0, done.stderr
    manifests = [it for it in yaml.safe_load_all(done.stdout) if it]
    return {(it["kind"], it["metadata"].get("namespace", ""), it["metadata"]["name"]): it for it in manifests}


def test_helm_lints_it_with_all_that_there_is(tmp_path: Path) -> None:
    done = helm(tmp_path, "lint", PLACED | WATCHED | GUARDED | TRIAL, "--strict")
    assert done.returncode == 0, done.stdout


def test_a_second_operator_brings_no_crd(tmp_path: Path) -> None:
    crd = ("CustomResourceDefinition", "", "warmupfleets.warmupfleet.io")
    first, second = rendered(tmp_path, {}), rendered(tmp_path, {"crd": {"install": False}})
    assert crd in first
    assert set(first) - set(second) == {crd}


def cluster_roles(folder: Path, values: dict[str, Any]) -> set[str]:
    return {name for kind, _, name in rendered(folder, values) if kind == "ClusterRole"}


def test_the_clusters_own_roles_cover_fleets_unless_the_operator_is_confined(tmp_path: Path) -> None:
    own, added = "warmup-fleet-there", {"warmup-fleet-there-view", "warmup-fleet-there-edit"}
    assert cluster_roles(tmp_path, {}) == {own} | added
    assert cluster_roles(tmp_path, {"aggregateRoles": False}) == {own}
    assert cluster_roles(tmp_path, {"watchNamespaces": ["a"]}) == {own}


def test_placement_reaches_the_pod(tmp_path: Path) -> None:
    made = rendered(tmp_path, PLACED)
    template = made["Deployment", "there", "warmup-fleet"]["spec"]["template"]
    for field in ("nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets"):
        assert template["spec"][field] == PLACED[field]
    assert template["metadata"]["annotations"] == {"note": "x"}
    labels = template["metadata"]["labels"]
    assert (labels["team"], labels["app.kubernetes.io/name"]) == ("mail", "warmup-fleet")
    account = made["ServiceAccount", "there", "warmup-fleet"]["metadata"]
    assert account["annotations"] == {"cloud/role": "r"}


def test_prometheus_and_grafana_get_the_files(tmp_path: Path) -> None:
    made = rendered(tmp_path, WATCHED)
    rule = made["PrometheusRule", "there", "warmup-fleet"]
    assert rule["spec"] == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    board = made["ConfigMap", "there", "warmup-fleet-dashboard"]
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert board["data"] == {"warmup-fleet.json": (CHART / "files" / "dashboard.json").read_text()}


def test_one_operator_holds_up_no_drain(tmp_path: Path) -> None:
    """field-037: a budget of one replica would."""
    made = rendered(tmp_path, PLACED | WATCHED | GUARDED | TRIAL)
    assert not [key for key in made if key[0] == "PodDisruptionBudget"]


def ports(rule: dict[str, Any]) -> set[int]:
    return {it["port"] for it in rule["ports"]}


def test_policies_let_through_what_is_needed(tmp_path: Path) -> None:
    made = rendered(tmp_path, GUARDED)
    policies = {key[1:]: it["spec"] for key, it in made.items() if key[0] == "NetworkPolicy"}
    assert set(policies) == {
        ("there", "warmup-fleet"),
        ("a", "warmup-fleet-workers"),
        ("b", "warmup-fleet-workers"),
    }
    workers, operator = policies["a", "warmup-fleet-workers"], policies["there", "warmup-fleet"]
    assert [ports(it) for it in workers["egress"]] == [{53}, {6432, 25, 465, 587, 443}]
    assert [ports(it) for it in operator["egress"]] == [{53}, {443, 6443, 6432}]
    [metrics] = workers["ingress"]
    assert (ports(metrics), metrics["from"]) == ({3000}, GUARDED["networkPolicy"]["metricsFrom"])
    assert workers["podSelector"]["matchLabels"] == {
        "app.kubernetes.io/name": "warmup-worker",
        "app.kubernetes.io/managed-by": "warmup-fleet",
    }
    test_pod = made["Pod", "there", "warmup-fleet-test"]["metadata"]["labels"]
    asks = operator["ingress"][1]["from"][0]["podSelector"]["matchLabels"]
    assert asks.items() <= test_pod.items()


@pytest.mark.parametrize(
    "typo",
    [
        {"watchNamespace": ["a"]},
        {"crd": {"installed": False}},
        {"aggregateRoles": "yes"},
        {"idleSeconds": 301},
        {"image": {"repo": "x"}},
        {"resources": {"limit": {}}},
        {"serviceAccount": {"annotation": {}}},
        {"serviceMonitor": {"enable": True}},
        {"prometheusRule": {"enabled": "yes"}},
        {"dashboard": {"label": {}}},
        {"networkPolicy": {"smtpPort": 25}},
        {"networkPolicy": {"metricsFrom": [{"namespaceSelectors": {}}]}},
        {"tolerations": [{"keys": "x"}]},
        {"affinity": {"nodeAfinity": {}}},
        {"postgresql": {"enabled": True}},
        {"postgresql": {"storage": "1 GiB"}},
        {"imagePullSecrets": [{"nam": "x"}]},
    ],
    ids=str,
)
def test_a_typo_is_refused(typo: dict[str, Any], tmp_path: Path) -> None:
    done = helm(tmp_path, "template", typo)
    assert done.returncode != 0
    assert "don't meet the specifications of the schema" in done.stderr


def test_the_notes_bring_the_policy_that_the_chart_cannot_make(tmp_path: Path) -> None:
    """Without a list the workers' namespaces are not known."""
    done = helm(tmp_path, "install", {"networkPolicy": {"enabled": True}}, "--dry-run=client")
    assert done.returncode == 0, done.stderr
    notes = done.stdout[done.stdout.index("NOTES:") :]
    assert "helm test warmup -n there" in notes
    command = notes.split("kubectl apply -n mail -f - <<EOF\n")[1].split("\nEOF\n")[0]  # as a shell ends it
    policy = yaml.safe_load(command)
    listed = rendered(tmp_path, {"networkPolicy": {"enabled": True}, "watchNamespaces": ["mail"]})
    assert policy["spec"] == listed["NetworkPolicy", "mail", "warmup-fleet-workers"]["spec"]


def test_a_database_for_a_trial_comes_by_a_switch_and_can_be_reached(tmp_path: Path) -> None:
    assert not [key for key in rendered(tmp_path, GUARDED) if "warmup-fleet-postgresql" in key]
    made = rendered(tmp_path, GUARDED | TRIAL)
    secret = made["Secret", "there", "warmup-fleet-postgresql"]["stringData"]
    url = database.parse_url(secret["url"])
    assert (url.host, url.port, url.password) == (
        "warmup-fleet-postgresql.there.svc",
        5432,
        secret["password"],
    )
    service = made["Service", "there", "warmup-fleet-postgresql"]["spec"]
    pod = made["StatefulSet", "there", "warmup-fleet-postgresql"]["spec"]["template"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    [container] = pod["spec"]["containers"]
    variables = {it["name"]: it.get("value") for it in container["env"]}
    assert (variables["POSTGRES_USER"], variables["POSTGRES_DB"]) == (url.username, url.database)
    assert variables.keys() == {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "PGDATA"}
    assert "127.0.0.1" in container["readinessProbe"]["exec"]["command"]
    # Nobody else's selector finds it, and both sides of its policy let the fleet through.
    operator = made["Deployment", "there", "warmup-fleet"]["spec"]
    assert not operator["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    policies = {key[1:]: it["spec"] for key, it in made.items() if key[0] == "NetworkPolicy"}
    fleet = [policies[it] for it in (("there", "warmup-fleet"), ("a", "warmup-fleet-workers"))]
    for policy in fleet:
        assert {5432, 6432} <= ports(policy["egress"][1])
    [rule] = policies["there", "warmup-fleet-postgresql"]["ingress"]
    admitted = [it["podSelector"]["matchLabels"] for it in rule["from"]]
    assert admitted == [policy["podSelector"]["matchLabels"] for policy in fleet]


def test_its_data_stay_with_a_volume_or_end_with_the_pod(tmp_path: Path) -> None:
    kept, lost = (
        rendered(tmp_path, {"postgresql": {"trial": True, "storage": storage}})[
            "StatefulSet", "there", "warmup-fleet-postgresql"
        ]["spec"]
        for storage in ("5Gi", "")
    )
    for spec in (kept, lost):
        [container] = spec["template"]["spec"]["containers"]
        [mounted] = [it["mountPath"] for it in container["volumeMounts"] if it["name"] == "data"]
        [data] = [PurePosixPath(it["value"]) for it in container["env"] if it["name"] == "PGDATA"]
        assert PurePosixPath(mounted) in data.parents
        images_own = PurePosixPath("/var/lib/postgresql/data")
        assert images_own not in (data, *data.parents), (
            "a volume of the image's own up to 17, which ends with the container"
        )
    [claim] = kept["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "5Gi"}
    assert "volumeClaimTemplates" not in lost
    assert {"name": "data", "emptyDir": {}} in lost["template"]["spec"]["volumes"]


def test_the_notes_wait_for_the_pod_before_they_ask_it_for_keys(tmp_path: Path) -> None:
    """Else `$(kubectl exec ...)` is empty while the pod starts, and makes a Secret that holds nothing."""
    done = helm(tmp_path, "install", {}, "--dry-run=client")
    lines = done.stdout[done.stdout.index("NOTES:") :].splitlines()
    commands = [it for it in lines if it.startswith("kubectl ")]
    assert commands[0].startswith("kubectl rollout status -n there deploy/warmup-fleet --timeout=")
    assert "$(kubectl exec -n there deploy/warmup-fleet" in "\n".join(commands[1:])


def test_the_notes_say_how_to_take_it_and_what_it_is_not(tmp_path: Path) -> None:
    done = helm(tmp_path, "install", TRIAL, "--dry-run=client")
    assert done.returncode == 0, done.stderr
    notes = done.stdout[done.stdout.index("NOTES:") :]
    assert "kubectl get secret -n there warmup-fleet-postgresql -o jsonpath={.data.url} | base64 -d" in notes
    assert "This database is for a trial" in notes
    assert "USER:PASSWORD" not in notes
