"""What a server says decides who pauses: one mailbox, a recipient, a user, everybody. Real workers, a real server's words."""

import json
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from tests.integration.worker.fleet import EAGER, KEYS, PATIENT, Fleet
from tests.submission.faults import Exchange, Step, only, refuse
from tests.submission.faults import first as once
from tests.waiting import until
from warmup_core import enrolment, mailboxes
from warmup_core.replies import Scope
from warmup_worker.engine import Engine

RARELY = replace(PATIENT, reread_every=300.0)
"""What comes to a worker while a test waits comes by the heartbeat, not by the slow reading."""
MANY = EAGER.model_copy(
    update={"emails_per_mailbox_per_day": 40, "cooldown_min_ms": 300, "cooldown_max_ms": 300}
)


async def address(fleet: Fleet, mailbox_id: int) -> str:
    found = (await fleet.rows("SELECT address FROM mailboxes WHERE id = :id", id=mailbox_id))[0].address
    return str(found)


async def ask(worker: Engine, path: str) -> str:
    """What the worker answers on its port."""
    url = f"http://127.0.0.1:{worker.telemetry.port}{path}"
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return await response.text()


async def quota(worker: Engine) -> dict[str, Any]:
    """What the worker's API says."""
    answer: dict[str, Any] = json.loads(await ask(worker, "/api/warmup/quota"))
    return answer


def by(fault_of: str) -> Any:
    """Whether an exchange is this sender's."""
    return lambda exchange: fault_of in (exchange.login, exchange.mail_from)


async def begun_are_over(*workers: Engine) -> None:
    """Wait for the turns that are under way: what they look at was decided before now."""
    begun = {turn for it in workers for turn in it._turns}
    await until(lambda: not any(begun & it._turns for it in workers), "the turns of before end")


async def held(fleet: Fleet) -> dict[int, Any]:
    """The mailboxes that are held, with their reason, the seconds left and their strikes."""
    return {
        row.id: row
        for row in await fleet.rows(
            "SELECT id, hold_reason, extract(epoch FROM not_before - clock_timestamp())::float8 AS seconds, strikes"
            " FROM mailboxes WHERE hold_reason IS NOT NULL AND not_before > clock_timestamp() + interval '5 s'"
        )
    }


async def test_a_wrong_password_pauses_that_mailbox_alone_until_other_credentials_come(fleet: Fleet) -> None:
    await fleet.start()
    ids = await fleet.enrol(6)
    wrong = await address(fleet, ids[0])
    logins = 0

    async def refused(exchange: Exchange) -> str | None:
        nonlocal logins
        logins += 1
        return "535 5.7.8 Username and Password not accepted"

    sealed = KEYS.seal(wrong, "yesterday's", bytes(12))
    await fleet.execute(
        "UPDATE credentials SET nonce = :nonce, ciphertext = :it WHERE mailbox_id = :id",
        nonce=sealed.nonce,
        it=sealed.ciphertext,
        id=ids[0],
    )
    async with fleet.worker(timing=RARELY) as worker:
        await fleet.mails("sent", 15)
        reasons = {"deferred: bad-credentials": 1, "quota met": 5}
        await until(lambda: worker.report.account().reasons == reasons, "the others are done, one is not")
        assert (await quota(worker))["reasons"] == reasons
        attempts = [it for it in fleet.server.journal.of("auth") if not it.ok]
        assert len(attempts) == 1
        found = await until(lambda: held(fleet), "it is held in the table, too")
        assert list(found) == [ids[0]]
        assert found[ids[0]].seconds > 365 * 86_400
        assert found[ids[0]].strikes == 1
        assert "give new credentials" in found[ids[0]].hold_reason
        assert not await fleet.rows("SELECT 1 FROM pauses")

        file = enrolment.parse(f"email,password\n{wrong},secret-of-{wrong}\n".encode())
        async with fleet.engine.begin() as connection:
            await mailboxes.enrol(connection, file, KEYS, dry_run=False)
        await fleet.mails("sent", 18)
    await fleet.adds_up()


