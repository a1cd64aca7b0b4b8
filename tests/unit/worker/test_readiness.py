"""Ready or not, and the sentence that says why."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from warmup_core.fleet import PROCESSES, Owner
from warmup_core.settings import FleetSettings
from warmup_worker.lease import Orders
from warmup_worker.readiness import readiness
from warmup_worker.wanted import WantedFleet

ORDERS = Orders(
    owner=PROCESSES,
    token="t",
    epoch=1,
    worker_count=3,
    paused=False,
    deleted=False,
    day=date(2026, 11, 25),
    zone="UTC",
    settings_version=1,
    settings=FleetSettings(),
)
OTHER = Owner("c", "mail", "main", "u")
WELL: dict[str, Any] = {
    "number": 2,
    "orders": ORDERS,
    "wanted": None,
    "registered": True,
    "replaced": False,
    "draining": False,
    "loaded": True,
    "trouble": None,
}


@pytest.mark.parametrize(
    ("changes", "ready", "words"),
    [
        ({}, True, "Worker 2 of 3."),
        ({"number": 4}, True, "Worker 4 is beyond the count of 3: it owns no mailboxes."),
        ({"orders": replace(ORDERS, paused=True)}, True, "paused"),
        ({"registered": False}, False, "Not registered"),
        ({"orders": None}, False, "No fleet yet"),
        ({"orders": replace(ORDERS, deleted=True)}, False, "deleted"),
        ({"loaded": False}, False, "being read"),
        ({"trouble": "db:5432/x: no answer in time."}, False, "no answer in time"),
        ({"replaced": True}, False, "a newer process runs as worker 2"),
        ({"draining": True}, False, "Draining"),
        (
            {"wanted": WantedFleet(5, FleetSettings(), "UTC")},
            False,
            "WARMUP_WORKER_COUNT is 5 here, the fleet has 3 workers",
        ),
        ({"wanted": WantedFleet(3, FleetSettings(), "UTC")}, True, "Worker 2 of 3."),
        (
            {"wanted": WantedFleet(3, FleetSettings(), "UTC"), "orders": replace(ORDERS, owner=OTHER)},
            False,
            "belongs to the fleet mail/main",
        ),
    ],
)
def test_readiness(changes: dict[str, Any], ready: bool, words: str) -> None:
    answer = readiness(**{**WELL, **changes})
    assert answer.ready is ready
    assert words in answer.reason
