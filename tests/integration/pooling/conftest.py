"""The worker's small fleet behind a real PgBouncer in transaction mode."""

from collections.abc import Iterator

import pytest

from tests.integration.worker.conftest import fleet, submission, worker_database
from tests.integration.worker.fleet import Fleet
from tests.postgres.pgbouncer import PgBouncer
from tests.postgres.server import Postgres

__all__ = ["fleet", "submission", "worker_database"]


@pytest.fixture(scope="session")
def pgbouncer(postgres: Postgres) -> Iterator[PgBouncer]:
    """One pooler for the run, with fewer connections than two workers would open."""
    with PgBouncer(postgres, pool_size=3) as running:
        yield running


@pytest.fixture
def pooled(fleet: Fleet, pgbouncer: PgBouncer) -> Fleet:
    """The fleet whose workers go through the pooler; the test itself looks at the database directly."""
    fleet.url = pgbouncer.url(fleet.url)
    return fleet
