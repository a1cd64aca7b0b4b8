"""The SQL of outcomes: settle, defer, and the sweep that closes what dead workers left open.

Each is one statement that locks its mailboxes first, in order of id, and touches their mails and quotas only under that
lock: so statements over the same mailboxes queue and cannot deadlock. An outcome changes a mail only out of the states it
may leave, so writing it twice, or after the sweep, is harmless, and no verdict from an older look can overwrite a newer one:

    intent -> sent | failed | in_doubt      in_doubt -> sent | failed (only by the process that wrote the intent: it knows better)

Settling asks for the mail's incarnation and for nothing else: not for the epoch, not for a lease. What a process began it
may end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.types import MailState
from warmup_worker.clock import boottime
from warmup_worker.lease import Identity


@dataclass(frozen=True)
class Outcome:
    """How a mail ended. ``rest_ms``: how long its mailbox rests from the dot, or from now where none was written; None leaves
    the claim's own ``not_before``."""

    mailbox_id: int
    day: date
    mail_id: int
    state: MailState
    phase: str
    reply: str
    rest_ms: int | None
    hold: str | None = None
    """Why the mailbox is held back, for people; None when nothing is wrong."""
    dotted: float | None = None
    """``boottime`` of the dot."""
    strike: bool = False
    """Whether it counts against the mailbox's health."""


@dataclass(frozen=True)
class Deferral:
    """A mailbox that could not even connect or log in: no mail, no quota, a rest and its reason."""

    mailbox_id: int
    rest_ms: int
    hold: str
    strike: bool = False


_SETTLE = text("""
WITH given AS (
    SELECT * FROM unnest(
        CAST(:mailboxes AS bigint[]), CAST(:days AS date[]), CAST(:mails AS bigint[]), CAST(:states AS text[]),
        CAST(:phases AS text[]), CAST(:replies AS text[]), CAST(:holds AS text[]), CAST(:rests AS float8[]),
        CAST(:dot_ages AS float8[]), CAST(:strikes AS integer[])
    ) AS g (mailbox_id, day, id, state, phase, reply, hold, rest, dot_age, strike)
), locked AS MATERIALIZED (
    SELECT id FROM mailboxes WHERE id = ANY (CAST(:mailboxes AS bigint[])) ORDER BY id FOR UPDATE
), ended AS MATERIALIZED (
    SELECT g.*, l.state AS before, clock_timestamp() - make_interval(secs => g.dot_age) AS dot_at
    FROM given g
    JOIN mails l ON l.day = g.day AND l.id = g.id AND l.mailbox_id = g.mailbox_id
    WHERE (SELECT count(*) FROM locked) >= 0
      AND l.incarnation = :incarnation AND (l.state = 'intent' OR l.state = 'in_doubt' AND g.state <> 'in_doubt')
    ORDER BY l.mailbox_id, l.id
    FOR UPDATE OF l
), counted AS (
    UPDATE quotas q SET spent = q.spent - d.failed, failed = q.failed + d.failed, sent = q.sent + d.sent,
        in_doubt = q.in_doubt + d.doubted - d.cleared
    FROM (
        SELECT day, mailbox_id, count(*) FILTER (WHERE state = 'sent') AS sent,
               count(*) FILTER (WHERE state = 'failed') AS failed,
               count(*) FILTER (WHERE state = 'in_doubt') AS doubted,
               count(*) FILTER (WHERE before = 'in_doubt') AS cleared
        FROM ended GROUP BY day, mailbox_id
    ) d
    WHERE q.day = d.day AND q.mailbox_id = d.mailbox_id
), released AS (
    UPDATE mailboxes m SET in_flight = NULL, hold_reason = e.hold, strikes = m.strikes + e.strike,
        not_before = coalesce(coalesce(e.dot_at, clock_timestamp()) + make_interval(secs => e.rest), m.not_before)
    FROM ended e WHERE m.id = e.mailbox_id AND m.in_flight = e.id
)
UPDATE mails l SET state = e.state, settled_at = clock_timestamp(), dot_at = e.dot_at, phase = e.phase, reply = e.reply
FROM ended e WHERE l.day = e.day AND l.id = e.id
RETURNING l.day, l.id
""")


async def settle(
    connection: AsyncConnection, incarnation: int, outcomes: Sequence[Outcome]
) -> set[tuple[date, int]]:
    """Write how mails ended; returns the keys of those that changed. Harmless to repeat. One outcome a mail.

    An outcome not returned found its mail settled before (an unknown COMMIT that had arrived after all).
    """
    now = boottime()
    rows = await connection.execute(
        _SETTLE,
        {
            "mailboxes": [it.mailbox_id for it in outcomes],
            "days": [it.day for it in outcomes],
            "mails": [it.mail_id for it in outcomes],
            "states": [it.state.value for it in outcomes],
            "phases": [it.phase for it in outcomes],
            "replies": [it.reply for it in outcomes],
            "holds": [it.hold for it in outcomes],
            "rests": [None if it.rest_ms is None else it.rest_ms / 1000 for it in outcomes],
            "dot_ages": [None if it.dotted is None else max(0.0, now - it.dotted) for it in outcomes],
            "strikes": [int(it.strike) for it in outcomes],
            "incarnation": incarnation,
        },
    )
    return {(row.day, row.id) for row in rows}


