"""The operator's SQL beside ``warmup_core``: today's account of a fleet, in one pass over its mailboxes.

Invariants: due = sent + in doubt + in flight + scheduled + deferred + skipped, by construction: each mail of each quota falls
into exactly one of them. A mailbox that has no quota row yet today counts with the quota it will get. 100,000 mailboxes take
well under 200 ms (`make bench` prints it).
Fails: DBAPIError; the caller puts it into words.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core import pacing
from warmup_core.database import sqlstate
from warmup_core.fleet import FleetRow
from warmup_core.settings import FleetSettings
from warmup_core.spec import MailboxesStatus, TodayStatus
from warmup_core.types import LEASE_SECONDS

_INVALID_PARAMETER = "22023"


@dataclass(frozen=True)
class Demand:
    """What the mailboxes ask for today, and the ids of the keys that their credentials are under."""

    mailboxes: MailboxesStatus
    today: TodayStatus
    keys: list[str]


_GROUPS = text(
    """
    SELECT m.id IS NOT NULL AS enrolled, coalesce(m.active, false) AS active,
           coalesce(m.hold_reason IS NOT NULL AND m.not_before > CAST(:at AS timestamptz)
               OR CAST(:pauses AS boolean) AND (
                   lower(m.smtp_host) = ANY (CAST(:hosts AS text[]))
                   OR lower(substring(m.address FROM '[^@]*$')) = ANY (CAST(:domains AS text[]))
                   OR m.user_id || '/' || lower(m.smtp_host) = ANY (CAST(:tenants AS text[]))), false) AS held,
           count(*) AS mailboxes,
           sum(coalesce(q.quota, CASE WHEN m.active THEN e.quota END, 0)) AS due,
           coalesce(sum(q.spent), 0) AS spent, coalesce(sum(q.sent), 0) AS sent, coalesce(sum(q.in_doubt), 0) AS in_doubt,
           sum(greatest(0, floor(coalesce(q.quota, e.quota, 0) * CAST(:elapsed AS float) - CAST(:slack AS integer))
                           - coalesce(q.spent, 0))) AS behind
    FROM mailboxes m
    FULL JOIN (SELECT mailbox_id, quota, spent, sent, in_doubt FROM quotas WHERE day = CAST(:day AS date)) q
      ON q.mailbox_id = m.id
    LEFT JOIN unnest(CAST(:progresses AS integer[]), CAST(:of_hosts AS text[]), CAST(:overrides AS integer[]),
        CAST(:quotas AS integer[])) AS e (progress, host, override, quota)
      ON q.quota IS NULL AND e.progress = m.ramp_day + (m.ramp_on < CAST(:day AS date) AND m.ramp_on IS NOT NULL)::integer
     AND e.host = m.smtp_host AND e.override = coalesce(m.quota_override, -1)
    GROUP BY 1, 2, 3
    """
)
"""Mailboxes that stand alike, summed: at most a handful of rows. A quota whose mailbox was removed is not enrolled."""

_KEYS = text(
    """
    WITH RECURSIVE found AS (
        SELECT min(key_id) AS key_id FROM credentials
        UNION ALL
        SELECT (SELECT min(c.key_id) FROM credentials c WHERE c.key_id > f.key_id) FROM found f WHERE f.key_id IS NOT NULL
    )
    SELECT key_id FROM found WHERE key_id IS NOT NULL
    """
)
"""Steps from key to key on the index, where DISTINCT would read a row a mailbox."""


_UNPLANNED = text(
    """
    SELECT m.ramp_day + (m.ramp_on < CAST(:day AS date) AND m.ramp_on IS NOT NULL)::integer AS progress, m.smtp_host AS host,
           coalesce(m.quota_override, -1) AS override
    FROM mailboxes m
    WHERE m.active AND NOT EXISTS (SELECT FROM quotas q WHERE q.day = CAST(:day AS date) AND q.mailbox_id = m.id)
    GROUP BY 1, 2, 3
    """
)
# ``ramp_day`` does not count the last working day yet: here as if the mailbox had sent something on it.

_PAUSED = text(
    """
    SELECT scope, key FROM pauses
    WHERE scope <> 'recipient' AND per_minute IS NULL AND (until IS NULL OR until > CAST(:at AS timestamptz))
    """
)


async def _expected(connection: AsyncConnection, settings: FleetSettings, day: date) -> dict[str, list[Any]]:
    """The quotas that mailboxes without a row of today will get, by what they depend on."""
    rows = (await connection.execute(_UNPLANNED, {"day": day})).all()
    return {
        "progresses": [it.progress for it in rows],
        "of_hosts": [it.host for it in rows],
        "overrides": [it.override for it in rows],
        "quotas": [
            settings.quota(day, it.progress, it.host, None if it.override < 0 else it.override).mails
            for it in rows
        ],
    }


async def _paused(connection: AsyncConnection, at: datetime) -> dict[str, Any]:
    """Whose mailboxes servers' replies have stopped."""
    rows = (await connection.execute(_PAUSED, {"at": at})).all()
    return {
        "pauses": bool(rows),
        "hosts": [it.key for it in rows if it.scope in {"provider", "egress"}],
        "domains": [it.key for it in rows if it.scope == "domain"],
        "tenants": [it.key for it in rows if it.scope == "tenant"],
    }


