"""An image that cannot be pulled, and back: the status names the pod, one worker at a time is missing, nobody deletes a pod."""

import asyncio

from tests.integration.fleet.lives import FLEETS, SPEC, STATEFUL_SETS, Json, Life, World, difference
from tests.integration.fleet.rest import at_rest
from tests.waiting import cancelled, until

WORKERS = 3
BROKEN = "example.org/worker:no-such-tag"


async def test_a_fleet_recovers_from_a_broken_image_when_the_spec_is_put_right(world: World) -> None:
    """field-030."""
    right: Json = SPEC | {"workers": {"replicas": WORKERS}}
    ready: list[int] = []
    world.crew.cannot_pull(BROKEN)
    async with Life(world) as life:

        async def count() -> None:
            while True:
                found = await world.client.get(life.path(*STATEFUL_SETS, "main"))
                ready.append(found["status"].get("readyReplicas", 0))
                await asyncio.sleep(0.2)

        async def told() -> bool:
            fleet = await world.client.get(life.path(*FLEETS, "main"))
            said = " ".join(condition["message"] for condition in fleet["status"]["conditions"])
            return f"Pod main-{WORKERS}: ErrImagePull" in said and BROKEN in said

        life.start_operator()
        await life.create(right)
        before = await at_rest(world, life, WORKERS)
        counting = asyncio.create_task(count())
        await life.replace(SPEC | {"workers": {"replicas": WORKERS, "image": BROKEN}})
        await until(told, "a condition names the pod and why")
        broken = await life.snapshot()
        assert (broken["row"][0]["worker_count"], broken["row"][0]["epoch"]) == (WORKERS, 2)
        await until(lambda: min(ready, default=WORKERS) < WORKERS, "the count has seen it")
        await life.replace(right)
        after = await at_rest(world, life, WORKERS)
        await cancelled(counting)
    assert after == before, difference(before, after)
    assert min(ready) == WORKERS - 1
