"""After the restore of an older database: what its backup cannot know counts as if it had been sent.

Mails that were claimed after the backup stand in no row. So the days of the unknown span are filled up: each mailbox's quota is
spent, with a mail in doubt in the ledger for each that it lacked, claimed as late as it may have been. Quotas, windows across
midnight and a provider's rolling 24 hours then count them like any other mail. The fleet's new token keeps Message-IDs apart from
those that were given; its new epoch, and incarnations far above those that were, let a process of before find itself replaced.
What the backup may lack altogether (mailboxes, settings, spent tokens of rate limits) is waited out: every mail host pauses until
the fleet's day is over, for an hour at least.
Fails: ``StillLive`` while a worker's lease runs; nothing is written then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core import days, fleet, limits
from warmup_core.fleet import FleetRow
from warmup_core.hours import OwnHours
from warmup_core.planning import Case, Planner

RULE: Final = "restored"
"""What such a pause is called in lists and in a fleet's status."""
_ONE_DAY = timedelta(days=1)
_LONGEST_SHORT_WINDOW = timedelta(hours=1)
"""Of the limits whose buckets are left as they are: they are full again when it is over."""
_PAGE = 10_000
_NEVER_GIVEN = 1_000_000
"""Processes that may have started since the backup; each took one incarnation."""


class StillLive(Exception):
    """A worker's lease runs, so it may be sending."""

    def __init__(self, workers: Sequence[Any]) -> None:
        who = ", ".join(f"{it.number} on {it.host or 'an unknown host'}" for it in workers)
        super().__init__(
            f"Worker {who} may be sending: its lease runs for {max(it.seconds for it in workers):.0f} s more."
            " Stop every worker (spec.workers.replicas: 0, or stop its container) and run this again; nothing was changed."
        )


@dataclass(frozen=True)
class Unknown:
    """What the database cannot know: ``since`` is the last sign of a worker in it, None: it has none. ``days``: the fleet's days
    whose quotas still count; ``resumes``: from then on nothing unknown is in the way."""

    since: datetime | None
    days: tuple[date, ...]
    resumes: datetime


def unknown(since: datetime | None, at: datetime, zone: ZoneInfo) -> Unknown:
    """The unknown span of a database that is found at ``at``. Pure.

    Of the days before today only yesterday counts for anything: for windows across midnight, and for 24 hours.
    """
    today = at.astimezone(zone).date()
    since = None if since is None else min(since, at)
    first = today - _ONE_DAY if since is None else since.astimezone(zone).date()
    found = tuple(day for day in (today - _ONE_DAY, today) if day >= first)
    return Unknown(since, found, max(days.quota_day(today, zone).closes, at + _LONGEST_SHORT_WINDOW))


@dataclass(frozen=True)
class Done:
    """``doubted``: by day, the mails that now count as in doubt, and of how many mailboxes."""

    unknown: Unknown
    epoch: int
    doubted: dict[date, tuple[int, int]]
    hosts: tuple[str, ...]


_LIVE = text("""
SELECT number, host, extract(epoch FROM lease_until - clock_timestamp()) AS seconds
FROM workers WHERE lease_until > clock_timestamp() ORDER BY number
""")

# A lease is renewed every few seconds, so its end tells when the last worker was heard of better than a mail does. Mailboxes tell
# nothing: a person may have changed some since the restore.
_LAST_SIGN = text("""
SELECT greatest((SELECT max(settled_at) FROM mails), (SELECT max(claimed_at) FROM mails WHERE state = 'intent'),
    (SELECT max(lease_until) - interval '1 minute' FROM workers))
""")

# Nobody's any more: a process of before may settle what it wrote, and would call failed what it does not remember.
_CLOSE = text("""
WITH open AS MATERIALIZED (
    SELECT day, id, mailbox_id FROM mails WHERE state = 'intent'
), locked AS MATERIALIZED (
    SELECT id FROM mailboxes WHERE id IN (SELECT mailbox_id FROM open) ORDER BY id FOR UPDATE
), doubted AS (
    UPDATE mails l SET state = 'in_doubt', settled_at = clock_timestamp(), number = 0, incarnation = 0, phase = 'restore',
        reply = 'it was in flight when the backup was made'
    FROM open WHERE (SELECT count(*) FROM locked) >= 0 AND l.day = open.day AND l.id = open.id AND l.state = 'intent'
    RETURNING l.day, l.id, l.mailbox_id
), counted AS (
    UPDATE quotas q SET in_doubt = q.in_doubt + d.mails
    FROM (SELECT day, mailbox_id, count(*) AS mails FROM doubted GROUP BY day, mailbox_id) d
    WHERE q.day = d.day AND q.mailbox_id = d.mailbox_id
)
UPDATE mailboxes m SET in_flight = NULL FROM doubted d WHERE m.id = d.mailbox_id AND m.in_flight = d.id
""")

_BOXES = text("""
SELECT m.id, m.ramp_day, m.ramp_on, m.smtp_host AS host, m.quota_override AS override, m.window_from, m.window_to, m.time_zone,
    m.days, q.quota
FROM mailboxes m LEFT JOIN quotas q ON q.mailbox_id = m.id AND q.day = :day
ORDER BY m.id
""")

