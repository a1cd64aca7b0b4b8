"""A worker's pool: small, found by mailbox, and honest about who is gone."""

import gc
import weakref
from collections import Counter
from datetime import date

from warmup_worker.pool import Members, Pool

DAY = date(2026, 11, 25)


def pool(count: int, each: int = 10) -> Pool:
    """Members with ids in no order; ten to a user and domain."""
    return Pool(Members.of([((n * 7919) % 1_000_003, n // each, n // each) for n in range(count)]))


def recipient(made: Pool, mailbox_id: int, k: int, reply_percent: int = 0) -> int | None:
    found = made.recipient(mailbox_id, "t0ken", DAY, k, reply_percent)
    return found.mailbox_id if found else None


def ids(count: int) -> list[int]:
    return [(n * 7919) % 1_000_003 for n in range(count)]


def test_a_member_takes_at_most_32_bytes() -> None:
    made = pool(5000)
    assert len(made) == 5000
    assert 8 < made.bytes_a_member <= 32


def test_every_member_has_a_recipient_and_all_receive_alike() -> None:
    made = pool(300)
    received = Counter(recipient(made, it, k) for it in ids(300) for k in range(5))
    assert set(received) == set(ids(300))
    assert set(received.values()) == {5}


def test_answers_leave_the_received_counts_equal_and_go_to_whom_one_heard_from() -> None:
    made, heard = pool(300), set()
    answers = 0
    for k in range(30):
        found = {it: made.recipient(it, "t0ken", DAY, k, reply_percent=30) for it in ids(300)}
        assert {to.mailbox_id for to in found.values() if to} == set(ids(300)), (
            "a permutation, answers or not"
        )
        for it, to in found.items():
            assert to is not None
            if to.answers:
                answers += 1
                assert (to.mailbox_id, it) in heard
        heard |= {(it, to.mailbox_id) for it, to in found.items() if to}
    assert answers == 9 * 300


def test_who_leaves_is_not_written_to_any_more() -> None:
    made, gone = pool(300), ids(300)[17]
    made.leave(gone)
    assert gone not in {recipient(made, it, k) for it in ids(300) for k in range(20)}


def test_who_is_paused_is_passed_over_for_as_long_as_it_is_and_the_others_keep_their_pairs() -> None:
    made, paused = pool(300), {ids(300)[17]}

    def all_pairs() -> dict[int, int]:
        found = {it: made.recipient(it, "t0ken", DAY, 2, paused=paused.__contains__) for it in ids(300)}
        return {it: to.mailbox_id for it, to in found.items() if to}

    without = all_pairs()
    [mailbox] = paused
    paused.clear()
    before = all_pairs()
    assert mailbox not in without.values()
    assert [before[it] for it in before if before[it] != without[it]] == [mailbox]


def test_a_member_that_had_left_before_the_reading_keeps_its_place() -> None:
    """Two workers, one that read before and one after: they pair everybody else alike."""
    everybody = [(n, n // 10, n // 10) for n in range(100)]
    left = Members.of(everybody)
    left.present[41] = False
    before, after = Pool(Members.of(everybody)), Pool(left)
    pairs = [(recipient(before, n, 2), recipient(after, n, 2)) for n in range(100)]
    assert [old for old, new in pairs if old != new] == [41]
    assert all(new != 41 for _, new in pairs)


def test_who_is_alone_or_not_in_the_pool_has_nobody() -> None:
    assert Pool(Members.of([(1, 0, 1)])).recipient(1, "t0ken", DAY, 0) is None
    assert pool(20).recipient(-4, "t0ken", DAY, 0) is None
    assert Pool().recipient(1, "t0ken", DAY, 0) is None


def test_a_pool_that_nobody_holds_is_gone_at_once() -> None:
    """It is replaced whenever a mailbox changes, and what waits for the collector of cycles may wait for ever (``keeper``)."""
    made = pool(40)
    assert recipient(made, 0, 0) is not None
    kept = weakref.ref(made)
    gc.disable()
    try:
        del made
        assert kept() is None
    finally:
        gc.enable()
