"""A fleet whose mailboxes log in with OAuth: what a worker does when a token, an application or an endpoint fails."""

import asyncio
import logging
import time
from dataclasses import replace

import pytest
from aiohttp import web

from tests.authorization.endpoint import always, refusal
from tests.integration.oauth.fleet import OAuthFleet
from tests.integration.worker.fleet import EAGER, PATIENT
from tests.submission.faults import Exchange, Step, drop
from tests.waiting import until
from warmup_core import pauses

ONE_EACH = EAGER.model_copy(update={"emails_per_mailbox_per_day": 1})


async def test_mailboxes_with_passwords_and_with_tokens_send_side_by_side(fleet: OAuthFleet) -> None:
    await fleet.start(workers=2)
    await fleet.enrol(4)
    await fleet.consent(4)
    async with fleet.worker(1) as first, fleet.worker(2) as second:
        await fleet.mails("sent", 24)
        refreshed = [it.metrics.token_refreshes.labels("refreshed")._value.get() for it in (first, second)]
        assert sum(refreshed) == len(fleet.endpoint.requests) == 4, "once a mailbox, three mails each"
    await fleet.adds_up()
    assert not [it for it in fleet.server.journal.of("auth") if not it.ok]


async def test_an_application_that_is_refused_is_one_alarm_and_its_mailboxes_go_on_by_themselves(
    fleet: OAuthFleet, caplog: pytest.LogCaptureFixture
) -> None:
    """field-019."""
    await fleet.start(ONE_EACH)
    accounts = await fleet.consent(40, users=8)
    await fleet.enrol(2)
    right = fleet.applications
    fleet.applications = {"google": fleet.endpoint.application(client_secret="expired-s3cret")}
    timing = replace(PATIENT, application_wait=2.0)
    async with fleet.worker(timing=timing) as worker:
        began = time.monotonic()
        await fleet.mails("sent", 2)
        await until(
            lambda: worker.report.account().reasons.get("paused: oauth-application") == 40,
            "all wait together",
        )
        asked = len(fleet.endpoint.requests)
        again = (time.monotonic() - began) / timing.application_wait
        assert asked <= 16 + again, (
            "the first of each tenant, before the answer was known, and one now and then"
        )
        [row] = await until(
            lambda: fleet.rows("SELECT scope, key, rule, reason FROM pauses"), "it is written"
        )
        assert (row.scope, row.key, row.rule) == ("application", "google", "oauth-application")
        assert row.reason.endswith("said: invalid_client: The client secret is expired.")
        await until(lambda: len(fleet.endpoint.requests) >= asked + 2, "it is tried again now and then")
        assert not await fleet.rows("SELECT 1 FROM mailboxes WHERE hold_reason IS NOT NULL")
        alarms = [it.getMessage() for it in caplog.records if it.levelno >= logging.ERROR]
        assert len(alarms) == 1
        assert "OAuth application google is refused" in alarms[0]

        asked = len(fleet.endpoint.requests)
        fleet.applications = right
        await fleet.mails("sent", 42)
    assert not [it for it in fleet.server.journal.of("auth") if not it.ok]
    assert len(fleet.endpoint.requests) <= asked + 8 + len(accounts)
    await fleet.adds_up()


