"""Group commit: an unknown COMMIT is never sent and is closed later, a row the database rejects stops nobody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.integration.worker.fleet import PATIENT, QUICK, Fleet
from tests.waiting import broken, cancelled, minding, until
from warmup_core.types import MailState
from warmup_worker import claiming
from warmup_worker.batches import Claims
from warmup_worker.claiming import Ask, Claim, NotClaimed, Refusal
from warmup_worker.clock import DatabaseClock, boottime
from warmup_worker.connection import Database, Rejected
from warmup_worker.halving import in_halves
from warmup_worker.lease import Lease
from warmup_worker.limits import Limits
from warmup_worker.metrics import Metrics
from warmup_worker.outcomes import LARGEST, Outcomes
from warmup_worker.settling import Deferral, Outcome


@asynccontextmanager
async def batches(fleet: Fleet, database: Database) -> AsyncIterator[tuple[Claims, Outcomes]]:
    # Of a heartbeat that stays young for half a minute: nothing is claimed under an old one.
    timing, metrics = replace(PATIENT, heartbeat=9.0), Metrics(1)
    lease = Lease(database, 1, timing, DatabaseClock(), "host", "0")
    await lease.register()
    outcomes = Outcomes(database, lease, timing, metrics)
    limits = Limits(database, lease, timing, 1)
    claims = Claims(database, lease, outcomes, limits, timing, metrics, asyncio.Event())
    tasks = [asyncio.create_task(it.run()) for it in (lease, outcomes, claims)]
    try:
        with minding(lambda: broken(*tasks)):
            await until(lambda: lease.orders, "the first heartbeat")
            yield claims, outcomes
    finally:
        await cancelled(*tasks)


@pytest.fixture
async def planned(fleet: Fleet) -> list[int]:
    await fleet.start()
    ids = await fleet.enrol(4)
    await fleet.plan(3)
    return ids


async def claim_all(claims: Claims, ids: list[int]) -> list[Claim]:
    answers = await asyncio.gather(*(claims.ask(Ask(one, ids[at - 1], 0)) for at, one in enumerate(ids)))
    granted = [it for it in answers if isinstance(it, Claim)]
    assert len(granted) == len(ids)
    return granted


def sent(claim: Claim, reply: str) -> Outcome:
    return Outcome(claim.mailbox_id, claim.day, claim.mail_id, MailState.SENT, "dot", reply, rest_ms=0)


async def test_many_asks_are_answered_by_one_statement_each_for_itself(
    fleet: Fleet, worker_database: Database, planned: list[int]
) -> None:
    await fleet.execute("UPDATE quotas SET spent = quota WHERE mailbox_id = :m", m=planned[0])
    async with batches(fleet, worker_database) as (claims, outcomes):
        answers = await asyncio.gather(
            *(claims.ask(Ask(one, planned[at - 1], 0)) for at, one in enumerate(planned))
        )
        assert isinstance(answers[0], NotClaimed)
        assert answers[0].reason is Refusal.QUOTA
        granted = [it for it in answers if isinstance(it, Claim)]
        assert len(granted) == 3
        assert len({it.claimed_at for it in granted}) <= 3
        assert outcomes.open_mails == {(it.day, it.mail_id) for it in granted}
        await asyncio.gather(*(outcomes.hand_back(it, "handed back: test") for it in granted))
        assert outcomes.open_mails == set()
    assert await fleet.states() == {"failed": 3}


async def test_who_may_send_does_not_wait_for_the_reasons_of_others(
    fleet: Fleet, worker_database: Database, planned: list[int]
) -> None:
    """Reading them is another transaction, and a claim of two seconds is too old for MAIL FROM."""
    await fleet.execute("UPDATE quotas SET spent = quota WHERE mailbox_id = :m", m=planned[0])
    async with batches(fleet, worker_database) as (claims, _):
        asking = [
            asyncio.create_task(claims.ask(Ask(one, planned[at - 1], 0))) for at, one in enumerate(planned)
        ]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert [it.done() for it in asking] == [False, True, True, True]
        await asyncio.gather(*asking)


async def test_a_send_given_up_while_its_claim_was_under_way_hands_the_claim_back(
    fleet: Fleet, worker_database: Database, planned: list[int]
) -> None:
    async with batches(fleet, worker_database) as (claims, _):
        async with fleet.engine.begin() as connection:
            await connection.execute(text("SELECT FROM mailboxes FOR UPDATE"))
            asking = asyncio.create_task(claims.ask(Ask(planned[0], planned[1], 0)))
            await until(fleet.waits_for_a_lock, "the claim waits")
            asking.cancel()
        await fleet.mails("failed", 1)
    (row,) = await fleet.rows("SELECT reply FROM mails")
    assert row.reply == "handed back: its send was given up meanwhile"


async def test_a_send_given_up_with_its_claim_granted_and_not_yet_seen_hands_the_claim_back(
    fleet: Fleet, worker_database: Database, planned: list[int]
) -> None:
    """Stepped by hand, as a task would: cancelled after the answer came and before it could be taken."""
    async with batches(fleet, worker_database) as (claims, _):
        asking = claims.ask(Ask(planned[0], planned[1], 0))
        answer = asking.send(None)
        await until(answer.done, "the claim is granted")
        assert isinstance(answer.result(), Claim)
        with pytest.raises(asyncio.CancelledError):
            asking.throw(asyncio.CancelledError())
        await fleet.mails("failed", 1)
    (row,) = await fleet.rows("SELECT reply FROM mails")
    assert row.reply == "handed back: its send was given up meanwhile"


async def test_a_claim_whose_commit_is_unknown_is_not_sent_and_closed_later(
    fleet: Fleet, worker_database: Database, planned: list[int]
) -> None:
    """F23: the rows are written, the answer is lost."""
    async with batches(fleet, worker_database) as (claims, outcomes):
        # As a claim leaves the ledger whose COMMIT went through and whose reply did not.
        async with worker_database.transaction() as connection:
            identity = claims._lease.identity
            assert identity is not None
            (lost, known) = await claiming.claim(
                connection,
                identity,
                1,
                [Ask(planned[0], planned[1], 0), Ask(planned[2], planned[1], 0)],
                60,
                boottime(),
            )
        outcomes.open_mails.add((known.day, known.mail_id))
        await outcomes.close_unknown()
        await outcomes.written()
        assert await fleet.states() == {"intent": 2}, "too young: it may be on its way yet"
        await fleet.execute("UPDATE mails SET claimed_at = claimed_at - interval '1 h'")
        await outcomes.close_unknown()
        await outcomes.written()
    rows = await fleet.rows("SELECT id, state, reply FROM mails ORDER BY id")
    assert [(row.id, row.state) for row in rows] == [(lost.mail_id, "failed"), (known.mail_id, "intent")]
    assert rows[0].reply == "handed back: the claim's commit was unknown"


async def test_a_claim_that_runs_into_its_timeout_is_refused_and_leaves_nothing_for_ever(
    fleet: Fleet, worker_database: Database, planned: list[int]
) -> None:
    """F26: a row lock held by somebody."""
    patient = worker_database._statement_seconds
    async with batches(fleet, worker_database) as (claims, outcomes):
        async with fleet.engine.begin() as connection:
            await connection.execute(text("SELECT FROM mailboxes FOR UPDATE"))
            worker_database._statement_seconds = 0.3
            answer = await claims.ask(Ask(planned[0], planned[1], 0))
            assert isinstance(answer, NotClaimed)
            assert answer.reason is Refusal.DATABASE
            worker_database._statement_seconds = (
                patient  # the next one is in nobody's way, however slow the machine
            )
        answer = await claims.ask(Ask(planned[0], planned[1], 0))
        assert isinstance(answer, Claim)
        await outcomes.hand_back(answer, "handed back: test")


async def test_an_outcome_the_database_rejects_ends_in_doubt_and_stops_no_other(
    fleet: Fleet, worker_database: Database, planned: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    async with batches(fleet, worker_database) as (claims, outcomes):
        granted = await claim_all(claims, planned)
        settled = [
            outcomes.settle(sent(it, "250 \x00" if at == 2 else "250 ok")) for at, it in enumerate(granted)
        ]
        states = await asyncio.gather(*settled)
        assert [state.value for state in states] == ["sent", "sent", "in_doubt", "sent"]
        assert outcomes.open_mails == set()
        assert outcomes._metrics.errors.labels("settle")._value.get() == 1
    assert await fleet.states() == {"sent": 3, "in_doubt": 1}
    assert caplog.text.count("cannot be settled as sent and ends in doubt") == 1
    (row,) = await fleet.rows("SELECT spent, in_doubt FROM quotas WHERE mailbox_id = :m", m=planned[2])
    assert (row.spent, row.in_doubt) == (1, 1)
    assert not await fleet.rows("SELECT 1 FROM mailboxes WHERE in_flight IS NOT NULL")


async def test_a_mail_whose_counters_contradict_themselves_stays_open_and_is_never_called_failed(
    fleet: Fleet, worker_database: Database, planned: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    async with batches(fleet, worker_database) as (claims, outcomes):
        granted = await claim_all(claims, planned)
        await fleet.execute("UPDATE quotas SET spent = 0 WHERE mailbox_id = :m", m=planned[0])
        await asyncio.gather(*(outcomes.settle(sent(it, "250 ok")) for it in granted))
        assert outcomes.open_mails == {(granted[0].day, granted[0].mail_id)}
        await fleet.execute("UPDATE mails SET claimed_at = claimed_at - interval '1 h'")
        await outcomes.close_unknown()  # it is known
        await outcomes.written()
    assert await fleet.states() == {"sent": 3, "intent": 1}
    assert caplog.text.count("stays open until this worker ends") == 1


async def test_nothing_is_claimed_while_outcomes_wait_for_the_database(
    fleet: Fleet, worker_database: Database, planned: list[int]
) -> None:
    async with batches(fleet, worker_database) as (claims, outcomes):
        outcomes.caught_up = False
        answer = await claims.ask(Ask(planned[0], planned[1], 0))
        assert isinstance(answer, NotClaimed)
        assert answer.reason is Refusal.DATABASE
    assert await fleet.states() == {}


async def test_what_waited_when_the_writing_broke_is_written_once_it_begins_again(
    worker_database: Database, planned: list[int]
) -> None:
    """As where a worker drains because this part of it died."""
    lease = Lease(worker_database, 1, QUICK, DatabaseClock(), "host", "0")
    outcomes = Outcomes(worker_database, lease, QUICK, Metrics(1))
    outcomes.defer(Deferral(planned[0], 2e9, "connect: refused", 0.0))
    with pytest.raises(AssertionError):  # nobody has registered
        await outcomes.run()
    await lease.register()
    again = asyncio.create_task(outcomes.run())
    async with asyncio.timeout(60):
        await outcomes.written()
    await cancelled(again)


async def test_whoever_waits_when_the_worker_stops_is_refused_however_many_they_are(
    fleet: Fleet, worker_database: Database, planned: list[int]
) -> None:
    async with batches(fleet, worker_database) as (claims, _):
        asked = [asyncio.create_task(claims.ask(Ask(-n, planned[0], 0))) for n in range(LARGEST + 1)]
        await asyncio.sleep(0)  # all of them wait now, and none has been taken
        claims.stop()
        answers = await asyncio.gather(*asked)
    assert all(isinstance(it, NotClaimed) and it.reason is Refusal.STOPPING for it in answers)


async def test_halving_finds_each_bad_row_and_writes_all_others() -> None:
    written: list[int] = []
    aside: list[int] = []

    async def write(rows: object) -> None:
        assert isinstance(rows, list)
        if any(one in {3, 7} for one in rows):
            raise Rejected("no")
        written.extend(rows)

    await in_halves(list(range(10)), write, lambda one, _: aside.append(one))
    assert sorted(written) == [0, 1, 2, 4, 5, 6, 8, 9]
    assert aside == [3, 7]
