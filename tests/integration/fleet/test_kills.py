"""An operator that dies after any of its writes: the next one goes on, and everything ends as if nothing had happened.

A life without a fault says how many writes each stage takes and what stands after it. Then the operator is killed after each of
these writes, when the API server has taken it and before it can know: one death in each stage of a life, and as many lives as the
longest stage has writes. What stands after a stage is what stood without a fault, to the last number, so the deaths of one stage
are nothing to the next. Every write in the whole suite, every fourth where WARMUP_QUICK is set. Where a write follows one in the
database (the first of a life, and the event that tells of a flip) the operator is also killed before the API server sees it.
"""

import asyncio
import os
from dataclasses import dataclass
from itertools import zip_longest

from tests.cluster.proxy import Cut, Exchange, Reply, Request
from tests.integration.fleet.lives import LIFE, Life, Reference, Snapshot, Stage, World

AT_ONCE = 5


@dataclass(frozen=True)
class Death:
    """At which write of which stage the operator is killed; ``taken``: after the API server has taken it."""

    stage: str
    write: int
    taken: bool


class Deaths:
    """SIGKILL to the operator at the writes given, at most one a stage; each time another one is started."""

    def __init__(self, life: Life, deaths: list[Death]) -> None:
        self._life, self._deaths = life, {death.stage: death for death in deaths}
        self._next: Death | None = None
        self._before = 0
        self.struck = 0

    async def begin(self, stage: Stage) -> None:
        """Another stage: its writes are counted from here."""
        self._next, self._before = self._deaths.get(stage.name), len(self._life.proxy.writes)

    async def __call__(self, exchange: Exchange) -> Reply | None:
        death = self._next
        written = len(self._life.proxy.writes) - self._before
        if death is None or not exchange.request.write or written < death.write:
            return None
        self._next = None
        self.struck += 1
        self._life.looked.clear()  # before the API server has it, lest the user be quicker than the kill
        if death.taken:
            await exchange.taken()
        self._life.kill_operators()
        self._life.start_operator()
        raise Cut


def deaths_of(stage: Stage, writes: list[Request]) -> list[Death]:
    """All deaths of a stage that took these writes."""
    numbered = list(enumerate(writes, 1))
    unseen = [k for k, write in numbered if (stage is LIFE[0] and k == 1) or _tells_of_a_flip(write)]
    return [Death(stage.name, k, True) for k, _ in numbered] + [Death(stage.name, k, False) for k in unseen]


async def killed(world: World, like: dict[str, Snapshot], deaths: list[Death]) -> int:
    """A life with these deaths; how many came to pass."""
    async with Life(world) as life:
        fault = Deaths(life, deaths)
        life.proxy.faults.append(fault)
        life.start_operator()
        await life.live(like, fault.begin)
        return fault.struck


async def test_an_operator_that_dies_at_any_write_leaves_nothing_that_the_next_does_not_finish(
    world: World, reference: Reference
) -> None:
    assert sum(map(len, reference.writes.values())) >= 20
    step = 4 if os.environ.get("WARMUP_QUICK") else 1
    stages = [deaths_of(stage, reference.writes[stage.name])[::step] for stage in LIFE]
    lives = [[death for death in deaths if death] for deaths in zip_longest(*stages)]
    room = asyncio.Semaphore(AT_ONCE)

    async def one(deaths: list[Death]) -> int:
        async with room:
            return await killed(world, reference.stands, deaths)

    ends = await asyncio.gather(*map(one, lives), return_exceptions=True)
    wrong = [
        f"{deaths}: {end}" for deaths, end in zip(lives, ends, strict=True) if isinstance(end, BaseException)
    ]
    assert not wrong, "\n".join(wrong)
    # How often a status is written depends on when the pods get ready and on what a look comes too late to see, so the last
    # writes of a stage may not have been reached: a third of all, where the life without a fault was a slow one.
    assert sum(end for end in ends if isinstance(end, int)) >= 0.5 * sum(map(len, lives))


def _tells_of_a_flip(write: Request) -> bool:
    return write.path.endswith("/events") and write.manifest["reason"] == "Resized"
