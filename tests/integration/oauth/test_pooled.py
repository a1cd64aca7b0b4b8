"""Tokens through PgBouncer in transaction mode: the lease is a row's, not a session's."""

import asyncio

from tests.authorization.endpoint import slow
from tests.integration.oauth.fleet import OAuthFleet
from tests.integration.pooling.conftest import pgbouncer
from tests.postgres.pgbouncer import PgBouncer

__all__ = ["pgbouncer"]


async def test_two_processes_refresh_one_mailbox_once_through_the_pooler(
    fleet: OAuthFleet, pgbouncer: PgBouncer
) -> None:
    accounts = await fleet.consent(6, users=3)
    fleet.url = pgbouncer.url(fleet.url)
    fleet.endpoint.fault = slow(0.1)
    async with fleet.process() as one, fleet.process() as two:
        tokens = await asyncio.gather(*(it.get(account) for account in accounts for it in (one, two)))
        assert len(fleet.endpoint.requests) == 6
        assert len({token.access for token in tokens}) == 6
        again = await asyncio.gather(*(it.get(accounts[0], refused=tokens[0].version) for it in (one, two)))
    assert len({token.access for token in again}) == 1
    assert len(fleet.endpoint.requests) == 7
