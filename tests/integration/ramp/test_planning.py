"""A day's quotas follow each mailbox's ramp, in the rows that workers write and in the demand that an operator reads."""

from datetime import date, timedelta

from tests.integration.worker.fleet import EAGER, Fleet
from warmup_core import fleet as rows
from warmup_core.planning import Planner
from warmup_core.ramp import Weekday
from warmup_core.settings import FleetSettings
from warmup_operator import demand
from warmup_worker import roster
from warmup_worker.connection import Database
from warmup_worker.roster import Portion

MONDAY = date(2026, 11, 23)
SETTINGS = FleetSettings(emails_per_mailbox_per_day=9, ramp_start=2, ramp_step=3, days=tuple(Weekday)[:5])


async def plan(database: Database, day: date, settings: FleetSettings = SETTINGS) -> dict[int, int]:
    """A worker's whole reading of the fleet on ``day``: the quota of each mailbox."""
    portion = Portion(number=1, count=1, planner=Planner(day, "UTC", settings))
    return {row.id: row.quota async for page in roster.everything(database, portion) for row in page}


async def send(fleet: Fleet, day: date, *ids: int) -> None:
    """These mailboxes send one mail on ``day``."""
    await fleet.execute(
        "UPDATE quotas SET spent = 1, sent = 1 WHERE day = :day AND quota > 0 AND mailbox_id = ANY(:ids)",
        day=day,
        ids=list(ids),
    )


async def test_the_ramp_counts_the_days_on_which_a_mailbox_sent(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start()
    steady, paused = await fleet.enrol(2)
    found = {steady: list[int](), paused: list[int]()}
    for number in range(8):  # Monday to the Monday after
        day = MONDAY + timedelta(days=number)
        for _ in range(2):  # planned twice, counted once
            quotas = await plan(worker_database, day)
        for mailbox_id, quota in quotas.items():
            found[mailbox_id].append(quota)
        await send(fleet, day, steady, *([] if number in {1, 2} else [paused]))
    assert found[steady] == [2, 5, 8, 9, 9, 0, 0, 9]
    assert found[paused] == [2, 5, 5, 5, 8, 0, 0, 9], "days without a mail do not count"


async def test_a_changed_ramp_plans_the_day_anew_and_never_below_what_is_spent(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start()
    [first, second] = await fleet.enrol(2)
    assert await plan(worker_database, MONDAY) == {first: 2, second: 2}
    await fleet.execute("UPDATE quotas SET spent = 2, sent = 2 WHERE mailbox_id = :id", id=first)
    full = SETTINGS.model_copy(update={"ramp_type": "None"})
    assert await plan(worker_database, MONDAY, full) == {first: 9, second: 9}
    gentle = SETTINGS.model_copy(update={"ramp_start": 1})
    assert await plan(worker_database, MONDAY, gentle) == {first: 2, second: 1}
    assert await plan(worker_database, MONDAY + timedelta(days=1), gentle) == {first: 4, second: 1}


async def test_a_mailboxs_own_number_and_its_providers_limit_bind(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start()
    [own, still] = await fleet.enrol(2)
    [limited] = await fleet.enrol(1, smtp_host="smtp.gmail.com")
    await fleet.execute("UPDATE mailboxes SET quota_override = 7 WHERE id = :id", id=own)
    await fleet.execute("UPDATE mailboxes SET quota_override = 0 WHERE id = :id", id=still)
    settings = SETTINGS.model_copy(update={"ramp_type": "None", "per_mailbox_per_day_limits": {"gmail": 4}})
    assert await plan(worker_database, MONDAY, settings) == {own: 7, still: 0, limited: 4}


async def test_the_operator_expects_what_workers_will_plan(fleet: Fleet, worker_database: Database) -> None:
    settings = EAGER.model_copy(update={"ramp_type": "Steps", "ramp_steps": (1, 2, 3)})
    await fleet.start(settings)
    ids = await fleet.enrol(6)
    await plan(worker_database, fleet.day - timedelta(days=1), settings)
    await send(fleet, fleet.day - timedelta(days=1), *ids[:4])
    await fleet.execute("UPDATE mailboxes SET ramp_on = NULL WHERE id = ANY(:ids)", ids=ids[4:])
    await fleet.execute("UPDATE mailboxes SET quota_override = 3 WHERE id = :id", id=ids[0])
    before = await due(fleet)
    assert before == 3 + 3 * 2 + 2 * 1
    planned = await plan(worker_database, fleet.day, settings)
    assert await due(fleet) == sum(planned.values()) == before


async def due(fleet: Fleet) -> int:
    """What the operator's status says is due today."""
    async with fleet.engine.begin() as connection:
        row = await rows.read(connection)
        assert row is not None
        return (await demand.read(connection, row)).today.due


async def test_the_operator_calls_what_a_pause_stops_deferred(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start()
    await fleet.enrol(6, users=2)
    user = (await fleet.rows("SELECT min(user_id) AS id FROM mailboxes"))[0].id
    await plan(worker_database, fleet.day, EAGER)
    write = (
        "INSERT INTO pauses (scope, key, until, per_minute, rule, reason)"
        " VALUES (:scope, :key, clock_timestamp() + make_interval(secs => :seconds), :rate, 'quota', '')"
    )
    host = fleet.server.host
    await fleet.execute(write, scope="domain", key="domain0.example", seconds=-1, rate=None)
    await fleet.execute(write, scope="provider", key=host, seconds=60, rate=10)
    assert await deferred(fleet) == 0, "one is over, one only slows"
    await fleet.execute(write, scope="tenant", key=f"{user}/{host}", seconds=60, rate=None)
    assert await deferred(fleet) == 9
    await fleet.execute(write, scope="egress", key=host, seconds=None, rate=None)
    assert await deferred(fleet) == 18


async def deferred(fleet: Fleet) -> int:
    """What the operator's status calls deferred."""
    async with fleet.engine.begin() as connection:
        row = await rows.read(connection)
        assert row is not None
        return (await demand.read(connection, row)).today.deferred
