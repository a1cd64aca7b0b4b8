"""Worker processes under a limit of the fleet: frozen, killed and started again, and no window ever holds more than the limit."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from tests.integration.limits.claimants import SHORT, limited
from tests.integration.limits.windows import claimed, fullest
from tests.integration.worker.fleet import Fleet
from tests.integration.worker.process import Process, environment, started
from tests.waiting import until

LIMIT = 12
TIMING = replace(SHORT, lease=3.0, heartbeat=0.4, statement=2.0, refresh_lease=5.0)


async def sent(fleet: Fleet, count: int) -> None:
    """Wait for that many more acceptances."""
    before = len(fleet.server.journal.accepted)
    await until(
        lambda: len(fleet.server.journal.accepted) >= before + count, f"{count} mails more", within=40
    )


def fits(mail_from: Sequence[datetime], claims: Sequence[datetime], seconds: float) -> bool:
    """Whether no window at the server holds more than the limit and the claims of the 2 s before it."""
    window, late = timedelta(seconds=seconds), timedelta(seconds=2)
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
    with ExitStack() as running:

        def start(number: int) -> Process:
            log = tmp_path / f"worker-{number}.log"
            return running.enter_context(started(environment(fleet, number, TIMING), log))

        workers = {number: start(number) for number in (1, 2, 3)}
        await sent(fleet, 20)
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
    claims = await claimed(fleet)
    assert fullest(claims, SHORT.minute) <= LIMIT
    assert fits([it.at for it in fleet.server.journal.of("mail-from")], claims, SHORT.minute)
    assert {row.number for row in await fleet.rows("SELECT DISTINCT number FROM mails")} == {1, 2, 3}
