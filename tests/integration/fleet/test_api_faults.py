"""Whatever the API server does to its operator, or the way to it: the whole life of a fleet ends as if nothing had happened.

One life for each fault, several at once, since most of their time is waiting; each proves that its fault was met. That nothing
is done twice shows in the epoch, which rises by one with every flip, and in the objects' generations.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from tests.cluster.proxy import Request
from tests.cluster.proxy_faults import (
    OldView,
    Struck,
    Watches,
    answer,
    cut,
    delay,
    silence,
    taken_then,
    too_old,
)
from tests.integration.fleet.lives import Life, Reference, Snapshot, Stage, World
from tests.waiting import until

AT_ONCE = 9

_NEVER = "3600"
"""Seconds that no life lasts: switches off what would find a change in another way than the one that a life is about."""


class Met(Protocol):
    """Something that counts how often it struck."""

    struck: int


Fault = Callable[[Life, dict[str, Snapshot]], Awaitable[Met]]


def written(request: Request) -> bool:
    return request.write


def read(request: Request) -> bool:
    return not request.write and not request.watch and "/namespaces/" in request.path


def watched(request: Request) -> bool:
    return request.watch


def fleets_watched(request: Request) -> bool:
    return request.watch and request.resource == "warmupfleets"


def fleet_read(request: Request) -> bool:
    return read(request) and request.path.endswith("/warmupfleets/main")


async def throughout(life: Life, like: dict[str, Snapshot], fault: Struck) -> Met:
    """One fault from the first day to the last."""
    life.proxy.faults.append(fault)
    life.start_operator()
    await life.live(like)
    return fault


async def old_view(life: Life, like: dict[str, Snapshot]) -> Met:
    """F2: after each deed the API server answers for a look or more as it did before."""
    view = OldView()
    life.proxy.faults.append(view)
    life.start_operator(WARMUP_IDLE_SECONDS="1")

    async def before(stage: Stage) -> None:
        view.replaying = stage.name != "create"

    async def after(stage: Stage) -> None:
        struck = view.struck
        if view.replaying:
            await until(lambda: view.struck >= struck + 10, "more than a look at the old view")
        view.replaying = False

    await life.live(like, before, after)
    return view


async def unknown(life: Life, like: dict[str, Snapshot]) -> Met:
    """F2: for one answer the API server has never heard of the fleet, which runs."""
    fault = Struck(answer(404), fleet_read, most=1)

    async def before(stage: Stage) -> None:
        if stage.name == "grow":
            life.proxy.faults.append(fault)

    life.start_operator()
    await life.live(like, before)
    return fault


async def lost_events(life: Life, like: dict[str, Snapshot]) -> Met:
    """F3: the watch does not tell of any deed; the list does."""
    watches = Watches(fleets_watched)
    life.proxy.event_faults.append(watches)

    async def before(stage: Stage) -> None:
        watches.lose()

    life.start_operator(WARMUP_LIST_SECONDS="2", WARMUP_IDLE_SECONDS=_NEVER)
    await life.live(like, before)
    assert watches.struck == len(like)
    return watches


async def silent_watch(life: Life, like: dict[str, Snapshot]) -> Met:
    """F4: the watches open at each deed stay open and bring nothing; they are opened anew."""
    watches = Watches(watched)
    life.proxy.event_faults.append(watches)

    async def before(stage: Stage) -> None:
        watches.silence()

    life.start_operator(WARMUP_SILENCE_SECONDS="3", WARMUP_LIST_SECONDS=_NEVER, WARMUP_IDLE_SECONDS=_NEVER)
    await life.live(like, before)
    return watches


async def gone(life: Life, like: dict[str, Snapshot]) -> Met:
    """F5: each deed happens while the watch is broken off, and its version is too old when it comes again."""
    fault = Struck(too_old, fleets_watched, most=0)
    life.proxy.faults.append(fault)

    async def before(stage: Stage) -> None:
        fault.more()
        life.proxy.reset_watches()

    life.start_operator(WARMUP_LIST_SECONDS=_NEVER, WARMUP_IDLE_SECONDS=_NEVER)
    await life.live(like, before)
    return fault


async def no_watch(life: Life, like: dict[str, Snapshot]) -> Met:
    """field-027: every watch is reset for a while, and meanwhile the fleet is to grow; the watch alone must find out."""
    fault = Struck(cut, watched)

    async def before(stage: Stage) -> None:
        if stage.name == "grow":
            life.proxy.faults.append(fault)
            life.proxy.reset_watches()

    async def after(stage: Stage) -> None:
        if stage.name == "grow":
            await until(lambda: fault.struck >= 8, "watches were reset again and again")
            life.proxy.faults.remove(fault)

    life.start_operator(WARMUP_LIST_SECONDS=_NEVER, WARMUP_IDLE_SECONDS=_NEVER)
    await life.live(like, before, after)
    return fault


async def broken_watch(life: Life, like: dict[str, Snapshot]) -> Met:
    """The watch ends with an error that is no 410: the process ends, and whoever restarts it has lost nothing."""
    watches = Watches(fleets_watched)
    life.proxy.event_faults.append(watches)

    async def after(stage: Stage) -> None:
        if stage.name == "grow":
            [operator] = life.operators
            await until(lambda: not operator.is_alive(), "the operator ends")
            assert operator.exitcode not in {None, 0}
            life.operators.clear()
            life.start_operator()

    async def before(stage: Stage) -> None:
        if stage.name == "grow":
            watches.error(500)

    life.start_operator()
    await life.live(like, before, after)
    return watches


async def two_operators(life: Life, like: dict[str, Snapshot]) -> Met:
    """F7: two at once, and once a stage is settled neither writes anything."""
    looks = Struck(delay(0), lambda it: read(it) and it.path.endswith("/poddisruptionbudgets/main-workers"))
    life.proxy.faults.append(looks)

    async def before(stage: Stage) -> None:
        if stage.name == "create":
            return
        # One that a busy machine held up may come with a look of before, so the first calm is not yet due.
        for _ in range(4):
            seen, writes = looks.struck, len(life.proxy.writes)
            await until(lambda seen=seen: looks.struck >= seen + 6, "both have looked again")  # type: ignore[misc]
            if len(life.proxy.writes) == writes:
                return
        raise AssertionError(f"they go on writing: {life.proxy.writes[writes:]}")

    life.start_operator(WARMUP_IDLE_SECONDS="1")
    life.start_operator(WARMUP_IDLE_SECONDS="1")
    await life.live(like, before)
    return looks


async def away(life: Life, like: dict[str, Snapshot]) -> Met:
    """F8: the operator is dead at each deed and finds it when it starts. (Of a deletion it cannot know: see test_by_hand.)"""
    deaths = Struck(delay(0), lambda _: False)

    async def before(stage: Stage) -> None:
        if stage.name != "delete":
            life.kill_operators()
            deaths.struck += 1

    async def after(stage: Stage) -> None:
        if stage.name != "delete":
            life.start_operator()

    await life.live(like, before, after)
    return deaths


FAULTS: dict[str, Fault] = {
    "F2 an old view": old_view,
    "F2 a fleet unknown": unknown,
    "F3 a lost event": lost_events,
    "F4 a silent watch": silent_watch,
    "F5 410 Gone": gone,
    "F7 two operators": two_operators,
    "F8 away at each deed": away,
    "F9 409": partial(throughout, fault=Struck(answer(409), written, every=4)),
    "F9 429": partial(throughout, fault=Struck(answer(429, retry_after=1), written, every=4)),
    "F9 500": partial(throughout, fault=Struck(answer(500), written, every=4)),
    "F9 500 although it was taken": partial(
        throughout, fault=Struck(taken_then(answer(500)), written, every=4)
    ),
    "F9 reset although it was taken": partial(throughout, fault=Struck(taken_then(cut), written, every=4)),
    "F9 no answer to a write": partial(
        throughout, fault=Struck(taken_then(silence), written, every=9, most=2)
    ),
    "F9 no answer to a read": partial(throughout, fault=Struck(silence, read, every=40, most=2)),
    "F9 reads refused": partial(throughout, fault=Struck(answer(500), read, every=13)),
    "F9 watches refused": partial(throughout, fault=Struck(answer(500), watched, every=2)),
    "all is slow": partial(throughout, fault=Struck(delay(0.3), lambda _: True)),
    "field-027 no watch": no_watch,
    "a broken watch": broken_watch,
}


async def test_every_fault_ends_as_if_nothing_had_happened(world: World, reference: Reference) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(fault: Fault) -> None:
        async with room, Life(world) as life:
            assert (await fault(life, reference.stands)).struck, "the fault was never met"

    ends = await asyncio.gather(*map(one, FAULTS.values()), return_exceptions=True)
    wrong = [f"{name}: {end!r}" for name, end in zip(FAULTS, ends, strict=True) if end is not None]
    assert not wrong, "\n".join(wrong).replace("\\n", "\n")
