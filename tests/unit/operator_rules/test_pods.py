"""Which pods are on their way out, and which a lost node will never let go."""

from datetime import UTC, datetime
from typing import Any

import pytest

from warmup_operator.pods import lost, terminating

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def pod(number: int, deleted: str | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": f"main-{number}",
        "labels": {"apps.kubernetes.io/pod-index": f"{number}"},
    }
    return {"metadata": metadata | ({"deletionTimestamp": deleted} if deleted else {})}


ALIVE, GOING = pod(1), pod(2, "2026-11-25T11:58:30Z")


def test_a_pod_on_its_way_out_is_known_by_its_number() -> None:
    foreign = {"metadata": {"name": "debug", "deletionTimestamp": "2026-11-25T11:58:30Z"}}
    assert terminating([ALIVE, GOING, foreign]) == {0, 2}


@pytest.mark.parametrize(
    ("live", "expired", "is_lost"),
    [
        ({1, 2}, {}, False),  # its lease runs: it drains
        ({1}, {2: 59.0}, False),
        ({1}, {2: 60.0}, True),
        ({1}, {2: -1.0}, True),  # never had a lease, and its deadline was 90 s ago
        ({1}, {}, True),  # beyond the count, and never had one
        ({2}, {1: 999.0}, False),
    ],
)
def test_lost_is_what_is_terminating_with_its_lease_long_out(
    live: set[int], expired: dict[int, float], is_lost: bool
) -> None:
    assert lost([ALIVE, GOING], live, expired, NOON, 60) == ([GOING] if is_lost else [])


def test_a_number_beyond_the_count_that_never_lived_is_given_its_deadline() -> None:
    assert lost([GOING], {1}, {}, NOON, 91) == []


def test_a_pod_that_is_no_workers_is_not_ours_to_delete() -> None:
    foreign = {"metadata": {"name": "debug", "deletionTimestamp": "2026-11-25T11:00:00Z"}}
    assert lost([foreign], {1}, {}, NOON, 60) == []


def test_a_worker_that_is_away_without_a_deletion_keeps_its_pod() -> None:
    """Its node may be back any moment; Kubernetes decides when to give it up."""
    assert lost([ALIVE], (), {1: 9999.0}, NOON, 60) == []
