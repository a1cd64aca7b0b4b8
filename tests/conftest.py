"""What every test may ask for: a real PostgreSQL, a database of its own, a count of what ran at the end."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.postgres.judge import judge
from tests.postgres.server import Postgres

WITH_NODE = ("tests/end_to_end/", "tests/integration/cluster/test_node.py")

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
    made = judge(database_url, pool_size=5)
    yield made
    await made.dispose()


class NodesInTurn(LoadScopeScheduling):  # type: ignore[misc]
    """Each process takes one test after the other; what needs a node stays in one of them: two nodes are too much for a machine.

    Each process has a PostgreSQL and, where its tests ask for one, a control plane of its own. Marks would be the way to say
    this, but pytest-xdist 3.8 hands them on in a field that pytest 9 has no more.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "node" if nodeid.startswith(WITH_NODE) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> NodesInTurn:
    """The scheduler of ``make test``."""
    return NodesInTurn(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that needs a node and stands where the scheduler does not look for one."""
    stray = {
        it.nodeid for it in items if it.get_closest_marker("node") and not it.nodeid.startswith(WITH_NODE)
    }
    if stray:
        raise pytest.UsageError(
            f"WITH_NODE of tests/conftest.py does not name the place of {', '.join(stray)}"
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what ran, folder by folder, whatever process it ran in."""
    ran: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    for outcome in ("passed", "failed", "error", ""):  # the last: what was set up and taken down again
        for report in terminalreporter.getreports(outcome):
            if not isinstance(report, pytest.TestReport):
                continue  # a file that could not be read
            folder = str(Path(report.nodeid.split("::")[0]).parent)
            ran[folder] += bool(outcome)
            seconds[folder] += report.duration
    for folder in sorted(ran):
        terminalreporter.write_line(f"ran {ran[folder]:5} tests in {seconds[folder]:6.1f} s  {folder}")
    terminalreporter.write_line(f"ran {ran.total():5} tests in {sum(seconds.values()):6.1f} s  in all")