_SPEND = text("""
WITH given AS (
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:quotas AS integer[])) AS g (id, quota)
), locked AS MATERIALIZED (
    SELECT id FROM mailboxes WHERE id = ANY (CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE
), lacking AS MATERIALIZED (
    SELECT g.id, coalesce(q.quota, g.quota) AS quota, coalesce(q.spent, 0) AS spent
    FROM locked JOIN given g USING (id) LEFT JOIN quotas q ON q.day = :day AND q.mailbox_id = g.id
), spent AS (
    INSERT INTO quotas AS q (day, mailbox_id, quota, spent, in_doubt) SELECT :day, id, quota, quota, quota FROM lacking
    ON CONFLICT (day, mailbox_id) DO UPDATE SET in_doubt = q.in_doubt + q.quota - q.spent, spent = q.quota
), doubted AS (
    INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at, settled_at, phase,
        reply)
    SELECT :day, nextval('mail_ids'), id, id, k, 'in_doubt', 0, 0, :epoch, :at, clock_timestamp(), 'restore',
        'the restored database does not know whether it was sent, nor to whom'
    FROM lacking CROSS JOIN generate_series(spent, quota - 1) AS k
)
SELECT coalesce(sum(quota - spent), 0) AS mails, count(*) FILTER (WHERE quota > spent) AS boxes FROM lacking
""")

_PAUSE = text("""
INSERT INTO pauses AS p (scope, key, until, rule, reason)
SELECT DISTINCT 'provider', lower(smtp_host), CAST(:until AS timestamptz), :rule, :reason FROM mailboxes
ON CONFLICT (scope, key) DO UPDATE SET until = excluded.until, per_minute = NULL, attempt = 0, rule = excluded.rule,
    reason = excluded.reason, since = excluded.since
WHERE p.per_minute IS NOT NULL OR p.until < excluded.until
""")

# Those too that no mail before the backup had made.
_EMPTY_BUCKETS = text("""
INSERT INTO rate_limits AS r (scope, tat)
SELECT scope, (SELECT clock_timestamp()) + CAST(:microseconds AS bigint) * interval '1 microsecond' FROM (
    SELECT CAST(:prefix AS text) || substring(address FROM '[^@]*$') AS scope FROM mailboxes
    UNION SELECT scope FROM rate_limits WHERE starts_with(scope, :prefix)
) AS every
ORDER BY scope
ON CONFLICT (scope) DO UPDATE SET tat = greatest(r.tat, excluded.tat)
""")


async def make_safe(connection: AsyncConnection, token: str) -> Done | None:
    """Do all of it in the caller's transaction; None where the database has no fleet. Raises StillLive.

    ``token``: a random word. To do it twice costs nothing that the first time did not.
    """
    await connection.execute(text("LOCK TABLE workers IN EXCLUSIVE MODE"))  # nobody registers meanwhile
    if live := (await connection.execute(_LIVE)).all():
        raise StillLive(live)
    since = await connection.scalar(_LAST_SIGN)
    row = await fleet.renew(connection, token)
    if row is None:
        return None
    await connection.execute(text("DELETE FROM workers"))
    await connection.execute(_CLOSE)
    await connection.execute(
        text("SELECT setval('incarnations', nextval('incarnations') + :more)"), {"more": _NEVER_GIVEN}
    )
    found = unknown(since, row.at, ZoneInfo(row.time_zone))
    doubted = {day: await _spend(connection, row, day) for day in found.days}
    await _empty_buckets(connection, row)
    reason = "the database was restored from a backup; what was sent after it is unknown"
    await connection.execute(_PAUSE, {"until": found.resumes, "rule": RULE, "reason": reason})
    hosts = await connection.scalars(text("SELECT DISTINCT lower(smtp_host) FROM mailboxes ORDER BY 1"))
    return Done(found, row.epoch, doubted, tuple(hosts))


async def _spend(connection: AsyncConnection, row: FleetRow, day: date) -> tuple[int, int]:
    """Spend what is left of a day's quotas, those included that nobody had planned at the backup: (mails, mailboxes)."""
    planner = Planner(day, row.time_zone, row.settings)
    last = planner.span.closes - timedelta.resolution
    found = (await connection.execute(_BOXES, {"day": day})).all()
    mails = boxes = 0
    for page in (found[first : first + _PAGE] for first in range(0, len(found), _PAGE)):
        values = {
            "day": day,
            "ids": [it.id for it in page],
            "quotas": [_quota(planner, it) for it in page],
            "epoch": row.epoch,
            "at": min(row.at, last),
        }
        spent = (await connection.execute(_SPEND, values)).one()
        mails, boxes = mails + int(spent.mails), boxes + int(spent.boxes)
    return mails, boxes


def _quota(planner: Planner, box: Any) -> int:
    """What a mailbox owes on the planner's day, as if it had sent on its last working day."""
    if box.quota is not None:
        return int(box.quota)
    own = OwnHours(box.window_from, box.window_to, box.time_zone, box.days)
    return planner.plan(Case(box.ramp_day, box.ramp_on, True, box.host, box.override, own)).day.mails


async def _empty_buckets(connection: AsyncConnection, row: FleetRow) -> None:
    """Take each domain's bucket as empty: it is the one whose window is longer than the pause."""
    count = row.settings.per_domain_per_day_limit
    if count is None:
        return
    share = row.settings.window_length.total_seconds() / limits.DAY_SECONDS
    limit = limits.limit(count, limits.DAY_SECONDS, open_share=share)
    values = {"microseconds": limit.burst * limit.step_us, "prefix": f"{limits.Kind.DOMAIN}/"}
    await connection.execute(_EMPTY_BUCKETS, values)
