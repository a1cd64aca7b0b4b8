"""The SQL of holds for people: ending them when what was wrong is mended, and saying what stops those mailboxes all the same.

A hold is of one mailbox (``hold_reason``, until ``not_before``); what a reply says beyond that is a pause (``pauses``).
Invariants: no cooldown is broken, so a mailbox goes on no sooner than the longest cooldown after its latest mail, and no rest
gets longer; a mail in flight is left alone; rows are locked in the order of their ids, as workers do. ``changed_at`` moves: so
running workers hear of it with their next heartbeat, and a failure that began before writes no hold after.
Fails: the database's error; the caller's transaction writes nothing then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core import fleet, pauses
from warmup_core.pauses import Shown

NO_CLOCK: Final = timedelta(days=365)
"""A hold with so long to go is one that a person ends: no other lasts longer than a week."""

_HELD = "hold_reason IS NOT NULL AND in_flight IS NULL AND not_before > clock_timestamp()"

_RULES = text(f"""
SELECT split_part(hold_reason, ':', 1) AS rule, count(*) AS mailboxes FROM mailboxes WHERE {_HELD} GROUP BY 1 ORDER BY 1
""")  # noqa: S608 - our own text

_OF_RULE = text(f"""
SELECT id FROM mailboxes WHERE {_HELD} AND (CAST(:rule AS text) IS NULL OR split_part(hold_reason, ':', 1) = :rule)
""")  # noqa: S608 - our own text

_END = text("""
WITH locked AS MATERIALIZED (
    SELECT id FROM mailboxes
    WHERE id = ANY (CAST(:ids AS bigint[])) AND hold_reason IS NOT NULL AND in_flight IS NULL ORDER BY id FOR UPDATE
)
UPDATE mailboxes m SET hold_reason = NULL, changed_at = clock_timestamp(),
    not_before = least(m.not_before, greatest(clock_timestamp(), make_interval(secs => CAST(:cooldown AS float8)) + (
        SELECT max(coalesce(l.dot_at, l.settled_at, l.claimed_at)) FROM mails l
        WHERE l.mailbox_id = m.id AND l.day >= CAST(:since AS date))))
FROM locked WHERE m.id = locked.id
RETURNING m.active
""")


@dataclass(frozen=True)
class Released:
    """What was ended: the holds of so many ``mailboxes``, ``inactive`` ones among them; and what stops them all the same."""

    mailboxes: int
    inactive: int
    fleet_paused: bool
    pauses: Sequence[Shown]


async def rules(connection: AsyncConnection) -> Mapping[str, int]:
    """The rules that hold mailboxes now, with how many."""
    return {row.rule: row.mailboxes for row in await connection.execute(_RULES)}


async def of_rule(connection: AsyncConnection, rule: str | None) -> list[int]:
    """The mailboxes that are held by this rule now; without one all that are held."""
    return list((await connection.execute(_OF_RULE, {"rule": rule})).scalars())


async def end(connection: AsyncConnection, ids: Sequence[int]) -> list[bool]:
    """End the holds of these mailboxes; says of each that had one whether it is active."""
    cooldown, since = timedelta(), None
    if (row := await fleet.read(connection)) is not None:
        cooldown = timedelta(milliseconds=row.settings.cooldown_max_ms)
        since = (row.at - cooldown).date() - timedelta(days=1)  # a day of whatever zone
    values = {"ids": list(ids), "cooldown": cooldown.total_seconds(), "since": since}
    return list((await connection.execute(_END, values)).scalars())


async def release(connection: AsyncConnection, ids: Sequence[int]) -> Released:
    """End the holds of these mailboxes because what was wrong is mended, and look at what is left."""
    active = await end(connection, ids)
    row = await fleet.read(connection)
    left = [it for it in await pauses.concerning(connection, *ids) if it.scope != "recipient"]
    return Released(len(active), active.count(False), row is not None and row.paused, left)
