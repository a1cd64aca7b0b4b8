"""The SQL of rate limits: buckets, reservations of tokens, and why a mailbox finds none.

A bucket is a row (scope, tat) of ``rate_limits``; the arithmetic is ``warmup_core.limits.grant``. Rows are locked in order of
scope and the clock is read once all locks are held, so every bucket is judged at one instant that nobody can be ahead of. A
reservation is a transaction of its own: once committed its tokens are gone, whether or not anybody spends them.
The buckets of users and domains are spent by the claim's own statement: its parts stand here, ``claiming`` puts them together.
Fails: an error may hide a COMMIT; the tokens count as lost.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.limits import Kind, Limit
from warmup_worker.connection import Connected, rows

UNDER_PROVIDER = """AND (a.most IS NULL OR a.most > q.spent + q.failed + (
              SELECT coalesce(sum(y.spent + y.failed), 0) FROM quotas y
              WHERE y.mailbox_id = m.id AND y.day BETWEEN CAST(:day AS date) - 2 AND CAST(:day AS date) - 1)
          OR (SELECT count(*) FILTER (WHERE l.claimed_at >= clock_timestamp() - make_interval(secs => :day_seconds)) < a.most
                 AND count(*) FILTER (WHERE l.day = :day) = q.spent + q.failed
              FROM mails l WHERE l.mailbox_id = m.id AND l.day BETWEEN CAST(:day AS date) - 2 AND :day))"""
"""Of ``free``: its provider still admits mails from it. They are counted only where its quotas of the last days leave that open.
The count is of the statement's snapshot and has to agree with today's row, which is locked: so a mail that was claimed and
settled in between is never missed."""

BUCKETS = """, needed AS MATERIALIZED (
    SELECT free.mailbox_id, free.place, l.step, l.burst,
        l.kind || '/' || CASE l.kind WHEN 'user' THEN free.user_id::text ELSE free.domain END AS scope
    FROM free
    CROSS JOIN unnest(CAST(:kinds AS text[]), CAST(:steps AS bigint[]), CAST(:bursts AS bigint[])) AS l (kind, step, burst)
), bucket AS MATERIALIZED (
    SELECT r.scope, r.tat FROM rate_limits r WHERE r.scope = ANY (ARRAY(SELECT scope FROM needed)) ORDER BY r.scope FOR UPDATE
)"""
"""After ``free``: the buckets that its mailboxes need, locked in order of scope once all mailboxes are."""

LOCKED = "CROSS JOIN (SELECT count(*) FROM bucket) AS b"

OVER = """, over AS MATERIALIZED (
    SELECT n.mailbox_id
    FROM (SELECT *, row_number() OVER (PARTITION BY scope ORDER BY place) AS nth FROM needed) n
    CROSS JOIN clock c LEFT JOIN bucket b USING (scope)
    WHERE b.scope IS NULL
       OR n.nth > n.burst - ceil(extract(epoch FROM greatest(b.tat, c.now) - c.now) * 1000000 / n.step)
)"""
"""After ``clock``: who is beyond the tokens of one of its buckets, by arrival."""

NOT_OVER = "AND free.mailbox_id NOT IN (SELECT mailbox_id FROM over)"

PAID = """, paid AS (
    UPDATE rate_limits r SET tat = greatest(r.tat, p.now) + p.tokens * p.step * interval '1 microsecond'
    FROM (
        SELECT n.scope, n.step, c.claimed_at AS now, count(*) AS tokens
        FROM needed n JOIN claim c USING (mailbox_id) GROUP BY n.scope, n.step, c.claimed_at
    ) p
    WHERE r.scope = p.scope
)"""
"""After ``claim``: a token for each claim that was made."""


def values_of(scoped: Mapping[Kind, Limit]) -> dict[str, list[str] | list[int]]:
    """The limits of users and domains as parameters of a statement."""
    return {
        "kinds": [kind.value for kind in scoped],
        "steps": [limit.step_us for limit in scoped.values()],
        "bursts": [limit.burst for limit in scoped.values()],
    }


@dataclass(frozen=True)
class Bucket:
    """A bucket that a worker reserves from."""

    kind: Kind
    scope: str
    limit: Limit


@dataclass(frozen=True)
class Reservation:
    """``tokens`` granted at ``granted_at``. ``wait``: seconds until ``short``, the bucket that held least, has the next one.

    ``current`` is false, and nothing granted, when the fleet's settings are no longer those that the limits were read from.
    """

    tokens: int
    granted_at: datetime
    wait: float
    short: str
    current: bool


_ENSURE = text(
    "INSERT INTO rate_limits (scope) SELECT unnest(CAST(:scopes AS text[])) ORDER BY 1 ON CONFLICT DO NOTHING"
)


async def ensure(connection: AsyncConnection, scopes: Collection[str]) -> None:
    """Make the buckets that are not there yet; a new one is full."""
    await connection.execute(_ENSURE, {"scopes": sorted(scopes)})


_RESERVE = text("""
WITH want AS (
    SELECT * FROM unnest(CAST(:scopes AS text[]), CAST(:steps AS bigint[]), CAST(:bursts AS bigint[])) AS w (scope, step, burst)
), bucket AS MATERIALIZED (
    SELECT r.scope, r.tat FROM rate_limits r WHERE r.scope = ANY (CAST(:scopes AS text[])) ORDER BY r.scope FOR UPDATE
), clock AS MATERIALIZED (
    SELECT count(*) AS buckets, clock_timestamp() AS now FROM bucket
), room AS MATERIALIZED (
    SELECT w.scope, w.step, greatest(b.tat, c.now) AS tat,
        w.burst - ceil(extract(epoch FROM greatest(b.tat, c.now) - c.now) * 1000000 / w.step) AS tokens,
        greatest(b.tat, c.now) - (w.burst - 1) * w.step * interval '1 microsecond' AS due
    FROM want w JOIN bucket b USING (scope) CROSS JOIN clock c
), given AS MATERIALIZED (
    SELECT CASE WHEN f.settings_version = :version THEN greatest(0, least(:wanted, min(room.tokens))) ELSE 0 END AS tokens,
        coalesce(f.settings_version = :version, false) AS current
    FROM room LEFT JOIN fleet f ON true GROUP BY f.settings_version
), next AS (
    SELECT room.scope, room.due + given.tokens::bigint * room.step * interval '1 microsecond' AS at
    FROM room CROSS JOIN given ORDER BY at DESC LIMIT 1
), taken AS (
    UPDATE rate_limits r SET tat = room.tat + given.tokens::bigint * room.step * interval '1 microsecond'
    FROM room, given WHERE r.scope = room.scope AND given.tokens > 0
)
SELECT c.buckets, c.now AS granted_at, g.tokens::bigint AS tokens, g.current, n.scope AS short,
    greatest(0, extract(epoch FROM n.at - c.now))::float8 AS wait
