"""Refreshing: stored before used, one at a time, and a provider's no believed only when nobody else had a yes."""

import asyncio
import os
from contextlib import suppress
from dataclasses import replace

import pytest
from aiohttp import web

from tests.authorization.endpoint import always, refusal, slow
from tests.integration.oauth.fleet import OAuthFleet
from tests.integration.worker.fleet import KEYS, PATIENT
from tests.waiting import until
from warmup_core.credentials import Undecipherable
from warmup_core.oauth import Kind
from warmup_worker.tokens import NoToken


async def test_a_token_is_cached_until_a_minute_before_its_end(fleet: OAuthFleet) -> None:
    [ann] = await fleet.consent(1)
    [consented] = fleet.endpoint.given
    async with fleet.process() as source:
        first = await source.get(ann)
        assert first.refreshed
        assert fleet.endpoint.accounts(ann.address, first.access) == ann.address
        assert await source.get(ann) is first
        assert len(fleet.endpoint.requests) == 1
        assert fleet.endpoint.requests[0] == {
            "grant_type": "refresh_token",
            "refresh_token": consented,
            "client_id": "client-1",
            "client_secret": "client-s3cret-1",
            "scope": "mail",
        }
        async with fleet.process() as another:
            adopted = await another.get(ann)
            assert (adopted.access, adopted.refreshed) == (first.access, False)
        await fleet.execute("UPDATE oauth_tokens SET access_until = clock_timestamp() + interval '59 s'")
        async with fleet.process() as another:
            assert (await another.get(ann)).refreshed
    assert len(fleet.endpoint.requests) == 2


async def test_a_rotated_refresh_token_is_stored_before_its_access_token_is_given(fleet: OAuthFleet) -> None:
    [ann] = await fleet.consent(1)
    async with fleet.process() as source:
        token = await source.get(ann)
        kept = await fleet.stored(ann.id)
        assert kept.access == token.access
        assert fleet.endpoint.live(kept.refresh)

        # The database is away between the provider's answer and the storing: nothing is used, nothing is lost.
        is_cut = asyncio.Event()

        async def cut(_: object) -> web.Response | None:
            await fleet.execute("ALTER TABLE oauth_tokens RENAME TO away")
            is_cut.set()
            return None

        fleet.endpoint.fault = cut
        source._timing = replace(PATIENT, dialogue=0.6)
        with pytest.raises(NoToken, match="no token came in time"):
            await source.get(ann, refused=token.version)
        await is_cut.wait()  # the refresh goes on by itself, however late it comes to that
        fleet.endpoint.fault = None
        await fleet.execute("ALTER TABLE away RENAME TO oauth_tokens")
        await source.finish()
    again = await fleet.stored(ann.id)
    assert again.access != token.access
    assert fleet.endpoint.live(again.refresh)
    assert len(fleet.endpoint.requests) == 2


async def test_a_turn_that_is_cancelled_does_not_lose_the_rotated_token(fleet: OAuthFleet) -> None:
    [ann] = await fleet.consent(1)
    fleet.endpoint.fault = slow(0.3)
    async with fleet.process() as source:
        turn = asyncio.create_task(source.get(ann))
        await until(lambda: fleet.endpoint.requests, "the provider is asked")
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        await source.finish()
    assert fleet.endpoint.live((await fleet.stored(ann.id)).refresh)


async def test_two_processes_refresh_one_mailbox_once(fleet: OAuthFleet) -> None:
    """field-018: an old owner and a new one during a resize, within 10 ms."""
    [ann] = await fleet.consent(1)
    fleet.endpoint.fault = slow(0.2)
    async with fleet.process() as one, fleet.process() as two, fleet.process() as three:
        tokens = await asyncio.gather(one.get(ann), two.get(ann), three.get(ann))
    assert len(fleet.endpoint.requests) == 1
    assert len({token.access for token in tokens}) == 1
    assert [token.refreshed for token in tokens].count(True) == 1


