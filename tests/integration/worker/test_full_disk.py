"""F29: the database's disk is full. Nothing is sent without its intent; with space again everything goes on by itself."""

import asyncio
import contextlib
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.worker.fleet import EAGER, Fleet
from tests.postgres.judge import judge
from tests.postgres.server import Postgres
from tests.submission.server import Submission
from tests.waiting import until


@pytest.fixture(scope="module")
def small_disk() -> Iterator[Path]:
    """A file system of its own, just large enough for a server and a small fleet."""
    if os.geteuid() != 0:
        pytest.skip("a small file system is mounted, which only root may do")
    path = Path(tempfile.mkdtemp(prefix="warmup-small-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m,mode=755", "tmpfs", path], check=True)
    path.chmod(0o755)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)
    path.rmdir()


def fill(path: Path) -> None:
    """Write until not a byte is left; again, where the server has given back something since."""
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while file.write(bytes(1 << 20)):
            pass


@pytest.fixture
async def cramped(small_disk: Path, submission: Submission, tmp_path: Path) -> AsyncIterator[Fleet]:
    with Postgres(
        small_disk, ["fsync=off", "max_connections=20", "wal_recycle=off", "min_wal_size=32MB"]
    ) as server:
        url = await server.create()
        engine: AsyncEngine = judge(url)
        ca_file = tmp_path / "ca.crt"
        ca_file.write_bytes(submission.authority.pem)
        yield Fleet(engine, url, submission, ca_file)
        await engine.dispose()


async def test_on_a_full_disk_no_mail_goes_out_without_its_intent_and_all_goes_on_with_space(
    cramped: Fleet, small_disk: Path
) -> None:
    """Here and there a page has room, so a claim may still come through. What goes out stands in the ledger all the same."""
    fleet, filler = cramped, small_disk / "filler"
    await fleet.start(EAGER.model_copy(update={"emails_per_mailbox_per_day": 20}))
    await fleet.enrol(10)
    async with fleet.worker() as worker:
        await fleet.mails("sent", 10)

        def told() -> bool:
            fill(filler)
            return "No space left" in worker.report.readiness().reason

        await until(told, "it says so")
        await asyncio.sleep(1.0)
        assert worker.report.dead() is None
        await fleet.adds_up()
        filler.unlink()
        await until(lambda: worker.report.readiness().ready, "ready again")
        await fleet.mails("sent", 200)
    await fleet.adds_up()
