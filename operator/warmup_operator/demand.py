"""The operator's SQL beside ``warmup_core``: today's account of a fleet, in one pass over its mailboxes.

Invariants: due = sent + in doubt + in flight + scheduled + deferred + skipped, by construction: each mail of each quota falls
into exactly one of them. A mailbox that has no quota row yet today counts with the quota it will get. 100,000 mailboxes take
well under 200 ms (a test holds that).
Fails: DBAPIError; the caller puts it into words.
"""

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
    """What the mailboxes ask for today, and the ids of the keys that their credentials are under, with their numbers."""

    mailboxes: MailboxesStatus
    today: TodayStatus
    keys: dict[str, int]


_ACCOUNT = text(
    """
    WITH each AS (
        SELECT coalesce(m.active, false) AS active,
               coalesce(q.quota, CASE WHEN m.active THEN coalesce(e.quota, 0) END, 0) AS quota,
               coalesce(q.spent, 0) AS spent, coalesce(q.sent, 0) AS sent, coalesce(q.in_doubt, 0) AS in_doubt,
               m.id IS NOT NULL AS enrolled,
               m.hold_reason IS NOT NULL AND m.not_before > CAST(:at AS timestamptz)
                   OR CAST(:pauses AS boolean) AND (
                       lower(m.smtp_host) = ANY (CAST(:hosts AS text[]))
                       OR lower(substring(m.address FROM '[^@]*$')) = ANY (CAST(:domains AS text[]))
                       OR m.user_id || '/' || lower(m.smtp_host) = ANY (CAST(:tenants AS text[]))) AS held
        FROM mailboxes m
        FULL JOIN (SELECT * FROM quotas WHERE day = CAST(:day AS date)) q ON q.mailbox_id = m.id
        LEFT JOIN unnest(CAST(:progresses AS integer[]), CAST(:of_hosts AS text[]), CAST(:overrides AS integer[]),
            CAST(:quotas AS integer[])) AS e (progress, host, override, quota)
            ON q.quota IS NULL AND e.progress = m.ramp_day + (m.ramp_on < CAST(:day AS date) AND m.ramp_on IS NOT NULL)::integer
           AND e.host = m.smtp_host AND e.override = coalesce(m.quota_override, -1)
    ), parted AS (
        SELECT *, quota - spent AS rest, active AND CAST(:open AS boolean) AS can_send FROM each
    )
    SELECT count(*) FILTER (WHERE enrolled) AS total,
           count(*) FILTER (WHERE active) AS active,
           coalesce(sum(quota), 0) AS due,
           coalesce(sum(sent), 0) AS sent,
           coalesce(sum(in_doubt), 0) AS in_doubt,
           coalesce(sum(spent - sent - in_doubt), 0) AS in_flight,
           coalesce(sum(rest) FILTER (WHERE can_send AND NOT held), 0) AS scheduled,
           coalesce(sum(rest) FILTER (WHERE can_send AND held), 0) AS deferred,
           coalesce(sum(rest) FILTER (WHERE NOT can_send), 0) AS skipped,
           coalesce(sum(greatest(0, CASE WHEN CAST(:elapsed AS float) >= 1 THEN quota
                                         ELSE floor(quota * CAST(:elapsed AS float)) - 1 END - spent))
                    FILTER (WHERE active), 0) AS behind
    FROM parted
    """
)


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
    counts = (
        await connection.execute(
            _ACCOUNT,
            {
                **await _expected(connection, settings, day),
                **await _paused(connection, row.at),
                "at": row.at,
                "day": day,
                "open": row.at < window.closes and row.worker_count > 0,
                "elapsed": _elapsed(window, row.at),
            },
        )
    ).one()
    keys = await connection.execute(
        text("SELECT key_id, count(*) AS mailboxes FROM credentials GROUP BY key_id ORDER BY key_id")
    )
    return Demand(
        mailboxes=MailboxesStatus(total=counts.total, active=counts.active),
        today=TodayStatus(
            day=day.isoformat(),
            due=counts.due,
            sent=counts.sent,
            in_doubt=counts.in_doubt,
            in_flight=counts.in_flight,
            scheduled=counts.scheduled,
            deferred=counts.deferred,
            skipped=counts.skipped,
            behind=int(counts.behind),
        ),
        keys={key.key_id: key.mailboxes for key in keys},
    )


def today(row: FleetRow) -> date:
    """The quota's day when the row was read: the database's clock in the fleet's time zone."""
    return row.at.astimezone(ZoneInfo(row.time_zone)).date()


def _elapsed(window: pacing.Window, at: datetime) -> float:
    """The share of the window that has passed, 0 to 1."""
    return min(1.0, max(0.0, (at - window.opens) / (window.closes - window.opens)))


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


async def bound_locks(connection: AsyncConnection, milliseconds: int) -> None:
    """Wait no longer than this for a lock, in this transaction only: the workers must not queue up behind an upkeep."""
    await connection.execute(
        text("SELECT set_config('lock_timeout', :timeout, true)"), {"timeout": f"{milliseconds}ms"}
    )


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