async def test_an_unknown_recipient_is_out_of_the_pool_for_all_workers(fleet: Fleet) -> None:
    await fleet.start(MANY, workers=2)
    ids = await fleet.enrol(8)
    gone = await address(fleet, ids[0])
    tried = 0

    async def unknown(exchange: Exchange) -> str | None:
        nonlocal tried
        if gone in exchange.rcpt_to:
            tried += 1
            return f"550 5.1.1 <{gone}>: Recipient address rejected: User unknown"
        return None

    fleet.server.faults[Step.RCPT] = unknown
    async with fleet.worker(1, RARELY) as first, fleet.worker(2, RARELY) as second:
        await until(lambda: tried, "the recipient is tried")
        await until(
            lambda: all(pauses_of(it, "recipient") for it in (first, second)),
            "word of it reaches both workers",
        )
        await begun_are_over(first, second)  # one of them may have been on its way
        before, accepted = tried, len(fleet.server.journal.accepted)
        await until(lambda: len(fleet.server.journal.accepted) > accepted + 60, "the others go on")
    assert tried == before
    [row] = await fleet.rows(
        "SELECT *, extract(epoch FROM until - since)::float8 AS seconds FROM pauses WHERE scope = 'recipient'"
    )
    assert (row.key, row.rule) == (str(ids[0]), "recipient-unknown")
    assert row.seconds >= 3 * 86_400
    assert await fleet.rows("SELECT 1 FROM mails WHERE mailbox_id = :id AND state = 'sent'", id=ids[0])
    await fleet.adds_up()


def pauses_of(worker: Engine, scope: str) -> bool:
    """Whether the worker knows of a pause of this scope."""
    return bool(worker.report.pauses.counts(worker.report.now)[Scope(scope)])


async def test_a_rate_limit_of_one_login_slows_that_mailbox_alone(fleet: Fleet) -> None:
    """field-014."""
    await fleet.start()
    ids = await fleet.enrol(6)
    slow = await address(fleet, ids[2])
    fleet.server.faults[Step.RCPT] = only(
        by(slow), refuse(f"451 4.7.1 <{slow}>: Ratelimit exceeded for mailbox, 10 mails per hour")
    )
    async with fleet.worker(timing=RARELY) as worker:
        await fleet.mails("sent", 15)
        await until(
            lambda: worker.report.account().met == 5 and worker.report.account().deferred,
            "the others are done",
        )
        reasons = (await quota(worker))["reasons"]
    found = await held(fleet)
    assert list(found) == [ids[2]]
    [rest] = await fleet.rows(
        "SELECT extract(epoch FROM m.not_before - l.settled_at) AS seconds FROM mails l JOIN mailboxes m"
        " ON m.id = l.mailbox_id WHERE l.state = 'failed'"
    )
    assert 1800 < rest.seconds < 7200
    assert found[ids[2]].strikes == 0
    assert reasons == {f"deferred: {found[ids[2]].hold_reason.partition(':')[0]}": 1, "quota met": 5}
    assert not await fleet.rows("SELECT 1 FROM pauses")
    assert (await fleet.states())["failed"] == 1
    await fleet.adds_up()


async def test_a_tenants_cap_pauses_the_users_other_mailboxes_on_another_worker_by_its_heartbeat(
    fleet: Fleet,
) -> None:
    await fleet.start(MANY, workers=2)
    ids = await fleet.enrol(12, users=3)
    users = {row.id: row.user_id for row in await fleet.rows("SELECT id, user_id FROM mailboxes")}
    capped = users[ids[0]]
    theirs = [it for it in ids if users[it] == capped]
    assert {it % 2 for it in theirs} == {0, 1}, "both workers own mailboxes of the user"
    one = next(it for it in theirs if it % 2 == 0)  # worker 1's
    async with fleet.worker(1, RARELY) as first, fleet.worker(2, RARELY) as second:
        await until(lambda: len(fleet.server.journal.accepted) > 20, "all send")
        fleet.server.faults[Step.DOT] = only(
            by(await address(fleet, one)),
            refuse("550 5.7.233 Message blocked: the tenant exceeded its daily limit"),
        )
        await until(lambda: pauses_of(first, "tenant"), "the server speaks")
        await until(
            lambda: second.report.account().reasons.get("paused: quota-of-a-period"),
            "the other worker stops",
        )
        answer = await quota(second)
        [pause] = answer["pauses"]
        assert (pause["scope"], pause["key"]) == ("tenant", f"{capped}/{fleet.server.host}")
        assert pause["until"]
        await until(
            lambda: second.report.account().reasons.get("paused: quota-of-a-period") == 2,
            "both of its mailboxes",
        )
        await begun_are_over(first, second)
        at = len(fleet.server.journal.accepted)
        await until(lambda: len(fleet.server.journal.accepted) > at + 20, "the others go on")
        fresh = {it.mail_from for it in fleet.server.journal.accepted[at:]}
        assert fresh.isdisjoint({await address(fleet, it) for it in theirs})

        del fleet.server.faults[Step.DOT]  # first, or it would speak again
        await fleet.execute("UPDATE pauses SET until = clock_timestamp(), since = clock_timestamp()")
        await until(
            lambda: not second.report.account().reasons.get("paused: quota-of-a-period"),
            "it is lifted",
        )
    await fleet.adds_up()