async def test_whoever_comes_late_with_a_dead_token_takes_the_one_that_was_stored(fleet: OAuthFleet) -> None:
    """field-018: its lease ran out while it was frozen; the provider refuses it; the row has what another process got."""
    [ann] = await fleet.consent(1)
    reached, let_go = asyncio.Event(), asyncio.Event()

    async def freeze_the_first(_: object) -> web.Response | None:
        if not reached.is_set():
            reached.set()
            await let_go.wait()
        return None

    fleet.endpoint.fault = freeze_the_first
    async with fleet.process() as frozen, fleet.process() as other:
        late = asyncio.create_task(frozen.get(ann))
        await reached.wait()
        await fleet.execute("UPDATE oauth_tokens SET refresh_until = clock_timestamp()")
        good = await other.get(ann)
        let_go.set()
        assert (await late).access == good.access
        assert outcome(frozen, "superseded") == 1
        assert outcome(frozen, "grant_refused") == 0
    assert fleet.endpoint.live((await fleet.stored(ann.id)).refresh)


async def test_a_grant_that_comes_after_an_import_does_not_undo_the_import(fleet: OAuthFleet) -> None:
    [ann] = await fleet.consent(1)
    fresh = fleet.endpoint.consent(ann.address)

    async def import_meanwhile(_: object) -> web.Response | None:
        fleet.endpoint.fault = None
        await fleet.import_(f"email,refresh_token\n{ann.address},{fresh}\n")
        return None

    fleet.endpoint.fault = import_meanwhile
    async with fleet.process() as source:
        token = await source.get(ann)
    assert [it["refresh_token"] for it in fleet.endpoint.requests][1] == fresh
    assert (await fleet.stored(ann.id)).access == token.access


async def test_only_an_unchanged_token_that_is_refused_is_the_mailboxs_trouble(fleet: OAuthFleet) -> None:
    [ann] = await fleet.consent(1)
    fleet.endpoint.revoke(ann.address)
    async with fleet.process() as source:
        with pytest.raises(NoToken) as caught:
            await source.get(ann)
    assert caught.value.trouble is not None
    assert caught.value.trouble.kind is Kind.GRANT_REFUSED
    assert caught.value.trouble.words == "invalid_grant: Token has been expired or revoked."
    assert await fleet.rows("SELECT 1 FROM oauth_tokens WHERE refresh_until IS NULL"), (
        "the lease is given back"
    )


async def test_a_token_stored_late_ends_the_hold_that_its_predecessor_caused(fleet: OAuthFleet) -> None:
    [ann] = await fleet.consent(1)
    await fleet.execute(
        "UPDATE mailboxes SET hold_reason = 'oauth-grant: refused', not_before = now() + interval '1 year'"
    )
    async with fleet.process() as source:
        await source.get(ann)
    [row] = await fleet.rows("SELECT hold_reason, not_before <= clock_timestamp() AS free FROM mailboxes")
    assert (row.hold_reason, row.free) == (None, True)


async def test_one_refresh_at_a_time_a_tenant_and_tenants_side_by_side(fleet: OAuthFleet) -> None:
    accounts = await fleet.consent(9, users=3)
    fleet.endpoint.fault = slow(0.05)
    async with fleet.process() as source:
        await asyncio.gather(*(source.get(it) for it in accounts if it.user_id == accounts[0].user_id))
        assert fleet.endpoint.busiest == 1
        both = asyncio.Event()

        async def meet(_: object) -> web.Response | None:
            """Answered once there were two, however late the second comes."""
            if fleet.endpoint.busiest == 2:
                both.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(both.wait(), 15)
            return None

        fleet.endpoint.fault = meet
        await asyncio.gather(*(source.get(it) for it in accounts))
        assert fleet.endpoint.busiest == 2, "two tenants that had none yet"
    assert len(fleet.endpoint.requests) == 9


