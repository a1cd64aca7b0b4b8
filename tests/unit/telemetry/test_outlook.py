"""What a person is told of a mailbox where no worker is asked: the most lasting thing first, with the earliest instant."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from warmup_core.outlook import outlook
from warmup_core.pacing import Window

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = Window(NOW - 3 * HOUR, NOW + 3 * HOUR)
FREE: dict[str, Any] = {
    "window": WINDOW,
    "active": True,
    "fleet_paused": False,
    "in_flight": False,
    "quota": 30,
    "spent": 10,
    "not_before": None,
    "hold": None,
    "pause": None,
}


@pytest.mark.parametrize(
    ("changed", "at", "words"),
    [
        ({}, NOW, "may send"),
        ({"window": None}, None, "no fleet"),
        ({"active": False}, None, "not active"),
        ({"fleet_paused": True}, None, "fleet is paused"),
        ({"in_flight": True}, None, "in flight"),
        ({"quota": None}, None, "No worker has planned"),
        ({"pause": ("ip-listed", None)}, None, "holds it: ip-listed"),
        ({"pause": ("greylisted", NOW + HOUR)}, NOW + HOUR, "holds it: greylisted"),
        ({"spent": 30}, None, "quota is spent"),
        ({"quota": 0, "spent": 0}, None, "owes nothing"),
        ({"not_before": NOW + HOUR}, NOW + HOUR, "rests from its last mail"),
        ({"not_before": NOW + HOUR, "hold": "auth: 535 no"}, NOW + HOUR, "It is held: auth: 535 no"),
        ({"not_before": NOW - HOUR, "hold": "auth: 535 no"}, NOW, "may send"),
        (
            {"not_before": NOW + 9 * HOUR, "hold": "auth: 535 no"},
            None,
            "beyond the end of today's window: auth: 535 no",
        ),
        ({"window": Window(NOW - 3 * HOUR, NOW)}, None, "window is over"),
        ({"window": Window(NOW + HOUR, NOW + 2 * HOUR)}, NOW + HOUR, "not opened yet"),
        ({"window": Window(NOW, NOW)}, None, "skips the window"),
        ({"active": False, "spent": 30, "in_flight": True}, None, "not active"),
    ],
)
def test_the_reason_and_the_earliest_instant(
    changed: dict[str, Any], at: datetime | None, words: str
) -> None:
    found = outlook(NOW, **{**FREE, **changed})
    assert found.at == at
    assert words in found.reason
    assert found.reason[0].isupper()
