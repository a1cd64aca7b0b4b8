"""A fleet's database connections: each worker's share, and that all of them together keep to the budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core.connections import APART, MOST, of_worker


@pytest.mark.parametrize(
    ("budget", "workers", "share"),
    [
        (150, 1, 3),
        (150, 48, 3),
        (150, 49, 2),
        (150, 73, 2),
        (150, 74, 1),
        (150, 100, 1),
        (304, 100, 3),
        (5, 1, 1),
    ],
)
def test_a_worker_gets_what_the_others_leave_it(budget: int, workers: int, share: int) -> None:
    assert of_worker(budget, workers) == share


@given(st.integers(1, 1000), st.integers(0, 5000), st.booleans())
def test_all_of_them_keep_to_the_budget_and_nobody_is_left_without(
    workers: int, more: int, growing: bool
) -> None:
    budget = workers + APART + more
    share = of_worker(budget, workers, growing=growing)
    assert 1 <= share <= MOST
    assert workers * share + APART <= budget


@given(st.integers(1, 400), st.integers(1, 400), st.integers(800, 5000))
def test_those_who_come_find_room_while_the_fleet_grows(present: int, coming: int, budget: int) -> None:
    """Nobody sees a newcomer before it has its first connection, so all keep to one meanwhile."""
    assert (present + coming) * of_worker(budget, present, growing=True) <= budget
