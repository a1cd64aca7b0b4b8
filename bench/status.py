"""``python -m bench.status``: from a change of a fleet's spec to the status that has it, with 100,000 mailboxes of 1,000 users.

A real control plane, the operator as a process with its defaults, PostgreSQL. The fleet's sizing only recommends, so no pods come
and go; each change asks for another count, and the status names that. Both moments come from the API server's audit log: when it
received the change, and when it had answered the write of the status with the change's generation.

Last line: ``status: mailboxes=N changes=N seconds=S range=S..S``; S is the median.
"""

import asyncio
import statistics
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from bench import machine, plane
from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane
from tests.integration.fleet.scene import FLEETS, Json, Scene, enrol, live
from tests.postgres.server import Postgres
from tests.waiting import until
from warmup_core import database

MAILBOXES, USERS = 100_000, 1_000
_CHANGES = 15


async def change(scene: Scene, most: int) -> None:
    """Ask for another count, and wait until the status knows."""
    spec = {"workers": {"maxMailboxesPerWorker": most}}
    generation = scene.merge(FLEETS, "warmupfleets", "main", {"spec": spec})["metadata"]["generation"]
    await until(lambda: scene.status()["observedGeneration"] == generation, "the status has it", 60)
    assert scene.status()["sizing"]["wanted"] == -(-MAILBOXES // most)


async def measure(control_plane: ControlPlane, url: str, folder: Path) -> list[float]:
    """The seconds of each change."""
    plane.prepare(control_plane, "bench", "warmup-system")
    engine = database.create_engine(database.parse_url(url), pool_size=1, statement_seconds=120)
    scene = Scene(control_plane, "bench", control_plane.kubeconfig, folder, url)
    try:
        await enrol(engine, MAILBOXES, USERS)
        await live(engine, 1)
        scene.create_secrets()
        scene.create_fleet(workers={"sizing": "Recommend"})
        await scene.start_operator(WARMUP_IDLE_SECONDS="30")
        await scene.reason("Running")
        before = len(list(_writes(control_plane)))
        for number in range(_CHANGES):
            await change(scene, 1_900 - 50 * number)
        return list(_seconds(list(_writes(control_plane))[before:]))
    finally:
        scene.stop_operator()
        await engine.dispose()


def _writes(control_plane: ControlPlane) -> Iterator[Json]:
    """Writes of the fleet and of its status."""
    for event in control_plane.audit():
        about = event.get("objectRef", {})
        if event["verb"] == "patch" and about.get("resource") == "warmupfleets":
            yield event


def _seconds(writes: list[Json]) -> Iterator[float]:
    """From each change to the last status before the next one: its first may have been on its way already."""
    changed: datetime | None = None
    told: datetime | None = None
    for event in writes:
        if event["objectRef"].get("subresource") == "status":
            told = datetime.fromisoformat(event["stageTimestamp"])
            continue
        if changed and told:
            yield (told - changed).total_seconds()
        changed, told = datetime.fromisoformat(event["requestReceivedTimestamp"]), None
    if changed and told:
        yield (told - changed).total_seconds()


def run() -> str:
    """All of it; the last line."""
    programs.ensure("etcd", "kube-apiserver", "kube-controller-manager")
    with (
        tempfile.TemporaryDirectory(prefix="warmup-bench-") as name,
        Postgres() as postgres,
        ControlPlane(Path(name) / "cluster") as control_plane,
        asyncio.Runner() as runner,
    ):
        url = runner.run(postgres.create())
        found = runner.run(measure(control_plane, url, Path(name)))
    return (
        f"status: mailboxes={MAILBOXES} changes={len(found)} seconds={statistics.median(found):.2f}"
        f" range={min(found):.2f}..{max(found):.2f}"
    )


if __name__ == "__main__":
    print(machine.description())
    print(run())
