"""The decision of a resize, for every wish, count and set of live workers; and driven to its end by a world that answers."""

from hypothesis import given
from hypothesis import strategies as st

from warmup_operator.resize import Resize, decide

counts = st.integers(0, 12)
numbers = st.frozensets(st.integers(1, 15))


@given(wanted=counts, count=counts, live=numbers)
def test_no_worker_that_owns_mailboxes_loses_its_pod(wanted: int, count: int, live: frozenset[int]) -> None:
    assert decide(wanted, count, live).replicas >= count


@given(wanted=counts, count=counts, live=numbers)
def test_the_count_grows_only_to_workers_that_are_all_live(
    wanted: int, count: int, live: frozenset[int]
) -> None:
    flip = decide(wanted, count, live).flip_to
    assert flip in {None, wanted}
    if flip is not None and flip > count:
        assert set(range(1, flip + 1)) <= live


@given(count=counts, live=numbers)
def test_a_fleet_that_is_as_wanted_is_left_alone(count: int, live: frozenset[int]) -> None:
    assert decide(count, count, live) == Resize(count, None, "")


@given(wishes=st.lists(counts, min_size=1, max_size=6), count=counts, data=st.data())
def test_whatever_the_wishes_were_the_last_one_is_reached(
    wishes: list[int], count: int, data: st.DataObject
) -> None:
    replicas, live = count, frozenset(range(1, count + 1))
    for wanted in wishes:
        for _ in range(data.draw(st.integers(0, 3), label="looks before the mind changes")):
            count, replicas, live = _look(wanted, count, live)
    for _ in range(4):
        count, replicas, live = _look(wishes[-1], count, live)
    assert (count, replicas) == (wishes[-1], wishes[-1])


def _look(wanted: int, count: int, live: frozenset[int]) -> tuple[int, int, frozenset[int]]:
    """One look: apply, flip; then the pods asked for come to life and the others end."""
    decision = decide(wanted, count, live)
    assert all(number <= decision.replicas for number in range(1, count + 1))
    if decision.flip_to is not None:
        count = decision.flip_to
    return count, decision.replicas, frozenset(range(1, decision.replicas + 1))


def test_the_reasons_are_sentences_parts() -> None:
    assert decide(4, 2, frozenset({1, 2, 4})).reason == "3 of 4 workers are live"
    assert decide(4, 2, frozenset({1, 2, 3, 4})).reason == "all 4 workers are live"
    assert decide(1, 3, frozenset()).reason == "2 workers leave"
