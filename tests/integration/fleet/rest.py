"""When a fleet has come to rest, and what stands then without the numbers that count changes.

For comparing a fleet with itself after a detour: epoch, generations and versions have risen by then, all else must be as it was.
"""

import asyncio
from typing import Any

from tests.integration.fleet.lives import FLEETS, Life, Snapshot, World
from tests.waiting import until

_COUNTERS = {"generation", "observedGeneration", "epoch", "settings_version"}


async def at_rest(world: World, life: Life, replicas: int) -> Snapshot:
    """What stands once so many workers are what the fleet has and wants, and nothing moves any more."""

    async def settled() -> bool:
        fleet = await world.client.get(life.path(*FLEETS, "main"))
        status = fleet.get("status", {})
        return bool(
            status.get("observedGeneration") == fleet["metadata"]["generation"]
            and status["workers"]["summary"] == f"{replicas}/{replicas}"
            and status["workers"]["ready"] == status["workers"]["replicas"] == replicas
            and {"Running", "Paused"} & {condition["reason"] for condition in status["conditions"]}
        )

    last: Snapshot = {}
    for _ in range(100):
        await until(settled, f"{replicas} workers are all there is", 60)
        now = {part: _uncounted(value) for part, value in (await life.snapshot()).items()}
        pods = now["statefulsets"]["main"]["status"]
        if now == last and pods["currentRevision"] == pods["updateRevision"]:
            return now
        last = now
        await asyncio.sleep(0.7)
    raise AssertionError("it never came to rest")


def _uncounted(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _uncounted(inner) for key, inner in part.items() if key not in _COUNTERS}
    return [_uncounted(inner) for inner in part] if isinstance(part, list) else part
