"""Properties of pairing: a permutation each round, so all receive alike; never oneself; another user while there can be one."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from warmup_core import pairing

users = st.lists(st.integers(1, 8), min_size=2, max_size=60).map(sorted)
seeds = st.text(max_size=20)


@given(users, seeds, st.integers(0, 200))
def test_each_round_is_a_permutation_without_a_fixed_point(pool: list[int], seed: str, k: int) -> None:
    block = pairing.largest_block(pool)
    chosen = [pairing.recipient(at, len(pool), block, seed, k) for at in range(len(pool))]
    assert sorted(it for it in chosen if it is not None) == list(range(len(pool)))
    assert all(it != at for at, it in enumerate(chosen))


@given(users, seeds, st.integers(0, 200))
def test_nobody_writes_to_his_own_user_while_no_user_owns_more_than_half(
    pool: list[int], seed: str, k: int
) -> None:
    block = pairing.largest_block(pool)
    if 2 * block > len(pool):
        return
    for at in range(len(pool)):
        other = pairing.recipient(at, len(pool), block, seed, k)
        assert other is not None
        assert pool[other] != pool[at]


@given(users, seeds)
def test_a_mailbox_meets_everybody_it_can_before_it_meets_one_twice(pool: list[int], seed: str) -> None:
    block = pairing.largest_block(pool)
    span = len(pool) - 2 * block + 1 if 2 * block <= len(pool) else len(pool) - 1
    met = Counter(pairing.recipient(0, len(pool), block, seed, k) for k in range(span))
    assert len(met) == span


def test_a_pool_of_one_has_nobody() -> None:
    assert pairing.recipient(0, 1, 1, "seed", 0) is None


@given(users)
def test_the_largest_block_is_the_most_mailboxes_of_one_user(pool: list[int]) -> None:
    assert pairing.largest_block(pool) == max(Counter(pool).values())
