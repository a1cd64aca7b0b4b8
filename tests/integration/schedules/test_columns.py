"""Workers without Kubernetes, started with each column of the scheme's table: the fleet is what their variables say."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.worker.fleet import Fleet
from tests.integration.worker.process import Process, environment, started
from tests.unit.worker.test_scheme import FIFTY, HUNDRED, ONE
from tests.waiting import until
from warmup_core import fleet as rows
from warmup_core.fleet import PROCESSES
from warmup_core.settings import FleetSettings

INTERVAL: dict[str, Any] = {"pacing_mode": "Interval"}
IN_FORCE: dict[str, dict[str, Any]] = {
    "one": INTERVAL
    | {
        "interval_ms": 900_000,
        "interval_batch": 100,
        "max_concurrent_sends": 20,
        "batch_delay_ms": 5_000,
        "stagger_min_ms": 0,
        "stagger_max_ms": 0,
        "per_minute_limit": 200,
        "per_hour_limit": 10_000,
    },
    "hundred": INTERVAL
    | {
        "interval_ms": 600_000,
        "interval_batch": 200,
        "max_concurrent_sends": 50,
        "batch_delay_ms": 2_000,
        "stagger_min_ms": 500,
        "stagger_max_ms": 2_000,
        "cooldown_min_ms": 120_000,
        "cooldown_max_ms": 300_000,
        "per_minute_limit": 2_500,
        "per_hour_limit": 150_000,
        "per_worker_per_hour_limit": 1_500,
    },
    "fifty": INTERVAL
    | {
        "interval_ms": 480_000,
        "interval_batch": 500,
        "max_concurrent_sends": 100,
        "batch_delay_ms": 1_000,
        "stagger_min_ms": 100,
        "stagger_max_ms": 1_000,
        "cooldown_min_ms": 60_000,
        "cooldown_max_ms": 180_000,
        "per_minute_limit": 3_500,
        "per_hour_limit": 200_000,
        "per_worker_per_hour_limit": None,
    },
}


@pytest.mark.parametrize(
    ("name", "column", "workers"), [("one", ONE, 1), ("hundred", HUNDRED, 2), ("fifty", FIFTY, 2)]
)
async def test_a_column_of_the_table_with_fewer_workers(
    fleet: Fleet, tmp_path: Path, name: str, column: dict[str, str], workers: int
) -> None:
    await fleet.enrol(4)
    variables = {**column, "WARMUP_WORKER_COUNT": str(workers)}
    with ExitStack() as running:
        processes = []
        for number in range(1, workers + 1):
            mine = environment(
                fleet, number, **{**variables, "WARMUP_WORKER_ID": str(number)}, WARMUP_BATCH_SIZES="7"
            )
            processes.append(running.enter_context(started(mine, tmp_path / f"{number}.log")))

        async def flipped() -> bool:
            return bool(await fleet.rows("SELECT 1 FROM fleet WHERE worker_count = :n", n=workers))

        await until(flipped, "all are live")
        async with fleet.engine.begin() as connection:
            row = await rows.read(connection)
        assert row is not None
        assert row.owner == PROCESSES
        assert row.settings.model_dump() == FleetSettings().model_dump() | IN_FORCE[name]
        for number, process in enumerate(processes, start=1):
            answer = await until(partial(metrics, process, "warmup_ready"), "it is ready")
            assert (answer["warmup_worker"], answer["warmup_workers"]) == (number, workers)
            assert "WARMUP_BATCH_SIZES is set but not read. Is WARMUP_BATCH_SIZE meant?" in process.text()
        if workers > 1:
            processes[-1].may_end = True  # its number is taken over
            await counts_that_differ(fleet, tmp_path, variables, workers)


async def counts_that_differ(fleet: Fleet, folder: Path, variables: dict[str, str], workers: int) -> None:
    """Another count is a reason not to be ready and no proposal; without a count a worker takes what the row says."""
    other = environment(
        fleet, workers, **{**variables, "WARMUP_WORKER_COUNT": "9", "WARMUP_WORKER_ID": str(workers)}
    )
    with started(other, folder / "other.log") as stray:
        sentence = await until(partial(not_ready, stray), "both counts")
        assert "WARMUP_WORKER_COUNT is 9 here" in sentence
        assert str(workers) in sentence
    silent = environment(fleet, workers, WARMUP_DISTRIBUTED_MODE="true")
    with started(silent, folder / "silent.log") as follower:
        answer = await until(partial(metrics, follower, "warmup_ready"), "it follows the row")
        assert answer["warmup_workers"] == workers
    assert await fleet.rows("SELECT 1 FROM fleet WHERE worker_count = :n AND epoch = 2", n=workers)


async def metrics(process: Process, key: str) -> dict[str, object] | None:
    """What /api/warmup/metrics answers, once ``key`` is true."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{await process.address()}/api/warmup/metrics") as answer,
    ):
        figures: dict[str, object] = await answer.json()
    return figures if figures[key] else None


async def not_ready(process: Process) -> str | None:
    """The sentence of /readyz where it speaks of counts."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{await process.address()}/readyz") as answer,
    ):
        text = await answer.text()
    return text if answer.status == 503 and "WARMUP_WORKER_COUNT" in text else None
