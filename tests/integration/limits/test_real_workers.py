"""Worker processes under a limit of the fleet: frozen, killed and started again, and no window ever holds more than the limit."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from tests.integration.limits.claimants import SHORT, limited
from tests.integration.limits.windows import claimed, fullest
from tests.integration.worker.fleet import Fleet
from tests.integration.worker.process import Process, environment, started
from tests.waiting import cancelled, until

LIMIT = 12
TIMING = replace(SHORT, heartbeat=0.4, claim_to_mail=1.0)


async def sent(fleet: Fleet, count: int) -> None:
    """Wait for that many more acceptances."""
    before = len(fleet.server.journal.accepted)
    await until(lambda: len(fleet.server.journal.accepted) >= before + count, f"{count} mails more")


@asynccontextmanager
async def longest_stall() -> AsyncIterator[Callable[[], float]]:
    """For how long this process, the mail server's, was not let run at the worst: what comes then is seen so much later."""
    longest, now = 0.0, asyncio.get_running_loop().time

    async def look() -> None:
        nonlocal longest
        while True:
            before = now()
            await asyncio.sleep(0.05)
            longest = max(longest, now() - before - 0.05)

    looking = asyncio.create_task(look())
    try:
        yield lambda: longest
    finally:
        await cancelled(looking)


def fits(mail_from: Sequence[datetime], claims: Sequence[datetime], seconds: float, stall: float) -> bool:
    """Whether no window at the server holds more than the limit and the claims of the 2 s before it, or of its own stall."""
    window, late = timedelta(seconds=seconds), timedelta(seconds=2 + stall)
    return all(
        sum(first <= it <= first + window for it in mail_from)
        <= LIMIT + sum(first - late <= it < first for it in claims)
        for first in mail_from
    )


async def test_freezing_and_killing_workers_never_lets_a_window_pass_the_limit(
    fleet: Fleet, tmp_path: Path
) -> None:
    await fleet.start(limited(emails_per_mailbox_per_day=400, per_minute_limit=LIMIT), workers=3)
    await fleet.enrol(24)
    async with longest_stall() as stall:
        await the_run(fleet, tmp_path)
    claims = await claimed(fleet)
    assert fullest(claims, SHORT.minute) <= LIMIT
    assert fits([it.at for it in fleet.server.journal.of("mail-from")], claims, SHORT.minute, stall())
    assert await senders(fleet) == {1, 2, 3}


async def senders(fleet: Fleet) -> set[int]:
    return {row.number for row in await fleet.rows("SELECT DISTINCT number FROM mails")}


async def the_run(fleet: Fleet, tmp_path: Path) -> None:
    """Worker 1 is frozen again and again, the others are killed and come back."""
    with ExitStack() as running:

        def start(number: int) -> Process:
            log = tmp_path / f"worker-{number}.log"
            return running.enter_context(started(environment(fleet, number, TIMING), log))

        workers = {number: start(number) for number in (1, 2, 3)}
        await sent(fleet, 20)

        async def each() -> bool:
            return await senders(fleet) == {1, 2, 3}

        await until(each, "each has its part")
        for _ in range(4):  # longer than a token lives, so whatever is in hand has gone stale
            workers[1].signal(signal.SIGSTOP)
            await asyncio.sleep(2 * SHORT.token)
            workers[1].signal(signal.SIGCONT)
            await asyncio.sleep(SHORT.token / 2)
        for number in (2, 3, 2):
            workers[number].kill()
            workers[number] = start(number)
            await sent(fleet, 6)
        await sent(fleet, 10)
