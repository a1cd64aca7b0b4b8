"""A fleet of this test's own, with a submission server on this event loop."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.worker.fleet import Fleet, as_database, password_of
from tests.submission.accounts import derived
from tests.submission.server import Submission
from warmup_worker.connection import Database


@pytest.fixture
async def submission() -> AsyncIterator[Submission]:
    async with Submission(derived(password_of)) as server:
        yield server


@pytest.fixture
def fleet(engine: AsyncEngine, database_url: str, submission: Submission, tmp_path: Path) -> Fleet:
    ca_file = tmp_path / "ca.crt"
    ca_file.write_bytes(submission.authority.pem)
    return Fleet(engine, database_url, submission, ca_file)


@pytest.fixture
async def worker_database(database_url: str) -> AsyncIterator[Database]:
    made = as_database(database_url)
    yield made
    await made.close()
