"""What is changed while a worker runs reaches it: the fleet's settings, mailboxes, a credential."""

from tests.integration.worker.fleet import Fleet
from tests.waiting import until


async def test_pause_and_a_lower_quota_reach_a_running_worker(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(4)
    await fleet.execute("UPDATE fleet SET paused = true")
    async with fleet.worker() as worker:
        await until(
            lambda: worker.report.readiness().reason == "The fleet is paused: nothing is sent.", "it says so"
        )
        assert worker.report.account().mailboxes == 4
        await fleet.execute(
            "UPDATE fleet SET paused = false, settings_version = settings_version + 1,"
            " settings = jsonb_set(settings, '{emails_per_mailbox_per_day}', '2')"
        )
        await fleet.mails("sent", 8)
        await until(lambda: worker.report.account().due == 8, "the new quota")
    await fleet.adds_up()
    assert {row.quota for row in await fleet.rows("SELECT quota FROM quotas")} == {2}


async def test_mailboxes_that_come_and_go_reach_a_running_worker(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(2)
    async with fleet.worker() as worker:
        await fleet.mails("sent", 6)
        new = await fleet.enrol(1)
        await fleet.mails("sent", 9)
        await fleet.execute(
            "UPDATE mailboxes SET active = false, changed_at = clock_timestamp() WHERE id = :m", m=new[0]
        )
        await until(lambda: worker.report.account().mailboxes == 2, "one mailbox less")
        # field-033: by hand, which tells nobody; what is gone the slow reading finds.
        await fleet.execute(
            "INSERT INTO mailboxes (user_id, address, smtp_host, smtp_port, smtp_security)"
            " SELECT min(id), 'by-hand@domain0.example', '127.0.0.1', 9, 'starttls' FROM users"
        )
        await until(lambda: worker.report.account().mailboxes == 3, "one by hand")
        await fleet.execute("DELETE FROM mailboxes WHERE address LIKE 'by-hand@%'")
        await until(lambda: worker.report.account().mailboxes == 2, "and gone again")
    await fleet.adds_up()


async def test_a_credential_given_again_lets_a_mailbox_go_on(fleet: Fleet) -> None:
    """The hold is memory's too: an import that clears it in the table must reach the worker."""
    await fleet.start()
    await fleet.enrol(2)
    accounts = fleet.server.accounts
    fleet.server.accounts = lambda login, password: None
    async with fleet.worker() as worker:
        await until(
            lambda: worker.report.account().reasons.get("deferred: bad-credentials") == 2, "both deferred"
        )
        await until(
            lambda: fleet.rows("SELECT 1 FROM mailboxes WHERE hold_reason IS NOT NULL HAVING count(*) = 2"),
            "the reasons in the table",
        )
        fleet.server.accounts = accounts
        await fleet.execute(
            "UPDATE mailboxes SET hold_reason = NULL, not_before = '-infinity', changed_at = clock_timestamp()"
        )
        await fleet.mails("sent", 6)
