"""Ending the hold of a mailbox: what it frees, and what it leaves alone."""

from typing import Any

import pytest

from tests.integration.worker.fleet import Fleet
from warmup_core import holds
from warmup_core.holds import Released
from warmup_core.settings import FleetSettings

SLOW = FleetSettings(cooldown_min_ms=60_000, cooldown_max_ms=300_000)
HELD = (
    "UPDATE mailboxes SET hold_reason = 'own-mailbox-full: 552 no', not_before = now() + interval '10 years'"
)


@pytest.fixture
async def held(fleet: Fleet) -> list[int]:
    """Three mailboxes of two users that are held until a person acts."""
    await fleet.start(SLOW)
    ids = await fleet.enrol(3)
    await fleet.execute(HELD)
    return ids


async def release(fleet: Fleet, ids: list[int]) -> Released:
    async with fleet.engine.begin() as connection:
        return await holds.release(connection, ids)


async def standing(fleet: Fleet) -> list[tuple[Any, ...]]:
    """Of each mailbox whether it is held, the seconds of its rest since its last mail, else from now on, and whether workers
    hear of it."""
    rows = await fleet.rows(
        "SELECT m.hold_reason IS NOT NULL AS held, m.changed_at > m.enrolled_at AS changed,"
        " extract(epoch FROM m.not_before - coalesce(l.dot_at, l.settled_at, clock_timestamp())) AS rest"
        " FROM mailboxes m LEFT JOIN mails l ON l.mailbox_id = m.id ORDER BY m.id"
    )
    return [(row.held, round(max(0, row.rest)), row.changed) for row in rows]


TEN_YEARS = pytest.approx(10 * 365 * 86_400, abs=4 * 86_400)


async def test_a_cooldown_that_has_begun_is_waited_out(fleet: Fleet, held: list[int]) -> None:
    """From the dot, where one was written, and from the end where none was."""
    await fleet.execute(
        "INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at, dot_at,"
        " settled_at) SELECT fleet_day(), n, n, 1, 0, 'failed', 1, 1, 1, now() - interval '101 s',"
        " CASE n WHEN 1 THEN now() - interval '100 s' END, now() - interval '40 s' FROM generate_series(1, 2) n"
    )
    assert (await release(fleet, held)).mailboxes == 3
    assert await standing(fleet) == [
        (False, 300, True),
        (False, 300, True),
        (False, 0, True),
    ]


async def test_no_rest_gets_longer_and_a_mail_in_flight_is_left_alone(fleet: Fleet, held: list[int]) -> None:
    await fleet.execute("UPDATE mailboxes SET in_flight = 9 WHERE id = 1")
    await fleet.execute("UPDATE mailboxes SET not_before = '-infinity' WHERE id = 2")
    assert (await release(fleet, held[:2])).mailboxes == 1
    assert await standing(fleet) == [(True, TEN_YEARS, False), (False, 0, True), (True, TEN_YEARS, False)]


async def test_what_stops_them_all_the_same_is_told(fleet: Fleet, held: list[int]) -> None:
    (user,) = await fleet.rows("SELECT user_id FROM mailboxes WHERE id = 1")
    await fleet.execute(
        "INSERT INTO pauses (scope, key, rule, reason) VALUES ('tenant', :key, 'tenant-off', 'no'),"
        " ('domain', 'elsewhere.example', 'spf', 'no'), ('recipient', '1', 'recipient-full', 'no')",
        key=f"{user.user_id}/{fleet.server.host}",
    )
    await fleet.execute("UPDATE mailboxes SET active = false WHERE id = 2")
    done = await release(fleet, held)
    assert (done.mailboxes, done.inactive, done.fleet_paused) == (3, 1, False)
    assert [(it.scope, it.rule) for it in done.pauses] == [("tenant", "tenant-off")]


async def test_they_are_chosen_by_the_rule_that_holds_them_now(fleet: Fleet, held: list[int]) -> None:
    await fleet.execute("UPDATE mailboxes SET hold_reason = 'smtp-auth-off: 535 no' WHERE id = 1")
    await fleet.execute("UPDATE mailboxes SET not_before = now() WHERE id = 2")
    async with fleet.engine.begin() as connection:
        assert await holds.rules(connection) == {"own-mailbox-full": 1, "smtp-auth-off": 1}
        assert await holds.of_rule(connection, "smtp-auth-off") == [1]
        assert sorted(await holds.of_rule(connection, None)) == [1, 3]
