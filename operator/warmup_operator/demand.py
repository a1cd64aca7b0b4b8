"""The operator's SQL beside ``warmup_core``: today's account of a fleet, in one pass over its mailboxes.

Invariants: due = sent + in doubt + in flight + scheduled + deferred + skipped, by construction: each mail of each quota falls
into exactly one of them. A mailbox that has no quota row yet today counts with the quota it will get. 100,000 mailboxes take
well under 200 ms (`make bench` prints it).
Fails: DBAPIError; the caller puts it into words.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.capacity import ASSUMED_SEND, Measured
from warmup_core.database import sqlstate
from warmup_core.fleet import FleetRow
from warmup_core.hours import AS_THE_FLEET, OwnHours
from warmup_core.planning import Case, Planner
from warmup_core.spec_status import MailboxesStatus, TodayStatus
from warmup_operator import reasons

_INVALID_PARAMETER = "22023"


@dataclass(frozen=True)
class Demand:
    """What the mailboxes ask for today, and the ids of the keys that their credentials are under.

    ``mails``: today's quotas of active mailboxes; ``measured``: what workers found of their sends, None before any has.
    """

    mailboxes: MailboxesStatus
    today: TodayStatus
    keys: list[str]
    mails: int
    measured: Measured | None = None
    yesterday: str | None = None
    left: timedelta = timedelta()
    """How much of the fleet's own hours is still to come today."""

    @property
    def send(self) -> timedelta:
        """How long a send takes: as measured, before that as assumed."""
        return self.measured.send if self.measured else ASSUMED_SEND


_GROUPS = text(
    """
    SELECT m.id IS NOT NULL AS enrolled, coalesce(m.active, false) AS active,
           coalesce(m.hold_reason IS NOT NULL AND m.not_before > CAST(:at AS timestamptz)
               OR CAST(:pauses AS boolean) AND (
                   lower(m.smtp_host) = ANY (CAST(:hosts AS text[]))
                   OR lower(substring(m.address FROM '[^@]*$')) = ANY (CAST(:domains AS text[]))
                   OR m.user_id || '/' || lower(m.smtp_host) = ANY (CAST(:tenants AS text[]))
                   OR m.id IN (SELECT mailbox_id FROM oauth_tokens
                               WHERE application = ANY (CAST(:applications AS text[])))), false) AS held,
           count(*) AS mailboxes, count(*) FILTER (WHERE m.active AND q.quota IS NULL) AS unplanned,
           sum(coalesce(q.quota, CASE WHEN m.active THEN e.quota END, 0)) AS due,
           sum(least(coalesce(q.quota, e.quota, 0) - coalesce(q.spent + q.missed, 0),
                     ceil(coalesce(q.quota, e.quota, 0) * coalesce(h.ahead, CAST(:ahead AS float)) - 0.001))) AS ahead,
           coalesce(sum(q.spent), 0) AS spent, coalesce(sum(q.sent), 0) AS sent, coalesce(sum(q.in_doubt), 0) AS in_doubt,
           sum(greatest(0, floor(coalesce(q.quota, e.quota, 0) * coalesce(h.elapsed, CAST(:elapsed AS float))
                                 - (coalesce(h.elapsed, CAST(:elapsed AS float)) < 1)::integer)
                           - coalesce(q.spent, 0))) AS behind
    FROM mailboxes m
    FULL JOIN (SELECT mailbox_id, quota, spent, missed, sent, in_doubt FROM quotas WHERE day = CAST(:day AS date)) q
      ON q.mailbox_id = m.id
    LEFT JOIN unnest(CAST(:froms AS integer[]), CAST(:tos AS integer[]), CAST(:zones AS text[]), CAST(:weekdays AS text[]),
        CAST(:elapseds AS float[]), CAST(:aheads AS float[])) WITH ORDINALITY
        AS h (window_from, window_to, time_zone, days, elapsed, ahead, place)
      ON num_nonnulls(m.window_from, m.time_zone, m.days) > 0
     AND h.window_from = coalesce(m.window_from, -1) AND h.window_to = coalesce(m.window_to, -1)
     AND h.time_zone = coalesce(m.time_zone, '') AND h.days = coalesce(m.days, '')
    LEFT JOIN unnest(CAST(:ramp_days AS integer[]), CAST(:ramp_ons AS date[]), CAST(:of_hosts AS text[]),
        CAST(:overrides AS integer[]), CAST(:hours AS integer[]), CAST(:quotas AS integer[]))
        AS e (ramp_day, ramp_on, host, override, hours, quota)
      ON q.quota IS NULL AND e.ramp_day = m.ramp_day AND e.ramp_on = coalesce(m.ramp_on, :never) AND e.host = m.smtp_host
     AND e.override = coalesce(m.quota_override, -1) AND e.hours = coalesce(h.place, 0)
    GROUP BY 1, 2, 3
    """
)
"""Mailboxes that stand alike, summed: at most a handful of rows. ``ahead``: mails that may still come today. A quota whose
mailbox was removed is not enrolled.

Hours and expected quotas are joined from the left: an inner join with a function is taken for one row, and then everything is
sorted on disk instead of hashed.
"""

