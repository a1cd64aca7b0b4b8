"""Who waited for a provider's pause comes back one after the other: a whole shard in one second is refused again, and rightly."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.unit.worker.parts import Parts
from tests.unit.worker.test_shard import DAY, OPENS, claim, row
from warmup_core.fleet import Owner
from warmup_core.replies import Scope
from warmup_core.settings import FleetSettings
from warmup_core.types import MailState
from warmup_worker.lease import Orders
from warmup_worker.pausing import PauseRow
from warmup_worker.reactions import Pause

MAILBOXES, QUOTA, PAUSE = 2000, 9, 600.0
SLOT = 86_400 / QUOTA
BEGINS = OPENS + 5 * SLOT
"""Nobody owes a mail yet: five are sent, and the slot of the sixth begins."""
ENDS = BEGINS + PAUSE
ORDINARY = MAILBOXES / (0.9 * SLOT)
"""Mails a second, when nothing is in the way."""
GATE = (Scope.PROVIDER, "smtp.example")
ORDERS = Orders(
    owner=Owner("cluster", "mail", "main", "uid"),
    token="t0ken",
    epoch=1,
    worker_count=1,
    paused=False,
    deleted=False,
    day=DAY,
    zone="UTC",
    settings_version=1,
    settings=FleetSettings(
        emails_per_mailbox_per_day=QUOTA,
        ramp_type="None",
        cooldown_min_ms=0,
        cooldown_max_ms=0,
        max_concurrent_sends=500,
        per_minute_limit=None,
        per_hour_limit=None,
    ),
)


def a_shard() -> Parts:
    """A worker that has sent what was due so far."""
    parts = Parts()
    parts.shard.put([row(it, quota=QUOTA, spent=5, sent=5) for it in range(1, MAILBOXES + 1)], BEGINS)
    return parts


def heard(seconds: float | None, per_minute: int | None = None) -> Pause:
    return Pause(*GATE, seconds, per_minute, 0, "rate", "too fast")


def a_row(until: float, since: float) -> PauseRow:
    return PauseRow(*GATE, until, None, 0, "rate", since)


def starts(parts: Parts, begin: float, end: float) -> dict[int, float]:
    """The mailboxes that begin from second to second, each with the instant of its first mail; each is sent at once."""
    first: dict[int, float] = {}
    for second in range(int(end - begin)):
        now = begin + second
        while True:
            look = parts.starter.look(now, ORDERS, 0, 0)
            for mailbox, _ in look.starts:
                first.setdefault(mailbox.id, now)
                parts.shard.claimed(mailbox, claim(mailbox, 1))
                parts.gates.leave(mailbox.enrolment.smtp_host)
                parts.shard.ended(mailbox, MailState.SENT, DAY, None, now, now)
            if look.pause and not parts.shard.unfinished(now):
                break
    return first


def busiest_second(first: dict[int, float]) -> int:
    return max(Counter(first.values()).values())


def wait_for_its_end(parts: Parts) -> None:
    parts.keeper.pauses.begin(heard(PAUSE), BEGINS)
    assert not starts(parts, BEGINS, ENDS)


def a_person_ends_it(parts: Parts) -> None:
    parts.keeper.pauses.begin(heard(None), BEGINS)
    assert not starts(parts, BEGINS, ENDS)
    parts.shard.resume(parts.keeper.pauses.take_in([a_row(ENDS, ENDS)], ENDS, whole=False))


def its_row_is_gone(parts: Parts) -> None:
    parts.keeper.pauses.take_in([a_row(ENDS + 86_400, BEGINS)], BEGINS, whole=True)
    assert not starts(parts, BEGINS, ENDS)
    parts.shard.resume(parts.keeper.pauses.take_in([], ENDS, whole=True))


def a_restart_while_it_lasts(parts: Parts) -> None:
    parts.keeper.pauses.take_in([a_row(ENDS, BEGINS)], ENDS - 60, whole=True)
    assert not starts(parts, ENDS - 60, ENDS)


def a_restart_after_its_end(parts: Parts) -> None:
    parts.keeper.pauses.take_in([a_row(ENDS, BEGINS)], ENDS, whole=True)


@pytest.mark.parametrize(
    "ended",
    [wait_for_its_end, a_person_ends_it, its_row_is_gone, a_restart_while_it_lasts, a_restart_after_its_end],
)
def test_who_waited_comes_back_over_as_long_a_time_again(ended: Callable[[Parts], None]) -> None:
    parts = a_shard()
    ended(parts)
    first = starts(parts, ENDS, ENDS + PAUSE)
    waited = {it for it, at in first.items() if at < ENDS + PAUSE}
    assert len(waited) == pytest.approx(2 * PAUSE * ORDINARY, rel=0.15), (
        "with those that became due meanwhile"
    )
    assert busiest_second(first) <= 5, "ordinary is a mail in four seconds"
    halves = Counter(at < ENDS + PAUSE / 2 for at in first.values())
    assert halves[True] > 0.2 * len(first)


def test_after_a_person_ended_it_a_worker_that_starts_takes_a_slot_since_it_does_not_know_how_long_it_was() -> (
    None
):
    parts = a_shard()
    parts.keeper.pauses.take_in([a_row(ENDS, ENDS)], ENDS, whole=True)
    first = starts(parts, ENDS, ENDS + SLOT / 2)
    assert busiest_second(first) <= 6
    assert len(first) < 0.75 * MAILBOXES


def test_who_waits_in_the_queue_of_a_slowed_scope_comes_back_spread_as_well() -> None:
    parts = a_shard()
    parts.keeper.pauses.begin(heard(PAUSE, per_minute=1), BEGINS)
    assert len(starts(parts, BEGINS, ENDS)) == PAUSE / 60
    assert busiest_second(starts(parts, ENDS, ENDS + PAUSE)) <= 5


def test_a_mailbox_whose_own_rest_ends_later_comes_at_the_end_of_that() -> None:
    """It has a place of its own already: what it was refused for is its own, and the pause is over by then."""
    parts = Parts()
    parts.shard.put([row(1, not_before=ENDS + 1, hold_reason="rcpt: no")], BEGINS)
    parts.keeper.pauses.take_in([a_row(ENDS, BEGINS)], BEGINS, whole=True)
    assert starts(parts, ENDS, ENDS + 3) == {1: ENDS + 1}


def test_short_pauses_in_a_row_count_together() -> None:
    """An application that is refused pauses for a minute again and again; those who wait have waited for all of them."""
    parts = a_shard()
    parts.keeper.pauses.begin(heard(PAUSE), BEGINS)
    assert not starts(parts, BEGINS, ENDS - 60)
    parts.keeper.pauses.take_in([PauseRow(*GATE, ENDS, None, 9, "rate", ENDS - 60)], ENDS - 60, whole=False)
    assert busiest_second(starts(parts, ENDS - 60, ENDS + PAUSE)) <= 5


def test_a_pause_that_was_made_longer_is_as_long_as_it_was_in_all() -> None:
    parts = a_shard()
    for at in range(0, int(PAUSE), 50):
        left = 60 if at + 50 < PAUSE else 50
        parts.keeper.pauses.begin(heard(left), BEGINS + at)
        assert not starts(parts, BEGINS + at, BEGINS + at + 50)
    assert busiest_second(starts(parts, ENDS, ENDS + PAUSE)) <= 5


@pytest.mark.parametrize("mailboxes", [1, 2])
def test_the_first_that_waited_finds_out_at_once(mailboxes: int) -> None:
    """A scope of one mailbox has nobody to be spread with, and whoever mended something sees a mail."""
    parts = Parts()
    parts.shard.put([row(it, quota=QUOTA) for it in range(1, mailboxes + 1)], BEGINS)
    for _ in range(2):
        parts.keeper.pauses.begin(heard(PAUSE), BEGINS)
        assert not starts(parts, BEGINS, ENDS)
    assert list(starts(parts, ENDS, ENDS + 1).values()) == [ENDS]
    assert len(starts(parts, ENDS + 1, ENDS + PAUSE)) == mailboxes - 1


def test_of_each_pause_another_is_the_first() -> None:
    parts = Parts()
    parts.shard.put([row(it, quota=QUOTA) for it in range(1, 4)], BEGINS)
    tried = set[int]()
    for n in range(3):
        begins = BEGINS + n * (PAUSE + 1)
        parts.keeper.pauses.begin(heard(PAUSE), begins)
        assert not starts(parts, begins, begins + PAUSE)
        mailbox = parts.shard.begin(begins + PAUSE)
        assert mailbox is not None
        assert parts.keeper.pauses.holding(mailbox, begins + PAUSE, 1) is None
        tried.add(mailbox.id)
        parts.shard.deferred(mailbox, "mail: no", begins + 9999, begins + PAUSE)
    assert tried == {1, 2, 3}
