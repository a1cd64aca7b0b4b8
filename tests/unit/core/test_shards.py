"""Exactly one owner for every mailbox and count."""

from hypothesis import given
from hypothesis import strategies as st

from warmup_core import shards

ids, counts = st.integers(0, 2**62), st.integers(1, 1000)


@given(ids, counts)
def test_exactly_one_number_owns_a_mailbox(mailbox_id: int, count: int) -> None:
    owner = shards.owner(mailbox_id, count)
    assert owner is not None
    assert 1 <= owner <= count
    assert mailbox_id % count == owner - 1
    assert [number for number in {owner, 1, count, count + 1} if shards.owns(number, mailbox_id, count)] == [
        owner
    ]


@given(ids, st.integers(1, 1000))
def test_a_fleet_of_none_owns_nothing(mailbox_id: int, number: int) -> None:
    assert not shards.owns(number, mailbox_id, 0)
