"""Conditions turn when they turn, figures stay when they cannot be read, and every reason has its sentence."""

from datetime import UTC, datetime, timedelta

import pytest

from warmup_core import database
from warmup_core.spec_status import MailboxesStatus
from warmup_operator import status
from warmup_operator.status import SENTENCES, Figures, Problem, Reason, Verdict

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
RUNNING = Verdict(True, Reason.RUNNING, "Two workers.")
DOWN = Verdict(False, Reason.WORKERS_DOWN, "One is down.")


def test_every_reason_has_one_sentence() -> None:
    assert set(SENTENCES) == set(Reason)
    for reason, sentence in SENTENCES.items():
        assert sentence.endswith("."), reason
        assert reason.value.isalpha(), reason
        assert reason.value[0].isupper(), reason


def test_every_word_of_the_databases_faults_is_a_reason() -> None:
    words = {reason for reason, _ in database._REASONS.values()}
    assert words <= {reason.value for reason in Reason}
    url = database.parse_url("postgresql://u:secret@host/name")
    for error in (TimeoutError(), ConnectionRefusedError(111, "refused"), RuntimeError("secret")):
        fault = database.explain(error, url)
        assert Problem(Reason(fault.reason), fault.message).database
        assert "secret" not in fault.message


def test_the_time_of_a_turn_moves_only_when_the_status_turns() -> None:
    first, turns = status.conditions({"Ready": RUNNING}, [], 1, NOON)
    assert [turn.reason for turn in turns] == ["Running"]
    same, turns = status.conditions({"Ready": RUNNING}, first, 2, NOON + timedelta(hours=1))
    assert (same[0]["lastTransitionTime"], turns) == (first[0]["lastTransitionTime"], [])
    growing = Verdict(True, Reason.GROWING, "More are coming.")
    other, turns = status.conditions({"Ready": growing}, same, 2, NOON + timedelta(hours=2))
    assert other[0]["lastTransitionTime"] == first[0]["lastTransitionTime"]
    assert [(turn.reason, turn.warning) for turn in turns] == [("Growing", False)]
    down, turns = status.conditions({"Ready": DOWN}, other, 2, NOON + timedelta(hours=3))
    assert down[0]["lastTransitionTime"] == "2026-11-25T15:00:00Z"
    assert [(turn.reason, turn.warning) for turn in turns] == [("WorkersDown", True)]


def built(figures: Figures, before: status.Json, verdict: Verdict = RUNNING) -> status.Json:
    answers, _ = status.conditions({"Ready": verdict}, before.get("conditions", []), 3, NOON)
    return status.build(figures, answers, before, 3, "a=b")


def test_figures_that_cannot_be_read_stay_and_the_message_does_not() -> None:
    known = built(Figures(epoch=4, mailboxes=MailboxesStatus(total=3, active=2)), {})
    unread = built(Figures(), known, DOWN)
    assert (unread["epoch"], unread["mailboxes"]["total"], unread["mailboxes"]["active"]) == (4, 3, 2)
    assert unread["message"] == "One is down."
    assert unread["observedGeneration"] == 3


@pytest.mark.parametrize("counts", [False, True])
def test_a_change_of_counts_waits_and_a_change_of_conditions_does_not(counts: bool) -> None:
    before = built(Figures(mailboxes=MailboxesStatus(total=3, active=2)), {})
    more = built(Figures(mailboxes=MailboxesStatus(total=4, active=2)), before)
    assert status.differs(more, before, counts=counts) is counts
    turned = built(Figures(mailboxes=MailboxesStatus(total=3, active=2)), before, DOWN)
    assert status.differs(turned, before, counts=counts)
    assert not status.differs(before, before, counts=counts)


def test_a_warning_is_what_is_wrong_and_a_new_fleet_tells_no_more_than_it_has_to() -> None:
    fine = {
        "Ready": Verdict(True, Reason.RUNNING, "m"),
        "Paused": Verdict(False, Reason.SENDING, "m"),
        "Degraded": Verdict(False, Reason.HEALTHY, "m"),
    }
    before, turns = status.conditions(fine, [], 1, NOON)
    assert [(turn.warning, turn.reason) for turn in turns] == [(False, "Running")]
    wrong = {
        "Ready": Verdict(False, Reason.WORKERS_DOWN, "m"),
        "Paused": Verdict(True, Reason.PAUSED, "m"),
        "Degraded": Verdict(True, Reason.WORKERS_DOWN, "m"),
    }
    _, turns = status.conditions(wrong, before, 1, NOON)
    assert [turn.warning for turn in turns] == [True, False, True]