async def read(connection: AsyncConnection, row: FleetRow) -> Demand:
    """Today's account at the instant the fleet's row was read.

    A mail is behind when its slot and one more have passed; after the window every mail that was not sent is.
    """
    settings, zone, day = row.settings, ZoneInfo(row.time_zone), today(row)
    window = pacing.window(day, zone, settings.window_from_seconds, settings.window_to_seconds)
    elapsed = _elapsed(window, row.at)
    groups = await connection.execute(
        _GROUPS,
        {
            **await _expected(connection, settings, day),
            **await _paused(connection, row.at),
            "at": row.at,
            "day": day,
            "elapsed": elapsed,
            "slack": 1 if elapsed < 1 else 0,
        },
    )
    keys = await connection.execute(_KEYS)
    mailboxes, account = add_up(groups.all(), day, can_send=elapsed < 1 and row.worker_count > 0)
    return Demand(mailboxes, account, [key.key_id for key in keys])


def add_up(groups: Sequence[Any], day: date, *, can_send: bool) -> tuple[MailboxesStatus, TodayStatus]:
    """The parts of the day from the groups' sums. Pure. ``can_send``: whether anybody may send any more today."""

    def total(column: str, chosen: Callable[[Any], bool] = lambda group: True) -> int:
        return int(sum(getattr(group, column) for group in groups if chosen(group)))

    def rest(chosen: Callable[[Any], bool]) -> int:
        return total("due", chosen) - total("spent", chosen)

    deferred = rest(lambda group: can_send and group.active and group.held)
    scheduled = rest(lambda group: can_send and group.active and not group.held)
    account = TodayStatus(
        day=day.isoformat(),
        due=total("due"),
        sent=total("sent"),
        in_doubt=total("in_doubt"),
        in_flight=total("spent") - total("sent") - total("in_doubt"),
        scheduled=scheduled,
        deferred=deferred,
        skipped=rest(lambda group: True) - scheduled - deferred,
        behind=total("behind", lambda group: group.active),
    )
    mailboxes = MailboxesStatus(
        total=total("mailboxes", lambda group: group.enrolled),
        active=total("mailboxes", lambda group: group.active),
    )
    return mailboxes, account


def today(row: FleetRow) -> date:
    """The quota's day when the row was read: the database's clock in the fleet's time zone."""
    return row.at.astimezone(ZoneInfo(row.time_zone)).date()


def _elapsed(window: pacing.Window, at: datetime) -> float:
    """The share of the window that has passed, 0 to 1."""
    return pacing.elapsed(window, at)


async def zone_is_known(connection: AsyncConnection, zone: str) -> bool:
    """Whether both Python and the database know the time zone; spoils the transaction when the database does not."""
    try:
        ZoneInfo(zone)
        await connection.execute(text("SELECT now() AT TIME ZONE :zone"), {"zone": zone})
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    except DBAPIError as error:
        if sqlstate(error) != _INVALID_PARAMETER:
            raise
        return False
    return True


async def silent_for(connection: AsyncConnection, count: int) -> dict[int, float]:
    """The numbers 1..count that are not live, with the seconds since their last heartbeat (-1: never seen)."""
    rows = await connection.execute(
        text(
            "SELECT n AS number, coalesce(extract(epoch FROM clock_timestamp() - w.lease_until), -1) AS seconds"
            " FROM generate_series(1, CAST(:count AS integer)) AS n LEFT JOIN workers w ON w.number = n"
            " WHERE w.lease_until IS NULL OR w.lease_until <= clock_timestamp()"
        ),
        {"count": count},
    )
    return {row.number: float(row.seconds) + (LEASE_SECONDS if row.seconds >= 0 else 0) for row in rows}
