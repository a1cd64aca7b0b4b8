"""Mode Interval in a running worker: runs of a batch in groups, and a fleet that changes its mind while mails go."""

from datetime import UTC, datetime

from tests.integration.hours.nights import begin
from tests.integration.worker.fleet import EAGER, RUNNING, Fleet
from tests.waiting import until
from warmup_core import fleet as rows
from warmup_core.fleet import FleetRow
from warmup_core.schedules import Continuous, Interval

RUNS = EAGER.model_copy(
    update={
        **RUNNING,
        "emails_per_mailbox_per_day": 1,
        "max_concurrent_sends": 4,
        "interval_ms": 3_000,
        "interval_batch": 6,
    }
)


async def change(fleet: Fleet, **settings: object) -> None:
    """A person edits the fleet: the row gets other settings, as the operator writes them."""
    async with fleet.engine.begin() as connection:
        row: FleetRow | None = await rows.read(connection)
        assert row is not None
        await rows.own(
            connection,
            row.owner,
            generation=row.generation + 1,
            token=row.token,
            settings=row.settings.model_copy(update=settings),
            time_zone=row.time_zone,
            paused=False,
        )


async def by_tick(fleet: Fleet, seconds: float, ids: list[int]) -> list[int]:
    """Claims of these mailboxes by the interval of the clock that they were made in, in the order of time."""
    found = await fleet.rows(
        "SELECT count(*) AS n FROM mails WHERE mailbox_id = ANY(:ids) GROUP BY floor(extract(epoch FROM claimed_at) / :every)"
        " ORDER BY min(claimed_at)",
        every=seconds,
        ids=ids,
    )
    return [row.n for row in found]


async def test_a_run_takes_its_batch_and_no_more(fleet: Fleet) -> None:
    """Groups of four, two of them at a time since there is one host; twelve mailboxes are two runs of six.

    A run that a stall stretches beyond its interval ends in the next one: then once more with a longer interval.
    """
    await fleet.start(RUNS)
    for seconds in (3, 12, 40):
        await change(fleet, interval_ms=1000 * seconds)
        before = len(fleet.server.journal.accepted)
        ids = await fleet.enrol(12)
        async with fleet.worker():
            await fleet.mails("sent", before + 12)
        found = await by_tick(fleet, seconds, ids)
        if found == [6, 6]:
            break
    assert found == [6, 6]
    await fleet.adds_up()


async def test_starts_are_staggered_and_groups_are_followed_by_their_delay(fleet: Fleet) -> None:
    """Four runs: where the machine stands still, the starts of one may come together after it."""
    await fleet.start(
        RUNS.model_copy(
            update={
                "emails_per_mailbox_per_day": 4,
                "interval_ms": 60_000,
                "interval_batch": 8,
                "max_concurrent_sends": 8,
                "stagger_min_ms": 200,
                "stagger_max_ms": 900,
            }
        )
    )
    await fleet.enrol(8)
    async with fleet.worker() as worker:
        await until(lambda: worker.shard.schedule is not None, "the schedule is chosen")
        assert isinstance(worker.shard.schedule, Interval)
        await until(lambda: len(worker.shard.mailboxes) == 8, "the shard is read")
        await change(fleet, interval_ms=1_000)
        await fleet.mails("sent", 32)
    claims = [row.claimed_at for row in await fleet.rows("SELECT claimed_at FROM mails ORDER BY claimed_at")]
    assert len({claim.replace(microsecond=claim.microsecond // 100_000 * 100_000) for claim in claims}) > 8


async def test_a_change_of_the_mode_reaches_a_running_worker(fleet: Fleet) -> None:
    """Spread over hours nothing is due now; in runs everything is, and spread again the rest waits for its place."""
    noon = datetime(
        2026, 11, 27, 12, 0, 1, tzinfo=UTC
    )  # a day whose draws are known: none lies in the next minutes
    hours = {"window_from_seconds": 43_200, "window_to_seconds": 82_800}
    spread = {"emails_per_mailbox_per_day": 2, "pacing_mode": "Continuous"}
    await begin(fleet, noon, RUNS.model_copy(update=hours | spread))
    await fleet.enrol(8)
    async with fleet.worker() as worker:
        await until(lambda: worker.report.account().reasons == {"scheduled": 8}, "each has its place ahead")
        assert worker.shard.schedule == Continuous(4)
        await change(fleet, pacing_mode="Interval", interval_ms=500, emails_per_mailbox_per_day=1)
        await fleet.mails("sent", 8)
        await change(fleet, pacing_mode="Continuous", emails_per_mailbox_per_day=2)
        await until(lambda: worker.report.account().reasons == {"scheduled": 8}, "the second mails wait")
        assert worker.shard.schedule == Continuous(4)
    assert await fleet.states() == {"sent": 8}
    await fleet.adds_up()
