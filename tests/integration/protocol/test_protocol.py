"""The protocol through random orders of events: operators, workers, crashes, freezes, doubled numbers, flips, sweeps.

Each step is one transaction of ours on a real database, or one thing that happens to somebody; hypothesis chooses which, and
shrinks what fails to the shortest story. What must hold is in ``world``.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.integration.protocol.world import COOLDOWN, LARGEST, MAILBOXES, Held, Process, World
from tests.integration.worker.fleet import as_database
from tests.postgres.server import Postgres
from warmup_core.types import CLAIM_SECONDS, LEASE_SECONDS, STATEMENT_SECONDS
from warmup_worker.connection import Database

EVENTS = [
    event
    for event, weight in {
        "claims": 14,
        "sends": 20,
        "time passes": 14,
        "hears": 4,
        "the wish changes": 1,
        "observes": 4,
        "acts": 4,
        "acts and dies": 1,
        "sweeps": 3,
        "closes what is unknown": 2,
        "claims unheard": 2,
        "dots and waits": 2,
        "dots in vain": 2,
        "ends unheard": 2,
        "freezes after its last check": 2,
        "freezes": 1,
        "thaws": 2,
        "starts": 3,
        "goes": 1,
        "dies": 1,
    }.items()
    for _ in range(weight)
]
"""What may happen next, the usual more often: one rule a kind would have hypothesis leave out claims in most stories."""


class Machine(RuleBasedStateMachine):
    """Each step is one event, and what it asks of whom; one that nobody can do now does not happen."""

    runner: asyncio.Runner
    database: Database

    def run(self, step: Coroutine[Any, Any, Any]) -> None:
        """The step, and then the promises."""
        self.runner.run(step)
        self.runner.run(self.world.check())

    @initialize(workers=st.integers(2, LARGEST))
    def a_fleet(self, workers: int) -> None:
        self.world = World(self.database)
        self.world.wanted = workers
        self.runner.run(self.world.begin())
        for _ in range(3):
            self.runner.run(self.world.observes(1))
            self.runner.run(self.world.acts(1))
            self.runner.run(self.world.pods_run())
        for process in self.world.processes:
            self.runner.run(self.world.beats(process))  # of the flip

    @rule(
        event=st.sampled_from(EVENTS),
        which=st.integers(0, 5),
        number=st.integers(1, LARGEST),
        seconds=st.sampled_from([1, 5, 21, 59, 61, 71, 95, 130, 700]),
    )
    def happens(self, event: str, which: int, number: int, seconds: int) -> None:
        """``which``: of those that can, whoever they are by now."""
        world = self.world
        match event:
            case "time passes":
                self.run(world.time_passes(seconds))
                for process in world.processes:
                    if not process.frozen:  # they do it all the time
                        self.run(world.beats(process))
                return self.run(world.sweeps())
            case "sweeps":
                return self.run(world.sweeps())
            case "the wish changes":
                world.wanted = which % (LARGEST + 1)
            case "observes":
                return self.run(world.observes(number))
            case "acts" | "acts and dies":
                return self.run(world.acts(number, survives=event == "acts"))
            case "starts" if len(world.processes) < 6:
                return self.run(world.starts(number))
            case "thaws" if frozen := [it for it in world.processes if it.frozen]:
                frozen[which % len(frozen)].frozen = False
        if awake := [it for it in world.processes if not it.frozen]:
            self._does(awake[which % len(awake)], event)

    def _does(self, process: Process, event: str) -> None:
        world = self.world
        match event:
            case "claims" | "claims unheard":
                return self.run(world.claims(process, heard=event == "claims"))
            case "hears":
                return self.run(world.beats(process))
            case "closes what is unknown":
                return self.run(world.closes_unknown(process))
            case "goes":
                return self.run(world.goes(process))
            case "dies":
                return world.dies(process)
            case "freezes":
                process.frozen = True
        if process.held:
            self._goes_on(process, next(iter(process.held.values())), event)

    def _goes_on(self, process: Process, held: Held, event: str) -> None:
        """With the mail it has had longest: the last check, the dot, the reply; too old, it is handed back."""
        world = self.world
        if event in {"sends", "ends unheard", "dots and waits", "dots in vain"}:
            if held.dotted is None and world.checks(held):
                world.dots(held, arrives=event != "dots in vain")
            if event in {"sends", "ends unheard"}:
                self.run(world.ends(process, held, heard=event == "sends"))
        elif event == "freezes after its last check" and world.checks(held):
            process.frozen = held.froze = True

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.runner.run(self.world.settle_down())


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A fleet of one worker that owns everything."""
    database = as_database(database_url)
    made = World(database)
    await made.begin()
    for _ in range(3):
        await made.observes(1)
        await made.acts(1)
        await made.pods_run()
    await made.beats(made.processes[0])
    yield made
    await made.check()
    await made.settle_down()
    await database.close()


