"""The operator's environment: defaults, and every fault at once."""

import pytest

from warmup_core.types import Refused
from warmup_operator import settings


def test_without_a_variable_the_whole_cluster_is_served() -> None:
    own = settings.from_environment({})
    assert (own.namespaces, own.listen_host, own.listen_port) == ((), "0.0.0.0", 8080)
    assert (own.idle_seconds, own.list_seconds, own.silence_seconds, own.stale_seconds) == (30, 60, 70, 600)
    assert own.worker_image == f"ghcr.io/warmup-fleet/worker:{settings.VERSION}"


def test_liveness_outlasts_the_pause_between_two_looks() -> None:
    """Else a healthy operator is restarted for ever."""
    assert settings.from_environment({"WARMUP_IDLE_SECONDS": "200"}).stale_seconds == 600
    assert settings.from_environment({"WARMUP_IDLE_SECONDS": "600"}).stale_seconds == 1800


def test_namespaces_are_a_list() -> None:
    assert settings.from_environment({"WARMUP_WATCH_NAMESPACES": "a, b,"}).namespaces == ("a", "b")


def test_every_fault_is_listed() -> None:
    with pytest.raises(Refused) as refused:
        settings.from_environment(
            {"WARMUP_LISTEN": "here", "WARMUP_IDLE_SECONDS": "-1", "WARMUP_STALE_SECONDS": "nan"}
        )
    assert len(refused.value.faults) == 3


def test_a_misspelt_variable_is_told() -> None:
    assert settings.unread({"WARMUP_WATCH_NAMESPACE": "a", "WARMUP_LISTEN": "x", "PATH": ""}) == [
        "WARMUP_WATCH_NAMESPACE"
    ]
