"""field-007: nobody removes what a mailbox receives, so some fill up. A full one is left alone, by name, until a later try."""

from tests.integration.reactions.test_reactions import MANY, RARELY, address, begun_are_over
from tests.integration.worker.fleet import Fleet
from tests.submission.faults import Exchange, Step
from tests.waiting import until
from warmup_core import pauses


async def test_a_full_mailbox_leaves_the_pool_and_comes_back_when_a_later_try_finds_room(
    fleet: Fleet,
) -> None:
    await fleet.start(MANY)
    ids = await fleet.enrol(6)
    full = await address(fleet, ids[0])
    tried, room = 0, False

    async def rcpt(exchange: Exchange) -> str | None:
        nonlocal tried
        if full not in exchange.rcpt_to:
            return None
        tried += 1
        return (
            None if room else f"452 4.2.2 <{full}>: The email account that you tried to reach is over quota"
        )

    async def left_alone(times: int) -> None:
        """It is paused with the server's words, and others go on without it."""
        await until(lambda: tried >= times, "it is tried")
        (shown,) = await until(in_force, "it is paused")
        assert (shown.scope, shown.who) == ("recipient", full)
        assert "over quota" in shown.reason
        await begun_are_over(worker)  # one of them may have been on its way
        before, accepted = tried, len(fleet.server.journal.accepted)
        await until(lambda: len(fleet.server.journal.accepted) > accepted + 20, "the others go on")
        assert tried == before

    async def in_force() -> list[pauses.Shown]:
        async with fleet.engine.begin() as connection:
            return await pauses.in_force(connection)

    async def time_passes() -> None:
        async with fleet.engine.begin() as connection:
            assert await pauses.end(connection, "recipient", str(ids[0]))

    fleet.server.faults[Step.RCPT] = rcpt
    async with fleet.worker(timing=RARELY) as worker:
        await left_alone(1)
        before = tried
        await time_passes()
        await left_alone(before + 1)
        before, room = tried, True
        await time_passes()
        await until(lambda: tried > before + 2, "it receives again")
        assert await in_force() == []
    await fleet.adds_up()
