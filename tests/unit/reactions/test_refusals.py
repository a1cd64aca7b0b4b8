"""A host that refuses most mails for good pauses; one that refuses some, or has judged few, does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.parts import Parts
from tests.unit.worker.test_shard import ENROLMENT, row
from warmup_core.replies import Scope
from warmup_worker.mailbox import Mailbox
from warmup_worker.pausing import PauseRow
from warmup_worker.reactions import MAILS_REFUSED, react_to_refusals
from warmup_worker.refusals import AGAIN, LATELY, Refusals, mostly_refused

SPAM = "554 5.7.1 This message has been identified as spam"
GATE = (Scope.PROVIDER, "smtp.example")


@given(st.lists(st.booleans(), max_size=300), st.sampled_from([None, 5.0]))
def test_it_pauses_where_more_than_half_of_the_last_were_refused(
    judged: list[bool], paused: float | None
) -> None:
    refusals, counted = Refusals(), list[bool]()
    least = LATELY if paused is None else AGAIN
    for refused in judged:
        counted = [*counted, refused][-LATELY:]
        pauses = refusals.judged("host", refused, paused)
        assert pauses == (refused and len(counted) >= least and counted.count(True) > counted.count(False))
        if pauses:
            counted = []


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 60))
def test_half_is_not_most(lately: list[bool], least: int) -> None:
    found = mostly_refused(lately, least)
    assert found == (len(lately) >= least and sum(lately) > len(lately) - sum(lately))


@given(st.lists(st.booleans(), max_size=200))
def test_a_host_that_refuses_one_in_three_at_most_never_pauses(other: list[bool]) -> None:
    refusals = Refusals()
    for refused in other:
        assert not any(refusals.judged("host", it, None) for it in (False, False, refused))


def test_each_host_is_judged_by_its_own_mails_and_anew_after_a_pause() -> None:
    refusals = Refusals()
    assert not any(refusals.judged("one", True, None) for _ in range(LATELY - 1))
    assert not any(refusals.judged("other", True, None) for _ in range(LATELY - 1))
    assert not refusals.judged("one", True, 7.0), "another worker made it pause meanwhile"
    assert not any(refusals.judged("one", True, 7.0) for _ in range(AGAIN - 2))
    assert refusals.judged("one", True, 7.0)
    assert refusals.judged("other", True, None)


@given(st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_it_pauses_for_half_an_hour_and_longer_each_time_four_hours_at_most(before: int, draw: float) -> None:
    pause = react_to_refusals("host", "message-is-spam: it said so", draw, before)
    least = min(1800 * 2 ** min(before, 10), 14_400)
    assert pause.seconds is not None
    assert least <= pause.seconds <= least * 1.25
    assert (pause.scope, pause.key, pause.per_minute, pause.attempt) == (Scope.PROVIDER, "host", None, before)
    assert pause.reason.endswith("message-is-spam: it said so")


def refuse(parts: Parts, reply: str, mails: int) -> None:
    for one in range(1, mails + 1):
        parts.consequences.react(Mailbox(row(one)), ENROLMENT, "dot", reply, one + 1)


def held(parts: Parts, now: float) -> bool:
    return parts.keeper.pauses.stops(*GATE, now)


def test_a_worker_whose_mails_are_spam_to_a_host_stops_sending_there() -> None:
    parts = Parts()
    now = parts.consequences._clock.now()
    refuse(parts, SPAM, LATELY - 1)
    assert not held(parts, now)
    refuse(parts, SPAM, 1)
    assert held(parts, now)
    [pause] = parts.keeper.pauses.in_force(now)
    assert (pause.rule, pause.attempt) == (MAILS_REFUSED, 0)
    assert 1800 <= (pause.until or 0) - now <= 2300


@pytest.mark.parametrize(
    "reply",
    ["550 5.1.1 No such user", "451 4.3.0 Try again", "535 5.7.8 Bad password", "450 4.7.1 Greylisted"],
)
def test_what_concerns_recipients_or_logins_or_passes_says_nothing_of_the_mails(reply: str) -> None:
    parts = Parts()
    refuse(parts, reply, 2 * LATELY)
    assert not held(parts, parts.consequences._clock.now())


def test_as_many_mails_that_are_taken_keep_a_host_going() -> None:
    parts = Parts()
    for _ in range(3 * LATELY):
        parts.consequences.accepted(ENROLMENT)
        refuse(parts, SPAM, 1)
    assert not held(parts, parts.consequences._clock.now())


def test_after_the_pause_a_few_find_out_whether_it_still_refuses() -> None:
    parts = Parts()
    now = parts.consequences._clock.now()
    ended = PauseRow(*GATE, now - 1, None, 0, MAILS_REFUSED, now - 1801)
    parts.keeper.pauses.take_in([ended], now, whole=True)
    refuse(parts, SPAM, AGAIN - 1)
    assert not held(parts, now)
    refuse(parts, SPAM, 1)
    [pause] = parts.keeper.pauses.in_force(now)
    assert pause.attempt == 1
    assert (pause.until or 0) - now >= 3600
