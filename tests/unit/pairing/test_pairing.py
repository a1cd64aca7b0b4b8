"""Turns are permutations that keep to other users and domains as far as the sizes let them."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmup_core import pairing
from warmup_core.pairing import Pool, Turn

SEED = "t0ken/2026-11-25"


def pool_of(members: Sequence[tuple[str, str]]) -> Pool:
    """A pool of (user, domain), each user one run, as they come."""
    users = [number for number, (_, run) in enumerate(groupby(members, lambda it: it[0])) for _ in run]
    numbers = {domain: number for number, domain in enumerate(sorted({domain for _, domain in members}))}
    return Pool.of(users, [numbers[domain] for _, domain in members])


def fleet(users: int, each: int, domains: int = 1) -> Pool:
    """Users of one size, each with domains of its own."""
    return pool_of([(f"{u}", f"{u}.{n * domains // each}") for u in range(users) for n in range(each)])


def turn_of(pool: Pool, k: int) -> Turn:
    found = pairing.turn(pool, SEED, k)
    assert found is not None
    return found


def written(pool: Pool, k: int) -> list[int]:
    """Whom each place writes to."""
    turn = turn_of(pool, k)
    found = [pairing.recipient(pool, turn, place) for place in range(len(pool))]
    return [place for place in found if place is not None]


def inside(pool: Pool, to: Sequence[int], groups: Sequence[int]) -> int:
    return sum(groups[place] == groups[other] for place, other in enumerate(to))


members = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3)), min_size=1, max_size=7).map(
    lambda runs: [(f"{u}", f"{(d + n) % 4}") for u, (size, d) in enumerate(runs) for n in range(size)]
)


@given(members.filter(lambda it: len(it) > 1), st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_every_turn_is_a_permutation_without_a_fixed_place_that_keeps_to_other_users(
    them: list[tuple[str, str]], k: int
) -> None:
    pool = pool_of(them)
    to = written(pool, k)
    assert sorted(to) == list(range(len(pool)))
    assert all(place != other for place, other in enumerate(to))
    assert inside(pool, to, pool.users) == pairing.inside(list(Counter(pool.users).values()))


@given(members.filter(lambda it: len(it) > 1), st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_a_turn_read_backwards_names_the_writer(them: list[tuple[str, str]], k: int) -> None:
    pool = pool_of(them)
    for place, other in enumerate(written(pool, k)):
        assert pairing.sender(pool, turn_of(pool, k), other) == place


def test_a_hundred_thousand_mailboxes_of_a_thousand_users_receive_alike() -> None:
    pool = fleet(users=1000, each=100, domains=2)
    received: Counter[int] = Counter()
    for k in range(4):
        to = written(pool, k)
        assert inside(pool, to, pool.users) == inside(pool, to, pool.domains) == 0
        received.update(to)
    assert set(received.values()) == {4}
    assert len(received) == 100_000


def test_the_received_counts_differ_by_one_at_most_while_a_turn_is_under_way() -> None:
    """At any moment some have taken their k-th turn and others not."""
    pool = fleet(users=5, each=8)
    received = Counter(written(pool, 0))
    received.update(written(pool, 1)[::3])
    assert max(received.values()) - min(received.values()) <= 1


def test_users_inside_one_domain_keep_out_of_the_domain_too() -> None:
    pool = pool_of([(f"{user}", f"{user // 10}") for user in range(40) for _ in range(25)])
    for k in range(30):
        assert inside(pool, written(pool, k), pool.domains) == 0


def test_a_domain_that_many_users_share_is_left_as_far_as_it_goes() -> None:
    """Every user has some of its mailboxes at one great provider: chance alone would keep 16 % of the mails inside it."""
    sizes = [(3 + 7 * user % 38, (3 + 11 * user) % 60) for user in range(60)]
    pool = pool_of(
        [(f"{user}", "great" if 100 * n < percent * size else f"{user}")
         for user, (size, percent) in enumerate(sizes) for n in range(size)]
    )  # fmt: skip
    great = max(Counter(pool.domains).values()) / len(pool)
    turns = [written(pool, k) for k in range(10)]
    share = sum(inside(pool, to, pool.domains) for to in turns) / len(turns) / len(pool)
    assert great**2 > 0.15
    assert share < great**2 / 3
    assert all(inside(pool, to, pool.users) == 0 for to in turns)


def test_a_user_with_more_than_half_of_the_pool_writes_to_all_others_first() -> None:
    """field-006: 20 mailboxes of one user, 2 each of two others. 8 of 24 mails can leave a user, no more."""
    pool = pool_of([("a", f"a{n % 2}") for n in range(20)] + [("b", "b")] * 2 + [("c", "c")] * 2)
    assert pairing.inside([20, 2, 2]) == 16
    met = set()
    for k in range(30):
        to = written(pool, k)
        assert inside(pool, to, pool.users) == 16
        met |= {(place, other) for place, other in enumerate(to) if pool.users[other] != 0}
    assert len(met) > 20 * 4 * 0.5, "over a day most of the possible pairs between users have met"


@pytest.mark.parametrize(
    ("sizes", "mails"), [([], 0), ([1], 1), ([5, 5], 0), ([6, 4], 2), ([20, 2, 2], 16), ([3, 3, 3], 0)]
)
def test_what_must_stay_inside_follows_from_the_sizes(sizes: list[int], mails: int) -> None:
    assert pairing.inside(sizes) == mails


@pytest.mark.parametrize("users", [[50, 50], [49, 49, 2], [51, 49]])
def test_in_a_pool_with_few_shifts_a_mailbox_meets_many_partners_all_the_same(users: list[int]) -> None:
    pool = pool_of([(f"{u}", f"{u}") for u, size in enumerate(users) for _ in range(size)])
    turns = [written(pool, k) for k in range(30)]
    partners = [len({to[place] for to in turns}) for place in range(len(pool))]
    assert min(partners) >= 10
    if users == [50, 50]:
        assert min(partners) == 30


def test_in_a_large_pool_nobody_writes_to_the_same_mailbox_twice_in_a_day() -> None:
    pool = fleet(users=20, each=20)
    turns = [written(pool, k) for k in range(30)]
    assert all(len({to[place] for to in turns}) == 30 for place in range(len(pool)))


def test_another_day_pairs_anew() -> None:
    pool = fleet(users=20, each=20)
    days = {pairing.turn(pool, f"t0ken/2026-11-{day}", 0) for day in range(10, 20)}
    assert len(days) == 10


def test_who_leaves_is_passed_over_and_nobody_elses_pair_changes() -> None:
    pool = fleet(users=10, each=10)
    gone = 37
    for k in range(5):
        turn, before = turn_of(pool, k), written(pool, k)
        after = [pairing.recipient(pool, turn, place, lambda it: it != gone) for place in range(len(pool))]
        changed = [place for place in range(len(pool)) if after[place] != before[place]]
        assert changed == [before.index(gone)]
        taken = after[changed[0]]
        assert taken not in {gone, changed[0], None}
        assert taken is not None
        assert pool.users[taken] != pool.users[changed[0]]


def test_the_recipient_of_who_left_goes_to_who_wrote_to_it_so_that_the_rest_stays_balanced() -> None:
    pool = fleet(users=10, each=10)
    turn, gone = turn_of(pool, 0), 37
    rest = [place for place in range(len(pool)) if place != gone]
    after = [pairing.recipient(pool, turn, place, lambda it: it != gone) for place in rest]
    doubled = [it for it, times in Counter(after).items() if times > 1]
    assert gone not in after
    assert len(doubled) <= 1, "only passing over one's own user as well may cost the balance"


def test_while_anybody_else_is_there_somebody_is_found() -> None:
    pool = fleet(users=4, each=5)
    for place in range(len(pool)):
        for other in range(len(pool)):
            if other != place:
                here = {place, other}
                assert pairing.recipient(pool, turn_of(pool, 3), place, here.__contains__) == other


def test_alone_there_is_nobody() -> None:
    assert pairing.turn(Pool.of([0], [0]), SEED, 0) is None
    assert pairing.turn(Pool.of([], []), SEED, 0) is None
    pool = Pool.of([0, 1], [0, 1])
    assert pairing.recipient(pool, turn_of(pool, 0), 0, lambda it: it == 0) is None


def test_a_pool_in_which_a_user_stands_in_two_places_is_refused() -> None:
    with pytest.raises(ValueError, match="one run"):
        Pool.of([0, 1, 0], [0, 0, 0])
