"""The end of a pause that many wait for, as the server sees it: one comes after the other, also to a worker that starts late."""

from tests.integration.reactions.test_reactions import RARELY
from tests.integration.worker.fleet import EAGER, Fleet

ONE_EACH = EAGER.model_copy(update={"emails_per_mailbox_per_day": 1})
MAILBOXES, SECONDS = 60, 6


async def paused(fleet: Fleet, began: str, ends: str) -> None:
    """The provider pauses, as a worker wrote it."""
    await fleet.execute(
        "INSERT INTO pauses (scope, key, until, rule, reason, since) VALUES ('provider', :key,"
        f" clock_timestamp() + interval '{ends}', 'rate', 'too fast', clock_timestamp() + interval '{began}')",
        key=fleet.server.host,
    )


async def seconds_after_the_end(fleet: Fleet) -> list[float]:
    """Of each mailbox's mail."""
    found = await fleet.rows(
        "SELECT extract(epoch FROM l.claimed_at - p.until)::float8 AS seconds FROM mails l, pauses p ORDER BY 1"
    )
    return [it.seconds for it in found]


async def test_a_provider_that_paused_gets_its_mails_one_by_one(fleet: Fleet) -> None:
    await fleet.start(ONE_EACH)
    await fleet.enrol(MAILBOXES)
    await paused(fleet, "-1 s", f"{SECONDS - 1} s")
    async with fleet.worker(timing=RARELY):
        await fleet.mails("sent", MAILBOXES)
    after = await seconds_after_the_end(fleet)
    assert after[0] >= 0
    assert after[MAILBOXES // 2] > SECONDS / 3, "half of them would have come in the first moment"
    await fleet.adds_up()


async def test_a_worker_that_starts_after_the_pause_sends_no_more_at_once(fleet: Fleet) -> None:
    await fleet.start(ONE_EACH)
    await fleet.enrol(MAILBOXES)
    await paused(fleet, f"-{2 * SECONDS} s", "0 s")
    async with fleet.worker(timing=RARELY):
        await fleet.mails("sent", MAILBOXES)
    after = await seconds_after_the_end(fleet)
    assert after[2 * MAILBOXES // 3] > SECONDS
    await fleet.adds_up()
