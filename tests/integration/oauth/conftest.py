"""A fleet whose mailboxes log in with OAuth: a token endpoint and a submission server that takes its tokens."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.authorization.endpoint import TokenEndpoint
from tests.integration.oauth.fleet import OAuthFleet
from tests.integration.worker.fleet import password_of
from tests.submission.accounts import derived
from tests.submission.authority import Authority
from tests.submission.server import Submission


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    async with TokenEndpoint(Authority()) as running:
        yield running


@pytest.fixture
async def fleet(
    engine: AsyncEngine, database_url: str, endpoint: TokenEndpoint, tmp_path: Path
) -> AsyncIterator[OAuthFleet]:
    async with Submission(
        derived(password_of), authority=endpoint.authority, tokens=endpoint.accounts
    ) as server:
        ca_file = tmp_path / "ca.crt"
        ca_file.write_bytes(server.authority.pem)
        yield OAuthFleet(engine, database_url, server, ca_file, endpoint)
