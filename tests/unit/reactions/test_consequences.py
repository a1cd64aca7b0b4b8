"""A failure is carried out at a cost that does not grow with the pauses in force: servers refuse in storms."""

import asyncio
from collections.abc import ItemsView
from datetime import UTC, datetime
from typing import Any, cast
from unittest.mock import MagicMock

from tests.unit.worker.test_shard import ENROLMENT, row
from warmup_core.replies import Scope
from warmup_worker.clock import DatabaseClock
from warmup_worker.consequences import Consequences
from warmup_worker.keeper import Keeper
from warmup_worker.mailbox import Mailbox
from warmup_worker.pausing import PauseRow
from warmup_worker.timing import Timing

Gate = tuple[Scope, str]


class Watched(dict[Gate, PauseRow]):
    """The pauses known, and how often all of them were gone through."""

    passes = 0

    def items(self) -> ItemsView[Gate, PauseRow]:  # type: ignore[override]
        self.passes += 1
        return super().items()

    def values(self) -> Any:
        self.passes += 1
        return super().values()


def test_a_bounce_goes_through_no_other_pauses() -> None:
    clock = DatabaseClock()
    clock.set(datetime.now(UTC))
    nobody = cast(Any, MagicMock())
    keeper = Keeper(nobody, nobody, nobody, clock, Timing(), 1, asyncio.Event(), nobody)
    known = keeper.pauses._known = Watched()
    consequences = Consequences(nobody, keeper, nobody, clock, nobody, 60.0)
    for recipient in range(3):
        reaction = consequences.react(Mailbox(row(9)), ENROLMENT, "rcpt", "550 5.1.1 User unknown", recipient)
        assert reaction.pause is not None
    assert list(known) == [(Scope.RECIPIENT, str(it)) for it in range(3)]
    assert known.passes == 0
