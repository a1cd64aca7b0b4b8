"""Outcomes: who may change a mail and from which state, the day's counters, and when its mailbox goes on."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.worker.fleet import Fleet
from warmup_core.types import MailState
from warmup_worker import claiming, settling
from warmup_worker.claiming import Ask, Claim
from warmup_worker.clock import boottime
from warmup_worker.connection import Database
from warmup_worker.lease import Identity
from warmup_worker.settling import Deferral, Outcome

Claimed = Callable[[], Awaitable[tuple[Identity, Claim]]]
SWEEP_SECONDS = 70.0


@pytest.fixture
async def claimed(fleet: Fleet, worker_database: Database) -> Claimed:
    """One open intent of worker 1, and who holds it."""

    async def make() -> tuple[Identity, Claim]:
        await fleet.start()
        ids = await fleet.enrol(2)
        await fleet.plan(3)
        me = await fleet.register()
        async with worker_database.transaction() as connection:
            (claim,) = await claiming.claim(connection, me, 1, [Ask(ids[0], ids[1], 120_000)], 60, boottime())
        return me, claim

    return make


def outcome(claim: Claim, state: MailState, **changes: object) -> Outcome:
    made = Outcome(claim.mailbox_id, claim.day, claim.mail_id, state, "dot", "250 ok", rest_ms=120_000)
    return replace(made, **changes)  # type: ignore[arg-type]


async def settle(database: Database, incarnation: int, *outcomes: Outcome) -> int:
    async with database.transaction() as connection:
        return len(await settling.settle(connection, incarnation, outcomes))


async def sweep(database: Database) -> int:
    async with database.transaction() as connection:
        return await settling.sweep(connection, SWEEP_SECONDS)


async def counters(fleet: Fleet) -> tuple[int, int, int, int]:
    (row,) = await fleet.rows("SELECT spent, sent, in_doubt, failed FROM quotas WHERE mailbox_id = 1")
    return row.spent, row.sent, row.in_doubt, row.failed


async def in_flight(fleet: Fleet) -> int | None:
    (row,) = await fleet.rows("SELECT in_flight FROM mailboxes WHERE id = 1")
    return row.in_flight  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("state", "after"),
    [
        (MailState.SENT, (1, 1, 0, 0)),
        (MailState.IN_DOUBT, (1, 0, 1, 0)),
        (MailState.FAILED, (0, 0, 0, 1)),
    ],
)
async def test_each_outcome_counts_once_and_frees_the_mailbox(
    fleet: Fleet,
    worker_database: Database,
    claimed: Claimed,
    state: MailState,
    after: tuple[int, int, int, int],
) -> None:
    me, claim = await claimed()
    assert await settle(worker_database, me.incarnation, outcome(claim, state)) == 1
    assert await counters(fleet) == after
    assert await in_flight(fleet) is None
    assert await settle(worker_database, me.incarnation, outcome(claim, state)) == 0
    assert await counters(fleet) == after


async def test_the_rest_runs_from_the_dot_and_lowers_what_the_claim_had_set(
    fleet: Fleet, worker_database: Database, claimed: Claimed
) -> None:
    me, claim = await claimed()
    dotted = boottime() - 30
    await settle(
        worker_database, me.incarnation, outcome(claim, MailState.SENT, dotted=dotted, rest_ms=100_000)
    )
    since = timedelta(seconds=boottime() - dotted)
    (row,) = await fleet.rows(
        "SELECT l.dot_at, l.settled_at, m.not_before FROM mails l JOIN mailboxes m ON m.id = 1"
    )
    assert timedelta(seconds=29.9) < row.settled_at - row.dot_at < since
    assert row.not_before - row.dot_at == timedelta(seconds=100)


async def test_nobody_but_the_writer_of_an_intent_settles_it(
    fleet: Fleet, worker_database: Database, claimed: Claimed
) -> None:
    me, claim = await claimed()
    newer = await fleet.register()
    assert await settle(worker_database, newer.incarnation, outcome(claim, MailState.FAILED)) == 0
    assert await fleet.states() == {"intent": 1}
    # Replaced, and under another epoch: what it began it may still end.
    await fleet.execute("UPDATE fleet SET epoch = 9, worker_count = 5")
    assert await settle(worker_database, me.incarnation, outcome(claim, MailState.SENT)) == 1


async def changed_at(fleet: Fleet, mailbox_id: int) -> float:
    """As a worker reads it."""
    (row,) = await fleet.rows(
        "SELECT date_part('epoch', changed_at) AS at FROM mailboxes WHERE id = :id", id=mailbox_id
    )
    return row.at  # type: ignore[no-any-return]


async def age(fleet: Fleet) -> None:
    await fleet.execute("UPDATE mails SET claimed_at = claimed_at - interval '71 s'")


async def test_a_dead_workers_open_intent_ends_in_doubt_and_keeps_its_quota(
    fleet: Fleet, worker_database: Database, claimed: Claimed
) -> None:
    await claimed()
    await age(fleet)
    assert await sweep(worker_database) == 0, "its lease runs"
    await fleet.execute("UPDATE workers SET lease_until = clock_timestamp()")
    (before,) = await fleet.rows("SELECT not_before FROM mailboxes WHERE id = 1")
    assert await sweep(worker_database) == 1
    assert await fleet.states() == {"in_doubt": 1}
    assert await counters(fleet) == (1, 0, 1, 0)
    assert await in_flight(fleet) is None
    assert await fleet.rows("SELECT not_before FROM mailboxes WHERE id = 1") == [before]
    assert await sweep(worker_database) == 0


async def test_a_young_intent_is_never_swept(
    fleet: Fleet, worker_database: Database, claimed: Claimed
) -> None:
    await claimed()
    await fleet.execute("DELETE FROM workers")
    assert await sweep(worker_database) == 0


@pytest.mark.parametrize("gone", ["a newer process", "no row at all"])
async def test_an_intent_is_judged_by_the_incarnation_that_wrote_it(
    fleet: Fleet, worker_database: Database, claimed: Claimed, gone: str
) -> None:
    """field-002: a restarted process with a fresh lease must not make the dead one's intents look alive."""
    await claimed()
    await age(fleet)
    if gone == "a newer process":
        await fleet.register(lease_seconds=3600)
    else:
        await fleet.execute("DELETE FROM workers")
    assert await sweep(worker_database) == 1


