"""A provider that takes our mails for spam, one after the other: the fleet stops sending there, and says so."""

from tests.integration.reactions.test_reactions import RARELY, ask, pauses_of, quota
from tests.integration.worker.fleet import EAGER, Fleet
from tests.submission.faults import Step, refuse
from tests.waiting import until
from warmup_worker.refusals import LATELY

SPAM = "554 5.7.1 This message has been identified as spam"
MAILBOXES, SLOTS = 120, 10


async def test_a_provider_that_refuses_mail_after_mail_as_spam_gets_no_more_of_them(fleet: Fleet) -> None:
    await fleet.start(EAGER.model_copy(update={"max_concurrent_sends": SLOTS}), workers=2)
    await fleet.enrol(MAILBOXES)
    fleet.server.faults[Step.DOT] = refuse(SPAM)
    async with fleet.worker(1, RARELY) as first:
        await until(lambda: pauses_of(first, "provider"), "it pauses")
        await until(lambda: fleet.rows("SELECT 1 FROM pauses"), "it is written")
        async with fleet.worker(2, RARELY) as second:
            await until(
                lambda: second.report.account().reasons == {"paused: mails-refused": MAILBOXES // 2},
                "the other worker's mailboxes wait as well",
            )
            answer, figures = await quota(second), await ask(first, "/metrics")
        [row] = await fleet.rows(
            "SELECT scope, key, rule, reason, extract(epoch FROM until - since)::float8 AS seconds FROM pauses"
        )
        told = 'warmup_worker_pauses_begun_total{rule="mails-refused",scope="provider"} 1.0'
        assert told in figures
    [pause] = answer["pauses"]
    assert (pause["scope"], pause["key"], pause["rule"]) == ("provider", fleet.server.host, "mails-refused")
    assert (row.scope, row.key, row.rule) == ("provider", fleet.server.host, "mails-refused")
    assert 1800 <= row.seconds <= 2300
    assert SPAM in row.reason
    assert LATELY <= (await fleet.states())["failed"] <= LATELY + SLOTS
    assert not fleet.server.journal.accepted
    await fleet.adds_up()