async def test_an_endpoint_that_asks_for_patience_gets_it_and_a_revoked_mailbox_alone_is_held(
    fleet: OAuthFleet,
) -> None:
    """field-019: later 400 invalid_grant to one of them; later 503 to all."""
    await fleet.start(ONE_EACH)
    accounts = await fleet.consent(8, users=4)
    gone = accounts[3]
    fleet.endpoint.revoke(gone.address)
    fleet.endpoint.fault = always(503, "temporarily_unavailable", Retry_After="600")
    async with fleet.worker(timing=replace(PATIENT, reread_every=300.0)) as worker:
        await until(lambda: worker.report.account().reasons.get("paused: oauth-endpoint") == 8, "all wait")
        assert len(fleet.endpoint.requests) <= 4, "one a tenant, before the answer was known"
        [pause] = await until(lambda: fleet.rows("SELECT until - since AS length FROM pauses"), "the pause")
        assert 600 <= pause.length.total_seconds() <= 750, "the provider's Retry-After, and a little chance"
        fleet.endpoint.fault = None
        await until(lambda: not worker._outcomes.waiting, "every tenant's answer is written")
        await fleet.execute(
            "UPDATE pauses SET until = clock_timestamp() + interval '1 s', since = clock_timestamp()"
        )
        await fleet.mails("sent", 7)
        await until(
            lambda: worker.report.account().reasons.get("deferred: oauth-grant"), "the revoked one is held"
        )
        assert len(fleet.endpoint.requests) <= 4 + 8 + 1
        tried = [it for it in fleet.endpoint.requests if gone.address in it["refresh_token"]]
        assert len(tried) <= 2
        [row] = await until(
            lambda: fleet.rows(
                "SELECT id, hold_reason, strikes, not_before > now() + interval '1 year' AS held FROM mailboxes"
                " WHERE hold_reason IS NOT NULL"
            ),
            "in the table, too",
        )
        assert (row.id, row.strikes, row.held) == (gone.id, 1, True)
        assert row.hold_reason == (
            "oauth-grant: its refresh token is taken no more: sign in again and import the new one;"
            " google's token endpoint said: invalid_grant: Token has been expired or revoked."
        )
        [pause] = await fleet.rows("SELECT key, rule FROM pauses")
        assert (pause.key, pause.rule) == ("google", "oauth-endpoint")

        await fleet.import_(f"email,refresh_token\n{gone.address},{fleet.endpoint.consent(gone.address)}\n")
        await fleet.mails("sent", 8)
    await fleet.adds_up()


async def test_a_token_that_its_server_refuses_is_refreshed_once_and_tried_once_more(
    fleet: OAuthFleet,
) -> None:
    """field-020."""
    await fleet.start(ONE_EACH)
    [ann] = await fleet.consent(1)
    await fleet.enrol(1)
    async with fleet.process() as source:
        await source.get(ann)
    fleet.endpoint.end_access()
    async with fleet.worker():
        await fleet.mails("sent", 2)
    assert [it.ok for it in fleet.server.journal.of("auth") if it.login == ann.address] == [False, True]
    assert len(fleet.endpoint.requests) == 2
    await fleet.adds_up()


async def test_a_second_refusal_pauses_the_mailbox_with_what_the_server_said(fleet: OAuthFleet) -> None:
    """field-020."""
    await fleet.start(ONE_EACH)
    [ann] = await fleet.consent(1)
    await fleet.enrol(1)
    fleet.server.tokens = lambda login, token: None
    async with fleet.worker() as worker:
        await until(lambda: worker.report.account().reasons.get("deferred: bad-credentials"), "it is held")
        await until(
            lambda: fleet.rows("SELECT 1 FROM mailboxes WHERE hold_reason IS NOT NULL"), "in the table"
        )
    assert [it.ok for it in fleet.server.journal.of("auth") if it.login == ann.address] == [False, False]
    assert len(fleet.endpoint.requests) == 2
    [row] = await fleet.rows("SELECT hold_reason FROM mailboxes WHERE id = :id", id=ann.id)
    assert '535 5.7.8 Authentication credentials invalid (after the error {"status": "401"' in row.hold_reason
    assert "s3cret" not in row.hold_reason


async def test_an_endpoint_that_never_answers_stops_nobody_with_a_password(fleet: OAuthFleet) -> None:
    await fleet.start(EAGER.model_copy(update={"max_concurrent_sends": 8}))
    await fleet.consent(12, users=12)
    await fleet.enrol(3)
    hang = asyncio.Event()

    async def silent(_: object) -> web.Response | None:
        await hang.wait()
        return refusal(503, "")  # an answer that nobody hears any more: it rotates nothing

    fleet.endpoint.fault = silent
    async with fleet.worker(timing=replace(PATIENT, refresh=0.4)) as worker:
        await fleet.mails("sent", 9)
        await until(
            lambda: worker.report.account().reasons.get("paused: oauth-endpoint") == 12, "the others wait"
        )
        fleet.endpoint.fault = None
        hang.set()

        async def all_sent() -> bool:
            """Where even a good answer came after 0.4 s, they wait once more."""
            async with fleet.engine.begin() as connection:
                await pauses.end(connection, "application", "google")
            return (await fleet.states()).get("sent") == 45

        await until(all_sent, "45 mails sent", pause=1.0)
    await fleet.adds_up()


