"""What every test may ask for: a real PostgreSQL, a database of its own, a count of what ran at the end."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.postgres.server import Postgres
from warmup_core import database

# A busy machine is slow, not wrong: no test fails for the time that an example took.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole run."""
    with Postgres() as server:
        yield server


@pytest.fixture
async def database_url(postgres: Postgres) -> str:
    """A database of this test's own, with the schema and no fleet."""
    return await postgres.create()


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on this test's database."""
    made = database.create_engine(database.parse_url(database_url), pool_size=5, statement_seconds=30)
    yield made
    await made.dispose()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what ran, folder by folder."""
    ran: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            folder = str(Path(report.nodeid.split("::")[0]).parent)
            ran[folder] += 1
            seconds[folder] += report.duration
    for folder in sorted(ran):
        terminalreporter.write_line(f"ran {ran[folder]:5} tests in {seconds[folder]:6.1f} s  {folder}")