FROM clock c LEFT JOIN given g ON true LEFT JOIN next n ON true
""")


async def reserve(
    connection: Connected, buckets: Sequence[Bucket], wanted: int, settings_version: int
) -> Reservation | None:
    """Take up to ``wanted`` tokens, the same number from every bucket; None when one of them is not there."""
    (row,) = await rows(
        connection,
        _RESERVE,
        {
            "scopes": [it.scope for it in buckets],
            "steps": [it.limit.step_us for it in buckets],
            "bursts": [it.limit.burst for it in buckets],
            "wanted": wanted,
            "version": settings_version,
        },
    )
    if row["buckets"] != len(buckets):
        return None
    return Reservation(row["tokens"], row["granted_at"], row["wait"], row["short"], row["current"])


@dataclass(frozen=True)
class Shortage:
    """A mailbox's scope that has no token: ``wait`` seconds until one is due."""

    mailbox_id: int
    kind: Kind
    scope: str
    wait: float


_SHORTAGES = text("""
WITH ask AS (
    SELECT a.*, substring(m.address FROM '[^@]*$') AS domain, m.user_id
    FROM unnest(CAST(:mailboxes AS bigint[]), CAST(:most_a_day AS integer[])) AS a (mailbox_id, most)
    JOIN mailboxes m ON m.id = a.mailbox_id
), scope AS (
    SELECT a.mailbox_id, l.kind, l.kind || '/' || CASE l.kind WHEN 'user' THEN a.user_id::text ELSE a.domain END AS scope,
        l.step, l.burst
    FROM ask a
    CROSS JOIN unnest(CAST(:kinds AS text[]), CAST(:steps AS bigint[]), CAST(:bursts AS bigint[])) AS l (kind, step, burst)
), due AS (
    SELECT s.mailbox_id, s.kind, s.scope, r.tat - (s.burst - 1) * s.step * interval '1 microsecond' AS at
    FROM scope s JOIN rate_limits r USING (scope)
    UNION ALL
    SELECT a.mailbox_id, 'provider', 'mailbox/' || a.mailbox_id, l.claimed_at + make_interval(secs => :day_seconds)
    FROM ask a CROSS JOIN LATERAL (
        SELECT claimed_at FROM mails WHERE mailbox_id = a.mailbox_id AND day >= CAST(:day AS date) - 2
        ORDER BY claimed_at DESC OFFSET a.most - 1 LIMIT 1
    ) l
    WHERE a.most IS NOT NULL
)
SELECT DISTINCT ON (mailbox_id) mailbox_id, kind, scope, extract(epoch FROM at - clock_timestamp())::float8 AS wait
FROM due WHERE at >= clock_timestamp() ORDER BY mailbox_id, at DESC
""")


async def shortages(
    connection: AsyncConnection,
    asks: Mapping[int, int | None],
    scoped: Mapping[Kind, Limit],
    day_seconds: float,
    day: date,
) -> dict[int, Shortage]:
    """Which of these mailboxes lack a token of their user's, their domain's or their provider's, as the rows stand on ``day``.

    ``asks``: the most that each mailbox may send in ``day_seconds``. Of several scopes the one that makes it wait longest.
    """
    found = await connection.execute(
        _SHORTAGES,
        {
            "mailboxes": list(asks),
            "most_a_day": list(asks.values()),
            "day_seconds": day_seconds,
            "day": day,
            **values_of(scoped),
        },
    )
    return {row.mailbox_id: Shortage(row.mailbox_id, Kind(row.kind), row.scope, row.wait) for row in found}
