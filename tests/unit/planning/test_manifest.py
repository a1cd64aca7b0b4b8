"""A manifest read without an API server is held to everything that the API server holds it to."""

from typing import Any

import pytest

from warmup_core import manifest
from warmup_core.spec_rules import CHECKS, RULES
from warmup_core.types import Refused

NEEDED = {
    "database": {"urlSecretRef": {"name": "main-database"}},
    "encryption": {"keysSecretRef": {"name": "main-keys"}},
}


def document(name: str = "main", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "warmupfleet.io/v1alpha1",
        "kind": "WarmupFleet",
        "metadata": {"name": name},
        "spec": {**NEEDED, **spec},
    }


def faults(document: dict[str, Any]) -> list[str]:
    with pytest.raises(Refused) as refused:
        manifest.read(document)
    return refused.value.faults


def test_every_rule_of_the_api_server_has_its_check() -> None:
    assert {path: len(rules) for path, rules in RULES.items()} == {
        path: len(checks) for path, checks in CHECKS.items()
    }


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("metadata.name may have", {"name": "x" * 41}),
    ("metadata.name must be", {"name": "1st"}),
    ("database.maxConnections must be at least", {"workers": {"max": 147}}),
    ("more than workers.max and than workers.replicas", {"workers": {"replicas": 147}}),
    ("workers.min must not be greater", {"workers": {"min": 3, "max": 2}}),
    ("needs ramp.steps", {"ramp": {"type": "Steps"}}),
    ("ramp.steps must never fall", {"ramp": {"type": "Steps", "steps": [3, 2]}}),
    ("names each day once", {"schedule": {"days": ["Mon", "Mon"]}}),
    ("names each provider once", {"limits": {"providers": [{"name": "a", "perMailboxPerDay": 1}] * 2}}),
    ("cooldown.min must not be longer", {"pacing": {"cooldown": {"min": "3m", "max": "90s"}}}),
    ("every must be longer than nothing", {"pacing": {"interval": {"every": "0s"}}}),
    ("stagger.min must not be longer", {"pacing": {"interval": {"stagger": {"min": "3s", "max": "1s"}}}}),
]


@pytest.mark.parametrize(("words", "change"), BROKEN)
def test_a_broken_rule_is_told_in_the_api_servers_words(words: str, change: dict[str, Any]) -> None:
    found = faults(document(**change))
    assert any(words in fault for fault in found), found


def test_every_rule_is_broken_by_some_example() -> None:
    told = [fault for _, change in BROKEN for fault in faults(document(**change))]
    unbroken = [
        message
        for rules in RULES.values()
        for _, message in rules
        if not any(message in fault for fault in told)
    ]
    assert unbroken == []


def test_every_fault_is_told_at_once() -> None:
    found = faults(
        {
            "apiVersion": "warmupfleet.io/v2",
            "kind": "WarmupFleet",
            "metadata": {"name": "main"},
            "extra": 1,
            "spec": {
                "emailsPerMailboxPerDay": "30",
                "workers": {"min": 3, "max": 2},
                "limits": {"perHour": 0, "perSecond": 3},
            },
        }
    )
    for words in (
        "apiVersion is 'warmupfleet.io/v2'",
        "extra is no field",
        "spec.emailsPerMailboxPerDay: Input should be a valid integer",
        "spec.limits.perHour: ",
        "spec.limits.perSecond: ",
        "spec.database: Field required",
        "spec.workers.min must not be greater than workers.max",
    ):
        assert any(words in fault for fault in found), words


def test_an_option_is_called_by_its_name() -> None:
    with pytest.raises(Refused) as refused:
        manifest.read(document(limits={"perHour": 0}), {"spec.limits.perHour": "--per-hour"})
    assert refused.value.faults[0].startswith("--per-hour: ")


def test_the_one_fleet_is_found_among_other_documents_and_read_as_kubectl_does() -> None:
    text = """
apiVersion: v1
kind: Secret
metadata: {name: main-keys}
---
apiVersion: warmupfleet.io/v1alpha1
kind: WarmupFleet
metadata: {name: main, namespace: mail}
spec:
  schedule: {from: 08:00, to: 18:00}   # 18:00 is the number 1080 in YAML 1.1, and a text for kubectl
  limits: {perMinute: null}
  database: {urlSecretRef: {name: main-database}}
  encryption: {keysSecretRef: {name: main-keys}}
---
"""
    read = manifest.read(manifest.find(text))
    assert (read.namespace, read.name) == ("mail", "main")
    assert (read.spec.schedule.from_, read.spec.schedule.to) == ("08:00", "18:00")
    assert read.spec.limits.per_minute is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: [", "not YAML"),
        ("kind: Secret", "no documents of kind WarmupFleet"),
        ("kind: WarmupFleet\n---\nkind: WarmupFleet", "2 documents"),
        ("", "no documents"),
    ],
)
def test_a_file_without_one_fleet_is_refused(text: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        manifest.find(text)
