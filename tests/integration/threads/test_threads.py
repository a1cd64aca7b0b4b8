"""A worker answers what its mailboxes received, in the thread, as the submission server saw it."""

import email
import email.policy
from email.message import EmailMessage

import pytest
from sqlalchemy import text

from tests.integration.worker.fleet import EAGER, Fleet
from warmup_core.types import MailState
from warmup_worker import answering, claiming, roster, settling
from warmup_worker.claiming import Ask, Claim
from warmup_worker.clock import boottime
from warmup_worker.connection import Database
from warmup_worker.lease import Identity
from warmup_worker.pool import Pool
from warmup_worker.settling import Outcome

TALKATIVE = EAGER.model_copy(update={"emails_per_mailbox_per_day": 8, "reply_percent": 60})


def received(fleet: Fleet) -> dict[str, EmailMessage]:
    """Every mail that the server took, by Message-ID."""
    parsed = {
        name: email.message_from_bytes(content, policy=email.policy.SMTP, _class=EmailMessage)
        for name, content in fleet.server.contents.items()
    }
    return {name: mail for name, mail in parsed.items() if isinstance(mail, EmailMessage)}


async def test_answers_stand_in_the_thread_of_the_mail_they_answer(fleet: Fleet) -> None:
    await fleet.start(TALKATIVE)
    await fleet.enrol(8, users=4)
    async with fleet.worker():
        await fleet.mails("sent", 48)  # the last ones of the window are not due yet
    await fleet.adds_up()
    mails = received(fleet)
    assert len(mails) >= 48
    answers = [mail for mail in mails.values() if mail["In-Reply-To"]]
    assert (
        10 <= len(answers) < len(mails)
    )  # which turns of a day are answers is drawn; tests/unit/threads counts the share
    for answer in answers:
        answered = mails[answer["In-Reply-To"]]
        references = str(answer["References"]).split()
        first = mails[references[0]]
        assert (answered["From"].addresses[0].addr_spec, answered["To"].addresses[0].addr_spec) == (
            answer["To"].addresses[0].addr_spec,
            answer["From"].addresses[0].addr_spec,
        )
        assert references[-1] == answered["Message-ID"]
        assert len(references) == len(set(references)) <= 3
        assert first["In-Reply-To"] is None
        assert answer["Subject"] == f"Re: {first['Subject']}"
        assert answer["Auto-Submitted"] == "auto-replied"
        assert answer["Date"].datetime >= answered["Date"].datetime
        before = str(answered["References"] or "").split()
        assert references[:1] == (before or references)[:1], "the thread keeps its first id"
    assert len({mail["In-Reply-To"] for mail in answers}) == len(answers), "no mail is answered twice"
    for mail in mails.values():
        assert mail["In-Reply-To"] or mail["Auto-Submitted"] == "auto-generated"
    depths = {row.turn for row in await fleet.rows("SELECT DISTINCT turn FROM mails WHERE turn IS NOT NULL")}
    assert depths <= {1, 2, 3}
    assert 2 in depths


async def test_without_a_reply_share_nobody_answers(fleet: Fleet) -> None:
    await fleet.start(EAGER.model_copy(update={"reply_percent": 0}))
    await fleet.enrol(4)
    async with fleet.worker():
        await fleet.mails("sent", 12)
    assert not [mail for mail in received(fleet).values() if mail["In-Reply-To"]]


async def claim(database: Database, me: Identity, ask: Ask) -> Claim:
    async with database.transaction() as connection:
        (granted,) = await claiming.claim(connection, me, 1, [ask], 60, boottime())
    return granted


async def end(database: Database, me: Identity, it: Claim, state: MailState = MailState.SENT) -> None:
    async with database.transaction() as connection:
        outcome = Outcome(it.mailbox_id, it.day, it.mail_id, state, "dot", "said", rest_ms=0)
        await settling.settle(connection, me.incarnation, [outcome])


