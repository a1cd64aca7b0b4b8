"""A failure is carried out at a cost that does not grow with the pauses in force: servers refuse in storms."""

import sys
from types import FrameType
from typing import Any

from tests.unit.worker.parts import Parts
from tests.unit.worker.test_shard import ENROLMENT, row
from warmup_core.replies import Scope
from warmup_worker.mailbox import Mailbox
from warmup_worker.pausing import PauseRow


def steps_of_a_bounce(suppressed: int) -> int:
    """The calls, those of generators included, that a refused recipient costs beside so many others."""
    parts, now = Parts(), 0.0
    others = (
        PauseRow(Scope.RECIPIENT, str(it), None, None, 0, "recipient-unknown", now)
        for it in range(suppressed)
    )
    parts.keeper.pauses.take_in(others, now, whole=True)
    mailbox, steps = Mailbox(row(9)), 0

    def step(_: FrameType, event: str, __: Any) -> None:
        nonlocal steps
        steps += event in {"call", "c_call"}

    sys.setprofile(step)
    try:
        reaction = parts.consequences.react(
            mailbox, ENROLMENT, "rcpt", "550 5.1.1 User unknown", suppressed + 1
        )
    finally:
        sys.setprofile(None)
    assert reaction.pause is not None
    assert parts.keeper.pauses.stops(Scope.RECIPIENT, str(suppressed + 1), now)
    return steps


def test_a_bounce_goes_through_no_other_pauses() -> None:
    steps_of_a_bounce(0)  # what is remembered of replies is there now
    assert steps_of_a_bounce(5000) < steps_of_a_bounce(10) + 1000