async def test_a_worker_that_drains_stores_what_it_was_granted(fleet: OAuthFleet) -> None:
    await fleet.start(ONE_EACH)
    [ann] = await fleet.consent(1)
    await fleet.enrol(1)
    let_go = asyncio.Event()

    async def held(_: object) -> web.Response | None:
        await let_go.wait()
        return None

    fleet.endpoint.fault = held
    async with fleet.worker() as worker:
        await until(lambda: fleet.endpoint.requests, "the provider is asked")
        worker.stop()
        await until(lambda: worker.report.draining, "it drains")
        await asyncio.sleep(PATIENT.hand_back + 0.2)  # its turn is cancelled meanwhile
        let_go.set()
    assert fleet.endpoint.live((await fleet.stored(ann.id)).refresh)


async def test_one_code_three_reasons_and_three_remedies(fleet: OAuthFleet) -> None:
    """field-017: 535 5.7.139 concerns the tenant, the tenant's security defaults, or this mailbox alone."""
    await fleet.start(ONE_EACH)
    ids = await fleet.enrol(9, users=3)
    users = {row.id: row.user_id for row in await fleet.rows("SELECT id, user_id FROM mailboxes")}
    texts = {
        users[ids[0]]: "SmtpClientAuthentication is disabled for the Tenant.",
        users[ids[1]]: "user is locked by your organization's security defaults policy.",
    }
    addresses = {row.id: row for row in await fleet.rows("SELECT id, address, user_id FROM mailboxes")}
    third = [addresses[it].address for it in ids if users[it] == users[ids[2]]]
    said = {
        row.address: texts.get(row.user_id, "basic authentication is disabled.") for row in addresses.values()
    }

    async def refused(exchange: Exchange) -> str | None:
        return f"535 5.7.139 Authentication unsuccessful, {said[exchange.login or '']}"

    fleet.server.faults[Step.LOGIN] = refused
    async with fleet.worker() as worker:

        def settled() -> bool:
            reasons = worker.report.account().reasons
            return reasons.get("deferred: basic-auth-off") == 3 and not worker._turns

        await until(settled, "every mailbox stands still")
        await until(lambda: fleet.rows("SELECT 1 FROM pauses HAVING count(*) = 2"), "the pauses in the table")
        attempts = len(fleet.server.journal.of("auth"))
        await asyncio.sleep(3 * PATIENT.heartbeat)
        assert len(fleet.server.journal.of("auth")) == attempts <= 9, "none is tried in a loop"
    pauses = {row.rule: row for row in await fleet.rows("SELECT * FROM pauses")}
    assert set(pauses) == {"smtp-auth-off-tenant", "security-defaults"}
    assert {row.scope for row in pauses.values()} == {"tenant"}
    assert {row.until for row in pauses.values()} == {None}
    assert "Set-TransportConfig" in pauses["smtp-auth-off-tenant"].reason
    assert "an administrator must except them" in pauses["security-defaults"].reason
    held = await fleet.rows(
        "SELECT address, hold_reason FROM mailboxes WHERE hold_reason LIKE 'basic-auth-off%'"
    )
    assert sorted(row.address for row in held) == sorted(third)
    assert all("give this mailbox OAuth" in row.hold_reason for row in held)


async def test_a_server_that_says_no_goodbye_is_no_error(fleet: OAuthFleet) -> None:
    """field-012: after its 250 it closes at once, without 221 and without TLS's own goodbye."""
    await fleet.start(ONE_EACH.model_copy(update={"max_concurrent_sends": 10}))
    await fleet.enrol(50)
    fleet.server.faults[Step.QUIT] = drop
    async with fleet.worker(timing=replace(PATIENT, goodbye=20.0)) as worker:
        await fleet.mails("sent", 50)
        for family in worker.metrics.registry.collect():
            for sample in family.samples:
                if sample.name in {"warmup_worker_failures_total", "warmup_worker_errors_total"}:
                    assert sample.value == 0, sample
    await fleet.adds_up()