async def send(world: World, process: Process) -> None:
    """Whatever it holds, as far as it is young."""
    for held in list(process.held.values()):
        if world.checks(held):
            world.dots(held, arrives=True)
        await world.ends(process, held)


async def test_the_older_of_two_processes_of_a_number_claims_nothing(world: World) -> None:
    [older] = world.processes
    newer = await world.starts(1)
    await world.claims(older)
    assert (older.held, older.lease.replaced.is_set()) == ({}, True)
    await world.claims(newer)
    assert len(newer.held) == MAILBOXES


async def test_frozen_an_hour_after_its_claim_it_hands_back_what_was_swept(world: World) -> None:
    [frozen] = world.processes
    await world.claims(frozen)
    await world.time_passes(LEASE_SECONDS + 1)
    newer = await world.starts(1)
    await world.sweeps()
    await world.claims(newer)
    assert newer.held == {}, "too young to be swept"
    await world.time_passes(3600)
    await world.sweeps()
    await world.beats(newer)
    await world.claims(newer)
    assert len(newer.held) == MAILBOXES
    await send(world, newer)
    await send(world, frozen)
    assert len(world.accepted) == MAILBOXES
    assert await world.states() == {"sent": MAILBOXES, "failed": MAILBOXES}


async def test_frozen_between_the_last_check_and_the_dot_a_mail_is_late_and_not_twice(world: World) -> None:
    [frozen] = world.processes
    await world.claims(frozen)
    late = frozen.held[1]
    assert world.checks(late)
    late.froze = True
    await world.time_passes(3600)
    newer = await world.starts(1)
    await world.sweeps()
    await world.claims(newer)
    await send(world, newer)
    world.dots(late, arrives=True)
    await world.ends(frozen, late)
    await send(world, frozen)
    assert len(world.accepted) == MAILBOXES + 1
    assert await world.states() == {"sent": MAILBOXES + 1, "failed": MAILBOXES - 1}


async def test_a_reply_that_was_lost_lets_the_mailbox_rest_from_its_latest_dot(world: World) -> None:
    """Not from when it was written, which the ledger has not heard: from the end of the claim's life."""
    [process] = world.processes
    await world.claims(process)
    await world.time_passes(CLAIM_SECONDS - 20)
    await world.beats(process)
    for held in list(process.held.values()):
        assert world.checks(held)
        world.dots(held, arrives=True)
        await world.ends(process, held, heard=False)
    await world.time_passes(COOLDOWN + 5)
    await world.beats(process)
    await world.claims(process)
    assert process.held == {}, "fifteen seconds are left"
    await world.time_passes(15)
    await world.claims(process)
    assert len(process.held) == MAILBOXES


async def test_a_claim_whose_commit_nobody_heard_of_is_closed_by_its_process(world: World) -> None:
    [process] = world.processes
    await world.claims(process, heard=False)
    await world.closes_unknown(process)
    assert await world.states() == {"intent": MAILBOXES}
    await world.time_passes(CLAIM_SECONDS + STATEMENT_SECONDS + 1)
    await world.closes_unknown(process)
    assert await world.states() == {"failed": MAILBOXES}


async def test_a_claim_that_raced_a_flip_ends_under_the_worker_that_began_it(world: World) -> None:
    [first] = world.processes
    await world.claims(first)
    world.wanted = 2
    for _ in range(2):
        await world.observes(1)
        await world.acts(1)
        await world.pods_run()
    second = next(it for it in world.processes if it.number == 2)
    await world.observes(1)
    await world.acts(1)
    await world.beats(second)
    await world.claims(second)
    assert second.held == {}, "its mailboxes are in flight at the first"
    await send(world, first)
    await world.time_passes(COOLDOWN + 1)
    await world.claims(second)
    assert sorted(second.held) == [1, 3]


def test_no_order_of_events_breaks_a_promise_or_puts_the_goal_out_of_reach(postgres: Postgres) -> None:
    with asyncio.Runner() as runner:
        database = as_database(runner.run(postgres.create()))

        class Here(Machine):
            pass

        Here.runner, Here.database = runner, database
        try:
            run_state_machine_as_test(Here, settings=settings(max_examples=15, stateful_step_count=60))
        finally:
            runner.run(database.close())