_KEYS = text(
    """
    WITH RECURSIVE passwords AS (
        SELECT min(key_id) AS key_id FROM credentials
        UNION ALL
        SELECT (SELECT min(c.key_id) FROM credentials c WHERE c.key_id > f.key_id) FROM passwords f WHERE f.key_id IS NOT NULL
    ), tokens AS (
        SELECT min(key_id) AS key_id FROM oauth_tokens
        UNION ALL
        SELECT (SELECT min(o.key_id) FROM oauth_tokens o WHERE o.key_id > f.key_id) FROM tokens f WHERE f.key_id IS NOT NULL
    )
    SELECT key_id FROM passwords WHERE key_id IS NOT NULL UNION SELECT key_id FROM tokens WHERE key_id IS NOT NULL ORDER BY 1
    """
)
"""Steps from key to key on the index, where DISTINCT would read a row a mailbox."""


_OWN_HOURS = text(
    """
    SELECT DISTINCT window_from, window_to, time_zone, days FROM mailboxes
    WHERE num_nonnulls(window_from, time_zone, days) > 0
    """
)

_UNPLANNED = text(
    """
    SELECT m.ramp_day, m.ramp_on, m.smtp_host AS host, m.quota_override AS override, m.window_from, m.window_to, m.time_zone,
           m.days
    FROM mailboxes m
    WHERE m.active AND NOT EXISTS (SELECT FROM quotas q WHERE q.day = CAST(:day AS date) AND q.mailbox_id = m.id)
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    """
)

_PAUSED = text(
    """
    SELECT scope, key FROM pauses
    WHERE scope <> 'recipient' AND per_minute IS NULL AND (until IS NULL OR until > CAST(:at AS timestamptz))
    """
)


_MEASURED = text(
    """
    SELECT avg(send_seconds) AS send_seconds, avg(sends_per_second) AS sends_per_second FROM workers
    WHERE number <= CAST(:count AS integer) AND lease_until > CAST(:at AS timestamptz)
    """
)


async def measured(connection: AsyncConnection, row: FleetRow) -> Measured | None:
    """What the workers that own mailboxes measured of their sends; None before any has sent enough."""
    found = (await connection.execute(_MEASURED, {"count": row.worker_count, "at": row.at})).one()
    if not found.send_seconds or not found.sends_per_second:
        return None
    return Measured(timedelta(seconds=found.send_seconds), found.sends_per_second)


_NEVER = date.min
"""In place of a null that has to be compared."""


async def _hours(
    connection: AsyncConnection, row: FleetRow, day: date
) -> tuple[list[OwnHours], dict[str, Any], timedelta]:
    """Whose hours there are, the fleet's first; of each the shares of the day's mails whose time has passed, and not yet; and how
    much of the fleet's hours is left.

    The fleet's own stand apart, for they are nearly everybody's.
    """
    owns = [AS_THE_FLEET, *(OwnHours(*it) for it in await connection.execute(_OWN_HOURS))]
    planner = Planner(day, row.time_zone, row.settings.model_copy(update={"ramp_type": "None"}))
    of_fleet, *plans = [planner.plan(Case(0, None, False, "", None, own)).day for own in owns]
    shares = {
        "elapsed": of_fleet.elapsed(row.at),
        "ahead": of_fleet.ahead(row.at),
        "froms": [-1 if own.window_from is None else own.window_from for own in owns[1:]],
        "tos": [-1 if own.window_to is None else own.window_to for own in owns[1:]],
        "zones": [own.time_zone or "" for own in owns[1:]],
        "weekdays": [own.days or "" for own in owns[1:]],
        "elapseds": [plan.elapsed(row.at) for plan in plans],
        "aheads": [plan.ahead(row.at) for plan in plans],
    }
    return owns, shares, of_fleet.left(row.at)


_ALL_PLANNED: Mapping[str, list[Any]] = {
    name: [] for name in ("ramp_days", "ramp_ons", "of_hosts", "overrides", "hours", "quotas")
}
"""What is expected where every mailbox has its quota of today."""


async def _expected(
    connection: AsyncConnection, row: FleetRow, day: date, owns: Sequence[OwnHours]
) -> dict[str, list[Any]]:
    """The quotas that mailboxes without a row of today will get, by what they depend on."""
    rows = (await connection.execute(_UNPLANNED, {"day": day})).all()
    planner, places = Planner(day, row.time_zone, row.settings), {own: n for n, own in enumerate(owns)}
    found = []
    for it in rows:
        own = OwnHours(it.window_from, it.window_to, it.time_zone, it.days)
        case = Case(
            it.ramp_day, it.ramp_on, True, it.host, it.override, own
        )  # as if it had sent on its last working day
        found.append((it, places.get(own, 0), planner.plan(case).day.mails))
    return {
        "ramp_days": [it.ramp_day for it, _, _ in found],
        "ramp_ons": [it.ramp_on or _NEVER for it, _, _ in found],
        "of_hosts": [it.host for it, _, _ in found],
        "overrides": [-1 if it.override is None else it.override for it, _, _ in found],
        "hours": [place for _, place, _ in found],
        "quotas": [mails for _, _, mails in found],
    }