async def test_a_thread_goes_back_and_forth_and_closes(fleet: Fleet, worker_database: Database) -> None:
    await fleet.start()
    one, two = await fleet.enrol(2)
    await fleet.plan(9)
    me = await fleet.register()
    first = await claim(worker_database, me, Ask(one, two, 0, answers=True))
    assert first.thread is None, "there is nothing to answer yet"
    await end(worker_database, me, first)
    second = await claim(worker_database, me, Ask(two, one, 0, answers=True))
    assert second.thread == answering.Thread(first.mail_id, first.mail_id, None, 1)
    await end(worker_database, me, second)
    third = await claim(worker_database, me, Ask(one, two, 0, answers=True))
    assert third.thread == answering.Thread(first.mail_id, second.mail_id, first.mail_id, 2)
    await end(worker_database, me, third)
    fourth = await claim(worker_database, me, Ask(two, one, 0, answers=True))
    assert fourth.thread == answering.Thread(first.mail_id, third.mail_id, second.mail_id, 3)
    await end(worker_database, me, fourth)
    fifth = await claim(worker_database, me, Ask(one, two, 0, answers=True))
    assert fifth.thread is None, "four mails are a thread"


@pytest.mark.parametrize("state", [MailState.FAILED, MailState.IN_DOUBT])
async def test_a_mail_that_perhaps_never_arrived_is_not_answered(
    fleet: Fleet, worker_database: Database, state: MailState
) -> None:
    await fleet.start()
    one, two = await fleet.enrol(2)
    await fleet.plan(9)
    me = await fleet.register()
    await end(worker_database, me, await claim(worker_database, me, Ask(one, two, 0)), state)
    assert (await claim(worker_database, me, Ask(two, one, 0, answers=True))).thread is None


async def test_a_mail_is_answered_once_unless_the_answer_failed(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start()
    one, two = await fleet.enrol(2)
    await fleet.plan(9)
    me = await fleet.register()
    await end(worker_database, me, await claim(worker_database, me, Ask(one, two, 0)))
    ask = Ask(two, one, 0, answers=True)
    lost = await claim(worker_database, me, ask)
    await end(worker_database, me, lost, MailState.FAILED)
    again = await claim(worker_database, me, ask)
    assert again.thread == lost.thread is not None
    await end(worker_database, me, again)
    assert (await claim(worker_database, me, ask)).thread is None
    assert (await claim(worker_database, me, Ask(one, two, 0))).thread is None, "who does not ask begins anew"


async def test_the_look_up_reads_one_mailboxs_day_by_its_index(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.execute(
        "INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at, settled_at)"
        " SELECT :day, n, n % 300, n % 299, n / 300, 'sent', 1, 1, 1, now() - (9000 - n) * interval '1 s', now()"
        " FROM generate_series(1, 9000) n",
        day=fleet.day,
    )
    await fleet.execute("ANALYZE mails")
    async with fleet.engine.begin() as connection:
        rows = await connection.execute(
            text(f"EXPLAIN {answering._FIND.text}"),
            {"mailboxes": [1], "recipients": [2], "day": fleet.day, "longest": 4},
        )
        plan = "\n".join(row[0] for row in rows)
    assert plan.count("mailbox_id_claimed_at") == 2, plan
    assert "Seq Scan" not in plan


async def test_who_leaves_during_the_day_keeps_its_place_in_a_pool_read_later(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start()
    ids = await fleet.enrol(9, users=3)

    async def pairs() -> dict[int, int]:
        async with worker_database.reading() as connection:
            pool = Pool(await roster.pool(connection))
            assert pool.headcount == await roster.headcount(connection), (
                "what is planned by before it is read"
            )
        found = {it: pool.recipient(it, "t0ken", fleet.day, 1) for it in ids}
        return {it: to.mailbox_id for it, to in found.items() if to}

    before = await pairs()
    assert sorted(before.values()) == ids
    await fleet.execute(
        "UPDATE mailboxes SET active = false, changed_at = clock_timestamp() WHERE id = :id", id=ids[4]
    )
    after = await pairs()
    assert {it for it in ids if after[it] != before[it]} == {it for it in ids if before[it] == ids[4]}
    assert ids[4] not in after.values()
    await fleet.execute(
        "UPDATE mailboxes SET changed_at = now() - interval '2 days' WHERE id = :id", id=ids[4]
    )
    assert ids[4] not in await pairs(), "the next day it has no place any more"
