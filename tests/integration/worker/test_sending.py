"""A worker sends what is due, once each, and the server's journal agrees with the ledger."""

from tests.integration.worker.fleet import Fleet


async def test_every_due_mail_is_sent_once_and_accounted_for(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(10)
    async with fleet.worker() as worker:
        await fleet.mails("sent", 30)
        account = worker.report.account()
    await fleet.adds_up()
    assert (account.mailboxes, account.due, account.sent, account.met, account.behind) == (10, 30, 30, 10, 0)
    assert account.reasons == {"quota met": 10}
    assert len(fleet.server.journal.accepted) == 30
