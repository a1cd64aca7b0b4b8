"""Workers whose clocks are wrong, under libfaketime. Every instant is the database's, so nobody notices."""

import asyncio
import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tests.cluster import debian
from tests.integration.worker.fleet import EAGER, QUICK, Fleet
from tests.integration.worker.process import environment, started
from tests.submission import faults
from tests.submission.faults import Exchange, Step
from tests.waiting import until
from warmup_core import fleet as fleets

OFF = {1: "+10m", 2: "-10m", 3: "+1d"}
TIMING = replace(QUICK, lease=30.0, reply=120.0, statement=1.0, claim=1.5, sweep=2.5, dialogue=60.0)
"""A lease that a busy machine keeps up with, and that is short to a wrong clock; no dialogue that a stall ends, for its mailbox
would rest for a minute."""


def off(shift: str) -> dict[str, str]:
    """A wall clock that is wrong by this much. Ages are read from clocks that nobody can set, so those stay."""
    debian.ensure("faketime")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    return {"LD_PRELOAD": str(library), "FAKETIME": shift, "DONT_FAKE_MONOTONIC": "1"}


async def test_wrong_clocks_change_no_day_take_over_nobody_and_hurry_no_flip(
    fleet: Fleet, tmp_path: Path
) -> None:
    """F27, field-026: ten minutes ahead, ten behind, a day ahead; a fourth with the right time comes in the middle."""
    await fleet.start(EAGER.model_copy(update={"emails_per_mailbox_per_day": 3}), workers=3)
    await fleet.enrol(12)
    # The first mails wait for longer than the sweep needs, so a lease misjudged by any clock puts one in doubt; those after
    # them wait for the flip.
    slow, flipped = faults.first(6, faults.delay(4.0)), asyncio.Event()

    async def reply(exchange: Exchange) -> str | None:
        if len(fleet.server.journal.accepted) > 6:
            await flipped.wait()
        return await slow(exchange)

    fleet.server.faults[Step.REPLY] = reply

    async def flip() -> bool:
        async with fleet.engine.begin() as connection:
            return await fleets.flip(connection, epoch=1, target=4)

    with ExitStack() as running:
        logs = {}
        for number, shift in OFF.items():
            logs[number] = tmp_path / f"{number}.log"
            running.enter_context(started(environment(fleet, number, TIMING, **off(shift)), logs[number]))
        await fleet.mails("sent", 6)
        (row,) = await fleet.rows("SELECT clock_timestamp() AS now")
        leases = await fleet.rows("SELECT lease_until - clock_timestamp() AS left FROM workers")
        assert all(abs(it.left.total_seconds()) < 60 for it in leases), "a lease by somebody's own clock"
        assert not await flip(), "worker 4 is not there yet"

        async def all_three() -> bool:  # however late one of them came to life
            return len(await fleet.rows("SELECT DISTINCT number FROM mails")) == 3

        await until(all_three, "each of them has claimed")
        running.enter_context(started(environment(fleet, 4, TIMING), tmp_path / "4.log"))
        await until(flip, "worker 4 lives")
        flipped.set()
        await fleet.mails("sent", 36)
    ahead = datetime.fromisoformat(json.loads(logs[3].read_text().splitlines()[0])["time"])
    assert (ahead - row.now).total_seconds() > 20 * 3600, "its clock was wrong indeed"
    assert (await fleet.states()).keys() <= {"sent", "failed"}, "nobody was taken over"
    days = await fleet.rows("SELECT day FROM mails UNION SELECT day FROM quotas")
    assert [it.day for it in days] == [fleet.day]
    owners = await fleet.rows("SELECT DISTINCT epoch, number FROM mails")
    assert {(it.epoch, it.number) for it in owners} >= {(1, 1), (1, 2), (1, 3), (2, 4)}
    await fleet.adds_up()
