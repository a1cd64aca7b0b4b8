"""A whole worker under limits: what is due waits under the limit's name, hardly ever logs in for nothing, and goes out later."""

from dataclasses import replace

import aiohttp

from tests.integration.limits.claimants import SHORT, limited
from tests.integration.limits.windows import claimed, fullest
from tests.integration.worker.fleet import Fleet
from tests.waiting import until

LONGER = replace(SHORT, hour=12.0)
SLOWER = replace(SHORT, token=1.5, minute=6.0)
"""Tokens that live long enough for a login on a busy machine, or each that goes stale would be one in vain."""


async def test_a_user_at_the_limit_waits_by_name_and_others_go_on(fleet: Fleet) -> None:
    await fleet.start(limited(emails_per_mailbox_per_day=1, per_user_per_hour_limit=5))
    await fleet.enrol(8, users=1)
    await fleet.enrol(3, users=3)
    await fleet.execute(
        "UPDATE mailboxes SET user_id = (SELECT id FROM users WHERE name = 'user-2') WHERE id > 8"
    )
    async with fleet.worker(timing=LONGER) as worker:
        # Seven wait at first, and three still do twelve seconds later.
        await until(lambda: worker.report.account().reasons.get("limit: user", 0) >= 3, "the user's wait")
        url = f"http://127.0.0.1:{worker.telemetry.port}"
        async with aiohttp.ClientSession() as client:
            quota = await (await client.get(f"{url}/api/warmup/quota")).json()
            metrics = await (await client.get(f"{url}/metrics")).text()
        assert quota["reasons"]["limit: user"] >= 1
        assert 'warmup_worker_claims_refused_total{reason="limit_user"}' in metrics
        await fleet.mails("sent", 11)
        await until(lambda: worker.report.account().met == 11, "counted in memory")
    await fleet.adds_up()
    for user in ("id <= 8", "id > 8"):
        assert fullest(await claimed(fleet, f"m.{user}"), LONGER.hour) <= 5
    logins, sent = len(fleet.server.journal.of("auth")), len(fleet.server.journal.accepted)
    # A stall wakes several at once that would have come one after the other, and all but one are in vain.
    assert logins <= 2 * sent + 8, (
        f"{logins} logins for {sent} mails: the first eight and few more are in vain"
    )


async def test_a_limit_of_the_fleet_is_told_and_opens_few_connections_in_vain(fleet: Fleet) -> None:
    # More than the limit lets through in the window, or the schedule itself would keep below it.
    await fleet.start(limited(emails_per_mailbox_per_day=2000, per_minute_limit=12))
    await fleet.enrol(8)
    async with fleet.worker(timing=SLOWER) as worker:
        await until(lambda: worker.report.limit == "minute", "the limit")
        await fleet.mails("sent", 16)
    await fleet.adds_up()
    assert fullest(await claimed(fleet), SLOWER.minute) <= 12
    logins, sent = len(fleet.server.journal.of("auth")), len(fleet.server.journal.accepted)
    assert logins <= 2 * sent, f"{logins} logins for {sent} mails"


async def test_a_users_limit_that_is_taken_away_sets_free_who_waits_for_it(fleet: Fleet) -> None:
    await fleet.start(limited(emails_per_mailbox_per_day=1, per_user_per_hour_limit=1))
    await fleet.enrol(8, users=1)
    async with fleet.worker(timing=replace(SHORT, hour=600.0)) as worker:
        await until(lambda: worker.report.account().reasons.get("limit: user", 0) == 7, "all but one wait")
        await fleet.execute(
            "UPDATE fleet SET settings_version = settings_version + 1,"
            " settings = settings || '{\"per_user_per_hour_limit\": null}'"
        )
        await fleet.mails("sent", 8)