@pytest.mark.parametrize(
    ("late", "state", "after"),
    [
        (MailState.SENT, "sent", (1, 1, 0, 0)),
        (MailState.FAILED, "failed", (0, 0, 0, 1)),
        (MailState.IN_DOUBT, "in_doubt", (1, 0, 1, 0)),
    ],
)
async def test_the_writers_late_word_about_a_swept_mail_is_the_better_truth(
    fleet: Fleet,
    worker_database: Database,
    claimed: Claimed,
    late: MailState,
    state: str,
    after: tuple[int, int, int, int],
) -> None:
    """field-003: whichever comes first, a mail is counted once, and `sent` is never turned back."""
    me, claim = await claimed()
    await age(fleet)
    await fleet.execute("DELETE FROM workers")
    assert await sweep(worker_database) == 1
    await fleet.execute(
        "UPDATE mailboxes SET in_flight = 99 WHERE id = 1"
    )  # its next mail is under way already
    await settle(worker_database, me.incarnation, outcome(claim, late))
    assert await fleet.states() == {state: 1}
    assert await counters(fleet) == after
    assert await in_flight(fleet) == 99
    assert await sweep(worker_database) == 0
    assert await settle(worker_database, me.incarnation, outcome(claim, MailState.IN_DOUBT)) == 0
    assert await fleet.states() == {state: 1}


async def test_an_outcome_of_yesterday_counts_on_yesterdays_quota(
    fleet: Fleet, worker_database: Database, claimed: Claimed
) -> None:
    me, claim = await claimed()
    yesterday = claim.day - timedelta(days=1)
    await fleet.execute("UPDATE mails SET day = :day", day=yesterday)
    await fleet.execute(
        "INSERT INTO quotas (day, mailbox_id, quota, spent) VALUES (:day, 1, 3, 1)", day=yesterday
    )
    await settle(worker_database, me.incarnation, replace(outcome(claim, MailState.SENT), day=yesterday))
    rows = await fleet.rows("SELECT day, sent FROM quotas WHERE mailbox_id = 1 ORDER BY day")
    assert [(row.day, row.sent) for row in rows] == [(yesterday, 1), (claim.day, 0)]


