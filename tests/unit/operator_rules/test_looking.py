"""When pods are looked at, and when the fleet's row is written."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.operator_rules.test_readiness import sizing, view
from warmup_core.types import Growth
from warmup_operator.decision import due, must_ask
from warmup_operator.resize import Resize


def stateful_set(asked: int, present: int = 0) -> dict[str, Any]:
    return {"spec": {"replicas": asked}, "status": {"replicas": present}}


@pytest.mark.parametrize(
    ("wanted", "count", "away", "present", "asks"),
    [
        (4, 4, (), 4, False),
        (6, 4, (), 4, True),  # growing
        (4, 4, (2,), 4, True),  # one is silent
        (4, 5, (), 5, False),  # the leaving one still owns its mailboxes
        (4, 4, (), 5, True),  # it has left the count, and its pod is there yet
        (0, 0, (), 1, True),
        (4, 4, (), 3, False),  # its pod is away, its lease runs: a rollout
    ],
)
def test_pods_are_asked_for_while_some_are_missing_or_too_many(
    wanted: int, count: int, away: tuple[int, ...], present: int, asks: bool
) -> None:
    seen = view(count, dict.fromkeys(away, 60.0))
    assert must_ask(seen, sizing(wanted), stateful_set(count, present)) is asks


def test_without_a_stateful_set_nothing_is_left_over() -> None:
    assert not must_ask(view(4), sizing(4), None)


def test_the_time_of_a_growth_runs_once_its_pods_could_be_asked_for() -> None:
    step = Resize(6, None, "", Growth())
    assert [due(step, it) for it in (None, stateful_set(4), stateful_set(6))] == [False, False, True]
    assert not due(Resize(6, None, ""), stateful_set(6))


def test_a_flip_waits_for_no_object_of_the_cluster() -> None:
    flip = Resize(6, 6, "", Growth())
    assert all(due(flip, it) for it in (None, stateful_set(4), stateful_set(6)))
    assert due(replace(flip, growth=None), stateful_set(4))
