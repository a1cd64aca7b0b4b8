"""Mailboxes that two processes have to do with: the owner, and one whose mail is still in flight."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.fleet.scene import enrol, live, silence
from warmup_operator import demand


async def twice(engine: AsyncEngine, workers: int) -> int:
    async with engine.connect() as connection:
        return await demand.twice(connection, workers)


async def claim(engine: AsyncEngine, mailbox: int, incarnation: str) -> None:
    """A mail of this mailbox in flight under ``incarnation`` (an SQL expression)."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at)"
                f" VALUES (current_date, :mailbox, :mailbox, 0, 0, 'intent', 1, {incarnation}, 1, clock_timestamp())"
            ),
            {"mailbox": mailbox},
        )
        await connection.execute(
            text("UPDATE mailboxes SET in_flight = :mailbox WHERE id = :mailbox"), {"mailbox": mailbox}
        )


@pytest.mark.parametrize("workers", [0, 1, 2])
async def test_with_nothing_in_flight_nobody_is_there_twice(engine: AsyncEngine, workers: int) -> None:
    await enrol(engine, 9)
    await live(engine, 1, 2)
    assert await twice(engine, workers) == 0


async def test_a_mail_in_flight_at_another_process_makes_two(engine: AsyncEngine) -> None:
    await enrol(engine, 9)  # the ids 1 to 9; of two workers number 2 owns the odd ones
    await live(engine, 1, 2)
    await claim(engine, 3, "(SELECT incarnation FROM workers WHERE number = 2)")
    assert await twice(engine, 2) == 0
    await claim(engine, 4, "0")
    await claim(engine, 5, "0")
    assert await twice(engine, 2) == 2
    await silence(engine, 1)  # an owner that is not live has nothing to do with it
    assert await twice(engine, 2) == 1