async def test_an_application_in_doubt_is_tried_by_one_mailbox_at_a_time(fleet: OAuthFleet) -> None:
    accounts = await fleet.consent(6, users=6)
    fleet.endpoint.fault = always(503, "")
    async with fleet.process() as source:
        with pytest.raises(NoToken):
            await source.get(accounts[0])
        fleet.endpoint.busiest = 0
        fleet.endpoint.fault = slow(0.05)
        await asyncio.gather(*(source.get(it) for it in accounts))
        assert fleet.endpoint.busiest == 1


async def test_a_lease_that_a_dead_process_left_runs_out(fleet: OAuthFleet) -> None:
    [ann] = await fleet.consent(1)
    await fleet.execute("UPDATE oauth_tokens SET refresh_until = clock_timestamp() + interval '1 s'")
    async with fleet.process() as source:
        assert (await source.get(ann)).refreshed
        await fleet.execute(
            "UPDATE oauth_tokens SET refresh_until = now() + interval '1 hour', access_until = now()"
        )
    async with fleet.process(replace(PATIENT, refresh=0.3)) as source:
        with pytest.raises(NoToken, match="another process refreshes it"):
            await source.get(ann)


async def test_what_a_nasty_endpoint_repeats_is_taken_out_of_its_words(fleet: OAuthFleet) -> None:
    [ann] = await fleet.consent(1)

    async def parrot(form: object) -> web.Response | None:
        return refusal(400, "invalid_grant", f"you sent {form}")

    fleet.endpoint.fault = parrot
    async with fleet.process() as source:
        with pytest.raises(NoToken) as caught:
            await source.get(ann)
    assert "s3cret" not in str(caught.value)
    assert "invalid_grant: you sent" in str(caught.value)


async def test_endpoints_that_cannot_be_believed(fleet: OAuthFleet) -> None:
    [ann] = await fleet.consent(1)

    async def elsewhere(_: object) -> web.Response | None:
        return web.Response(
            status=307, headers={"Location": f"https://127.0.0.1:{fleet.endpoint.port}/other"}
        )

    async def endless(_: object) -> web.Response | None:
        return web.Response(text="x" * 100_000)

    async def silent(_: object) -> web.Response | None:
        await asyncio.sleep(60)
        return None

    hasty = replace(PATIENT, refresh=0.5)
    for timing, fault, kind, words in (
        (PATIENT, elsewhere, Kind.APPLICATION_REFUSED, "HTTP 307, which is no token endpoint's answer"),
        (PATIENT, endless, Kind.UNCLEAR, "longer than 65536 bytes"),
        (hasty, silent, Kind.UNAVAILABLE, "no answer in time"),
    ):
        fleet.endpoint.fault = fault
        async with fleet.process(timing) as source:
            with pytest.raises(NoToken, match=words) as caught:
                await source.get(ann)
            assert caught.value.trouble is not None
            assert caught.value.trouble.kind is kind
    requests = len(fleet.endpoint.requests)
    fleet.applications = {
        "google": replace(fleet.applications["google"], token_endpoint="https://127.0.0.1:1/")
    }
    async with fleet.process() as source:
        with pytest.raises(NoToken, match=r"127\.0\.0\.1:1: connection refused"):
            await source.get(ann)
    assert len(fleet.endpoint.requests) == requests


async def test_a_token_under_a_lost_key_and_an_unknown_application_are_told(fleet: OAuthFleet) -> None:
    [ann] = await fleet.consent(1)
    async with fleet.process() as source:
        fleet.applications = {"microsoft": fleet.endpoint.application("microsoft")}
        with pytest.raises(NoToken, match="no application of this name is among those given: microsoft"):
            await source.get(ann)
        await fleet.execute("UPDATE oauth_tokens SET key_id = 'lost', nonce = :n", n=os.urandom(12))
        with pytest.raises(Undecipherable, match=f"under key 'lost', the keys Secret holds .*{KEYS.active}"):
            await source.get(ann)


def outcome(source: object, name: str) -> float:
    """How often refreshes of this source ended so."""
    return float(source._outcomes.labels(name)._value.get())  # type: ignore[attr-defined]