_DEFER = text("""
WITH given AS (
    SELECT * FROM unnest(CAST(:mailboxes AS bigint[]), CAST(:rests AS float8[]), CAST(:holds AS text[]),
        CAST(:strikes AS integer[])) AS g (mailbox_id, rest, hold, strike)
), locked AS MATERIALIZED (
    SELECT m.id, g.rest, g.hold, g.strike FROM mailboxes m JOIN given g ON g.mailbox_id = m.id
    WHERE m.in_flight IS NULL
      AND EXISTS (SELECT FROM workers w WHERE w.number = :number AND w.incarnation = :incarnation)
    ORDER BY m.id FOR UPDATE OF m
)
UPDATE mailboxes m SET hold_reason = d.hold, strikes = m.strikes + d.strike,
    not_before = greatest(m.not_before, clock_timestamp() + make_interval(secs => d.rest))
FROM locked d WHERE m.id = d.id
""")


async def defer(connection: AsyncConnection, me: Identity, deferrals: Sequence[Deferral]) -> None:
    """Let mailboxes rest that could not connect or log in, and say why. Costs no quota. Harmless to repeat."""
    await connection.execute(
        _DEFER,
        {
            "mailboxes": [it.mailbox_id for it in deferrals],
            "rests": [it.rest_ms / 1000 for it in deferrals],
            "holds": [it.hold for it in deferrals],
            "strikes": [int(it.strike) for it in deferrals],
            "number": me.number,
            "incarnation": me.incarnation,
        },
    )


# The clock stands in a subquery so that it is read once and the partial index on claimed_at serves.
_SWEEP = text("""
WITH lost AS MATERIALIZED (
    SELECT l.day, l.id, l.mailbox_id FROM mails l
    WHERE l.state = 'intent' AND l.claimed_at < (SELECT clock_timestamp()) - make_interval(secs => :sweep_seconds)
      AND NOT EXISTS (
          SELECT FROM workers w
          WHERE w.number = l.number AND w.incarnation = l.incarnation AND w.lease_until > clock_timestamp())
    LIMIT 500
), locked AS MATERIALIZED (
    SELECT id FROM mailboxes WHERE id IN (SELECT mailbox_id FROM lost) ORDER BY id FOR UPDATE
), doubted AS (
    UPDATE mails l SET state = 'in_doubt', settled_at = clock_timestamp(), phase = 'sweep',
        reply = 'its worker ended without a word about it'
    FROM lost
    WHERE (SELECT count(*) FROM locked) >= 0 AND l.day = lost.day AND l.id = lost.id AND l.state = 'intent'
    RETURNING l.day, l.id, l.mailbox_id
), counted AS (
    UPDATE quotas q SET in_doubt = q.in_doubt + d.mails
    FROM (SELECT day, mailbox_id, count(*) AS mails FROM doubted GROUP BY day, mailbox_id) d
    WHERE q.day = d.day AND q.mailbox_id = d.mailbox_id
), released AS (
    UPDATE mailboxes m SET in_flight = NULL FROM doubted d WHERE m.id = d.mailbox_id AND m.in_flight = d.id
)
SELECT count(*) FROM doubted
""")


async def sweep(connection: AsyncConnection, sweep_seconds: float) -> int:
    """Put open intents older than ``sweep_seconds`` in doubt whose writer is not live; returns how many. Never `failed`.

    The search starts from the intents, so a missing row of a worker hides nothing.
    """
    return int(await connection.scalar(_SWEEP, {"sweep_seconds": sweep_seconds}) or 0)


_OPEN = text("""
SELECT day, id, mailbox_id FROM mails
WHERE state = 'intent' AND incarnation = :incarnation AND number = :number
  AND claimed_at < (SELECT clock_timestamp()) - make_interval(secs => :seconds)
""")


async def open_intents(
    connection: AsyncConnection, me: Identity, seconds: float
) -> list[tuple[date, int, int]]:
    """This process's open intents older than ``seconds``: (day, mail id, mailbox id)."""
    rows = await connection.execute(
        _OPEN, {"incarnation": me.incarnation, "number": me.number, "seconds": seconds}
    )
    return [(row.day, row.id, row.mailbox_id) for row in rows]
