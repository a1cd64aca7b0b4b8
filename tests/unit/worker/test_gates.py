"""Who waits for a limit of its user or its domain, and when it may try again."""

import pytest

from tests.unit.worker.test_shard import OPENS, planned, row
from warmup_core.limits import HOUR_SECONDS, Kind, Limit, limit
from warmup_worker.gates import Gates
from warmup_worker.shard import Shard
from warmup_worker.tally import Standing

NOW = OPENS + 86_000.0
LIMITS = {Kind.USER: limit(100, HOUR_SECONDS)}
SHARE = 1000


def started(shard: Shard, gates: Gates, now: float) -> int:
    """How many begin now, each of whose claims is granted."""
    gates.open_due(now, SHARE)
    count = 0
    while (mailbox := shard.begin(now)) is not None:
        if gates.admit(mailbox, SHARE):
            gates.claimed(mailbox, now)
            count += 1
    return count


def a_user_at_the_limit() -> tuple[Shard, Gates]:
    """A hundred mailboxes of one user, the first of which found no token."""
    shard = planned()
    shard.put([row(it) for it in range(1, 101)], NOW)
    gates = Gates(shard)
    gates.obey(LIMITS, NOW)
    mailbox = shard.begin(NOW)
    assert mailbox is not None
    assert gates.admit(mailbox, SHARE)
    gates.leave(mailbox.enrolment.smtp_host)
    gates.shut(mailbox, Kind.USER, "user/1", LIMITS[Kind.USER], NOW + 36)
    assert started(shard, gates, NOW) == 0
    return shard, gates


@pytest.mark.parametrize("changed", [{Kind.USER: limit(10_000, HOUR_SECONDS)}, {}], ids=["raised", "lifted"])
def test_who_waits_under_a_limit_that_changes_asks_at_once(changed: dict[Kind, Limit]) -> None:
    shard, gates = a_user_at_the_limit()
    gates.obey(changed, NOW + 5)
    assert started(shard, gates, NOW + 5) == 100
    assert gates.next_opening() is None


def test_under_the_same_limits_one_passes_a_step() -> None:
    shard, gates = a_user_at_the_limit()
    gates.obey(dict(LIMITS), NOW + 5)
    assert started(shard, gates, NOW + 5) == 0
    assert started(shard, gates, NOW + 36) == 1
    assert started(shard, gates, NOW + 37) == 0


def test_a_reading_gives_nobody_a_second_place() -> None:
    """Each whole reading tries everybody anew; who waits has its place already."""
    shard, gates = a_user_at_the_limit()
    for again in range(1, 4):
        shard.put([row(it) for it in range(1, 101)], NOW + again)
        assert started(shard, gates, NOW + again) == 0
    gates.obey({}, NOW + 5)
    woken = [it.id for it in iter(lambda: shard.begin(NOW + 5), None)]
    assert sorted(woken) == list(range(1, 101))
    shard, gates = a_user_at_the_limit()
    shard.put([row(1)], NOW + 1)
    assert started(shard, gates, NOW + 1) == 0
    assert started(shard, gates, NOW + 36) == 1
    assert shard.account(NOW + 36).reasons == {"connecting": 1, "limit: user": 99}


def a_full_host() -> tuple[Shard, Gates, str]:
    """Ten mailboxes of one host, two of which have begun."""
    shard = planned()
    shard.put([row(it) for it in range(1, 11)], NOW)
    gates = Gates(shard)
    begun = [gates.admit(it, 2) for it in iter(lambda: shard.begin(NOW), None)]
    assert begun == [True, True] + [False] * 8
    return shard, gates, shard.mailboxes[1].enrolment.smtp_host


def due(shard: Shard) -> int:
    """How many stand due, called or not."""
    return shard.account(NOW).reasons.get(Standing.BEHIND.value, 0)


def test_a_free_place_at_a_host_calls_one_however_often_it_is_looked_at() -> None:
    """Who is called and does not begin in that look, since no slot or no token is free, takes the place all the same."""
    shard, gates, host = a_full_host()
    gates.leave(host)
    for _ in range(5):
        gates.open_due(NOW, 2)
        assert due(shard) == 1
    mailbox = shard.begin(NOW)
    assert mailbox is not None
    assert gates.admit(mailbox, 2)
    gates.open_due(NOW, 2)
    assert due(shard) == 0
    gates.leave(host)
    gates.leave(host)
    gates.open_due(NOW, 2)
    assert due(shard) == 2


def test_who_is_called_and_does_not_come_keeps_no_place() -> None:
    shard, gates, host = a_full_host()
    gates.leave(host)
    gates.open_due(NOW, 2)
    called = next(it.id for it in shard.mailboxes.values() if it.standing is Standing.BEHIND)
    shard.drop([called])
    gates.open_due(NOW, 2)
    mailbox = shard.begin(NOW)
    assert mailbox is not None
    shard.pause(mailbox, ("provider", "x"), "paused", None)
    gates.open_due(NOW, 2)
    assert due(shard) == 1