async def test_two_outcomes_of_one_mailbox_in_one_batch_both_count(
    fleet: Fleet, worker_database: Database, claimed: Claimed
) -> None:
    me, first = await claimed()
    await age(fleet)
    await fleet.execute("UPDATE workers SET lease_until = clock_timestamp()")
    await sweep(worker_database)
    await fleet.execute("UPDATE mailboxes SET not_before = '-infinity'")
    async with worker_database.transaction() as connection:
        (second,) = await claiming.claim(connection, me, 1, [Ask(1, 2, 0)], 60, boottime())
    both = [outcome(first, MailState.SENT), outcome(second, MailState.SENT)]
    assert await settle(worker_database, me.incarnation, *both) == 2
    assert await counters(fleet) == (2, 2, 0, 0)
    assert await in_flight(fleet) is None


async def test_a_deferred_mailbox_rests_with_its_reason_and_costs_nothing(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start()
    await fleet.enrol(2)
    await fleet.plan(3)
    me = await fleet.register()
    held = "connect: connection refused 192.0.2.1:587"
    deferral = Deferral(1, time.time() + 60, held, await changed_at(fleet, 1))
    for who, expected in ((Identity(1, me.incarnation - 1), None), (me, deferral.hold)):
        async with worker_database.transaction() as connection:
            await settling.defer(connection, who, [deferral])
        (row,) = await fleet.rows(
            "SELECT hold_reason, abs(extract(epoch FROM not_before) - :until) < 0.001 AS rests FROM mailboxes WHERE id = 1",
            until=deferral.until,
        )
        assert (row.hold_reason, row.rests) == (expected, expected is not None)
    assert await counters(fleet) == (0, 0, 0, 0)


async def test_a_deferral_that_is_repeated_counts_its_strike_once(
    fleet: Fleet, worker_database: Database
) -> None:
    """Whose COMMIT was not answered is written again."""
    await fleet.start()
    await fleet.enrol(2)
    me = await fleet.register()
    said, until = "bad-credentials: 535 no", time.time() + 60
    refused = Deferral(1, until, said, await changed_at(fleet, 1), strike=True)
    other = Deferral(2, until, said, await changed_at(fleet, 2), strike=True)

    async def defer(*deferrals: Deferral) -> list[tuple[int, str]]:
        async with worker_database.transaction() as connection:
            await settling.defer(connection, me, deferrals)
        rows = await fleet.rows("SELECT strikes, hold_reason FROM mailboxes ORDER BY id")
        return [(row.strikes, row.hold_reason) for row in rows]

    assert await defer(refused) == [(1, refused.hold), (0, None)]
    assert await defer(refused, other) == [(1, refused.hold), (1, other.hold)]
    later = replace(refused, until=refused.until + 60)
    assert await defer(later, other) == [(2, refused.hold), (1, other.hold)], (
        "another failure is another strike"
    )
    words = replace(later, hold="connect: connection refused")
    assert await defer(words) == [(3, words.hold), (1, other.hold)]


async def test_a_failure_under_the_old_enrolment_holds_no_mailbox_that_was_changed_since(
    fleet: Fleet, worker_database: Database, claimed: Claimed
) -> None:
    """Neither one that did not come to its claim, nor one with a mail in flight: that rests for its cooldown."""
    me, claim = await claimed()
    said, years, before = "own-mailbox-full: 552 no", 10 * 365 * 86_400, await changed_at(fleet, 1)
    refused = outcome(
        claim,
        MailState.FAILED,
        hold=said,
        hold_ms=1000 * years,
        changed_at=before,
        strike=True,
        rest_ms=60_000,
    )
    deferral = Deferral(2, time.time() + years, said, await changed_at(fleet, 2), strike=True)
    await fleet.execute("UPDATE mailboxes SET changed_at = changed_at + interval '1 microsecond'")
    for stale in (True, False):
        async with worker_database.transaction() as connection:
            await settling.defer(connection, me, [deferral])
        assert await settle(worker_database, me.incarnation, refused) == 1
        rows = await fleet.rows(
            "SELECT hold_reason, strikes, not_before > now() + interval '1 h' AS held, in_flight FROM mailboxes ORDER BY id"
        )
        expected = (None, 0, False, None) if stale else (said, 1, True, None)
        assert rows == [expected, expected]
        deferral = replace(deferral, changed_at=await changed_at(fleet, 2))
        refused = replace(refused, changed_at=await changed_at(fleet, 1))
        await fleet.execute("UPDATE mails SET state = 'intent', settled_at = NULL")
        await fleet.execute("UPDATE quotas SET spent = 1, failed = 0 WHERE mailbox_id = 1")
        await fleet.execute("UPDATE mailboxes SET in_flight = :mail WHERE id = 1", mail=claim.mail_id)