@pytest.mark.parametrize(
    ("step", "reply", "scope"),
    [
        (Step.CONNECT, "421 4.7.0 Try again later, too many connections", "provider"),
        (Step.CONNECT, "554 5.7.1 Client host [192.0.2.1] blocked using Spamhaus", "egress"),
        (Step.DOT, "550 5.7.26 This mail is unauthenticated: SPF and DKIM did not pass", "domain"),
        (Step.DOT, "550 5.7.233 Message blocked: the tenant exceeded its daily limit", "tenant"),
        (Step.RCPT, "550 5.1.1 No such user", "recipient"),
    ],
    ids=lambda it: it if isinstance(it, str) and " " not in it else "",
)
async def test_every_pause_is_told_by_the_api_and_counted_in_the_metrics(
    fleet: Fleet, step: Step, reply: str, scope: str
) -> None:
    """With its reason and its end; those of recipients, whose keys are mailboxes, are only counted."""
    await fleet.start(MANY)
    await fleet.enrol(6, users=3)
    fleet.server.faults[step] = once(1, refuse(reply))
    async with fleet.worker(timing=RARELY) as worker:
        [row] = await until(lambda: fleet.rows("SELECT * FROM pauses"), "it is written")
        await until(lambda: pauses_of(worker, scope), "it is known")
        answer, figures = await quota(worker), await ask(worker, "/metrics")
        asjson = await ask(worker, "/api/warmup/metrics")
    assert row.scope == scope
    assert reply[4:] in row.reason
    if scope == "recipient":
        assert (answer["pauses"], answer["paused_recipients"]) == ([], 1)
    else:
        [pause] = answer["pauses"]
        assert (pause["scope"], pause["key"], pause["rule"]) == (scope, row.key, row.rule)
        assert (pause["until"] is None) == (scope in {"egress", "domain"}), "a person ends it"
    assert f'warmup_worker_pauses_begun_total{{rule="{row.rule}",scope="{scope}"}} 1.0' in figures
    name = f"warmup_worker_pauses_begun_{scope}_{row.rule}_total".replace("-", "_")
    assert f'"{name}": 1' in asjson


async def test_a_refused_ip_stops_everybody_and_says_why(fleet: Fleet) -> None:
    await fleet.start(MANY, workers=2)
    await fleet.enrol(8)
    async with fleet.worker(1, RARELY) as first, fleet.worker(2, RARELY) as second:
        await until(lambda: len(fleet.server.journal.accepted) > 10, "all send")
        fleet.server.faults[Step.CONNECT] = once(
            1, refuse("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using Spamhaus")
        )
        await until(lambda: all(pauses_of(it, "egress") for it in (first, second)), "both hear of it")

        def stopped() -> bool:
            reasons = [it.report.account().reasons for it in (first, second)]
            return sum(each.get("paused: ip-listed", 0) for each in reasons) == 7

        await until(stopped, "all but the one that was refused, which rests, stand still")
        [pause] = (await quota(first))["pauses"]
        assert (pause["scope"], pause["rule"], pause["until"]) == ("egress", "ip-listed", None)
    [row] = await fleet.rows("SELECT * FROM pauses")
    assert "ask for its removal" in row.reason
    await fleet.adds_up()


async def test_a_server_that_refuses_every_recipient_does_not_empty_the_pool(fleet: Fleet) -> None:
    await fleet.start()
    ids = await fleet.enrol(9, users=9)
    fleet.server.faults[Step.RCPT] = only(by(await address(fleet, ids[0])), refuse("550 5.1.1 No such user"))
    async with fleet.worker(timing=RARELY):
        await until(lambda: held(fleet), "the mailbox itself is held")
    assert len(await fleet.rows("SELECT 1 FROM pauses")) == 2
    await fleet.adds_up()