async def _paused(connection: AsyncConnection, at: datetime) -> dict[str, Any]:
    """Whose mailboxes servers' replies have stopped."""
    rows = (await connection.execute(_PAUSED, {"at": at})).all()
    return {
        "pauses": bool(rows),
        "hosts": [it.key for it in rows if it.scope in {"provider", "egress"}],
        "domains": [it.key for it in rows if it.scope == "domain"],
        "tenants": [it.key for it in rows if it.scope == "tenant"],
        "applications": [it.key for it in rows if it.scope == "application"],
    }


async def read(connection: AsyncConnection, row: FleetRow) -> Demand:
    """Today's account at the instant the fleet's row was read.

    A mail is behind when its slot and one more have passed; after its window every mail that was not sent is.
    """
    day = today(row)
    owns, hours, left = await _hours(connection, row, day)
    values = {**hours, **await _paused(connection, row.at), "at": row.at, "day": day, "never": _NEVER}
    groups = (await connection.execute(_GROUPS, {**values, **_ALL_PLANNED})).all()
    if any(group.unplanned for group in groups):  # for a moment after midnight, or while no worker runs
        expected = await _expected(connection, row, day, owns)
        groups = (await connection.execute(_GROUPS, {**values, **expected})).all()
    keys = await connection.execute(_KEYS)
    mailboxes, account = add_up(groups, day, can_send=row.worker_count > 0)
    if mailboxes.paused:
        mailboxes = mailboxes.model_copy(update={"top_reasons": await reasons.held(connection, row.at)})
    return Demand(
        mailboxes,
        account,
        [key.key_id for key in keys],
        mails=sum(int(group.due) for group in groups if group.active),
        measured=await measured(connection, row),
        yesterday=await reasons.attainment(connection, day - timedelta(days=1)),
        left=left,
    )


def add_up(groups: Sequence[Any], day: date, *, can_send: bool) -> tuple[MailboxesStatus, TodayStatus]:
    """The parts of the day from the groups' sums. Pure. ``can_send``: whether there is a worker that may."""

    def total(column: str, chosen: Callable[[Any], bool] = lambda group: True) -> int:
        return int(sum(getattr(group, column) for group in groups if chosen(group)))

    deferred = total("ahead", lambda group: can_send and group.active and group.held)
    scheduled = total("ahead", lambda group: can_send and group.active and not group.held)
    account = TodayStatus(
        day=day.isoformat(),
        due=total("due"),
        sent=total("sent"),
        in_doubt=total("in_doubt"),
        in_flight=total("spent") - total("sent") - total("in_doubt"),
        scheduled=scheduled,
        deferred=deferred,
        skipped=total("due") - total("spent") - scheduled - deferred,
        behind=total("behind", lambda group: group.active),
    )
    mailboxes = MailboxesStatus(
        total=total("mailboxes", lambda group: group.enrolled),
        active=total("mailboxes", lambda group: group.active),
        paused=total("mailboxes", lambda group: group.active and group.held),
    )
    return mailboxes, account


def today(row: FleetRow) -> date:
    """The quota's day when the row was read: the database's clock in the fleet's time zone."""
    return row.at.astimezone(ZoneInfo(row.time_zone)).date()


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


async def expired_for(connection: AsyncConnection, count: int) -> dict[int, float]:
    """Whose lease is out, with the seconds since it ran out; -1 for a number up to ``count`` that never had one."""
    rows = await connection.execute(
        text(
            "SELECT number, coalesce(extract(epoch FROM clock_timestamp() - lease_until), -1) AS seconds"
            " FROM generate_series(1, CAST(:count AS integer)) AS number FULL JOIN workers USING (number)"
            " WHERE lease_until IS NULL OR lease_until <= clock_timestamp()"
        ),
        {"count": count},
    )
    return {row.number: float(row.seconds) for row in rows}


async def twice(connection: AsyncConnection, count: int) -> int:
    """Active mailboxes with a live owner and an open mail that is another process's. 0 is the rule.

    Two owners cannot be: who owns is arithmetic over ``workers``, whose key is the number. Nearest is this: so for moments
    after a resize, while mails in flight end under the worker that began them; where it lasts, a number runs twice or a dead
    worker's mails wait for the sweep. Reads open mails only, through their index.
    """
    if count == 0:
        return 0
    found = await connection.scalar(
        text(
            "SELECT count(*) FROM mails o JOIN mailboxes m ON m.id = o.mailbox_id AND m.in_flight = o.id AND m.active"
            " JOIN workers w ON w.number = m.id % CAST(:count AS bigint) + 1 AND w.lease_until > clock_timestamp()"
            " WHERE o.state = 'intent' AND o.incarnation <> w.incarnation"
        ),
        {"count": count},
    )
    return int(found or 0)
