"""When a fleet has come to rest, and what stands then without the numbers that count changes.

For comparing a fleet with itself after a detour: epoch, generations and versions have risen by then, all else must be as it was.
"""

import asyncio
from typing import Any

from tests.integration.fleet.lives import FLEETS, STATEFUL_SETS, Life, Snapshot, World
from tests.waiting import until

_REPLICAS = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
_COUNTERS = {"generation", "observedGeneration", "epoch", "settings_version"}


async def at_rest(world: World, life: Life, replicas: int) -> Snapshot:
    """What stands once so many workers are what the fleet has and wants, and nothing moves any more."""

    async def settled() -> bool:
        fleet = await world.client.get(life.path(*FLEETS, "main"))
        status = fleet.get("status", {})
        reasons = {condition["type"]: condition["reason"] for condition in status.get("conditions", [])}
        if not (
            status.get("observedGeneration") == fleet["metadata"]["generation"]
            and status["workers"]["summary"] == f"{replicas}/{replicas}"
            and status["workers"]["ready"] == status["workers"]["replicas"] == replicas
            and reasons["Ready"] in {"Running", "Paused"}
            and (reasons["Resizing"], reasons["Degraded"]) == ("Settled", "Healthy")
        ):
            return False
        # The operator has done its part. The controllers may not even have seen what it asked for.
        found = await world.client.get(life.path(*STATEFUL_SETS, "main"))
        pods = found["status"]
        return bool(
            pods["observedGeneration"] == found["metadata"]["generation"]
            and pods["currentRevision"] == pods["updateRevision"]
            and {pods.get(kind, 0) for kind in _REPLICAS} == {replicas}
        )

    last: Snapshot = {}
    for _ in range(100):
        await until(settled, f"{replicas} workers are all there is")
        now = {part: _uncounted(value) for part, value in (await life.snapshot()).items()}
        if now == last:
            return now
        last = now
        await asyncio.sleep(0.7)
    raise AssertionError("it never came to rest")


def _uncounted(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _uncounted(inner) for key, inner in part.items() if key not in _COUNTERS}
    return [_uncounted(inner) for inner in part] if isinstance(part, list) else part
