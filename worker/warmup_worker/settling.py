"""The SQL of outcomes: settle, defer, and the sweep that closes what dead workers left open.

Each is one statement that locks its mailboxes first, in order of id, and touches their mails and quotas only under that
lock: so statements over the same mailboxes queue and cannot deadlock. An outcome changes a mail only out of the states it
may leave, so writing it twice, or after the sweep, is harmless, and no verdict from an older look can overwrite a newer one:

    intent -> sent | failed | in_doubt      in_doubt -> sent | failed (only by the process that wrote the intent: it knows better)

A hold is of the enrolment that failed: an import that came meanwhile may have mended it, so nothing of it is written then.

Settling asks for the mail's incarnation and for nothing else: not for the epoch, not for a lease. What a process began it
may end. A day is always given as a value, so that the planner sees its partitions and no others: planning over all that a
retention of 90 days keeps costs ten times what the statement itself does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.types import MailState
from warmup_worker.clock import boottime
from warmup_worker.connection import Connected, rows
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
    hold_ms: int = 0
    """How long for, from the same instant, where that is longer than its rest."""
    changed_at: float | None = None
    """The enrolment that it failed under (``Enrolment.changed_at``): a hold and a strike are written only while that stands."""
    dotted: float | None = None
    """``boottime`` of the dot."""
    strike: bool = False
    """Whether it counts against the mailbox's health."""


@dataclass(frozen=True)
class Deferral:
    """A mailbox that could not even connect or log in: no mail, no quota, a rest and its reason. ``until``: when the rest ends,
    by the database's clock, in seconds since the epoch: an instant, so that a repetition can be told from another failure.
    ``changed_at``: the enrolment that failed (``Enrolment.changed_at``); nothing is written of one that was changed since."""

    mailbox_id: int
    until: float
    hold: str
    changed_at: float
    strike: bool = False


_UNCHANGED = "date_part('epoch', m.changed_at) = e.changed_at"
"""As the roster reads it, so that one instant is one number here and there."""

_SETTLE = text(f"""
WITH given AS (
    SELECT * FROM unnest(
        CAST(:mailboxes AS bigint[]), CAST(:mails AS bigint[]), CAST(:states AS text[]), CAST(:phases AS text[]),
        CAST(:replies AS text[]), CAST(:holds AS text[]), CAST(:rests AS float8[]), CAST(:hold_rests AS float8[]),
        CAST(:dot_ages AS float8[]), CAST(:strikes AS integer[]), CAST(:enrolments AS float8[])
    ) AS g (mailbox_id, id, state, phase, reply, hold, rest, hold_rest, dot_age, strike, changed_at)
), locked AS MATERIALIZED (
    SELECT id FROM mailboxes WHERE id = ANY (CAST(:mailboxes AS bigint[])) ORDER BY id FOR UPDATE
), ended AS MATERIALIZED (
    SELECT g.*, l.state AS before, clock_timestamp() - make_interval(secs => g.dot_age) AS dot_at
    FROM given g CROSS JOIN LATERAL (
        SELECT l.mailbox_id, l.state FROM mails l WHERE l.day = :day AND l.id = g.id AND l.incarnation = :incarnation FOR UPDATE
    ) l
    WHERE (SELECT count(*) FROM locked) >= 0 AND l.mailbox_id = g.mailbox_id
      AND (l.state = 'intent' OR l.state = 'in_doubt' AND g.state <> 'in_doubt')
), counted AS (
    UPDATE quotas q SET spent = q.spent - d.failed, failed = q.failed + d.failed, sent = q.sent + d.sent,
        in_doubt = q.in_doubt + d.doubted - d.cleared
    FROM (
        SELECT mailbox_id, count(*) FILTER (WHERE state = 'sent') AS sent,
               count(*) FILTER (WHERE state = 'failed') AS failed,
               count(*) FILTER (WHERE state = 'in_doubt') AS doubted,
               count(*) FILTER (WHERE before = 'in_doubt') AS cleared
        FROM ended GROUP BY mailbox_id
    ) d
    WHERE q.day = :day AND q.mailbox_id = d.mailbox_id
), released AS (
    UPDATE mailboxes m SET in_flight = NULL, hold_reason = CASE WHEN {_UNCHANGED} THEN e.hold END,
        strikes = m.strikes + CASE WHEN {_UNCHANGED} THEN e.strike ELSE 0 END,
        not_before = coalesce(coalesce(e.dot_at, clock_timestamp()) + make_interval(secs =>
            CASE WHEN {_UNCHANGED} THEN greatest(e.rest, e.hold_rest) ELSE e.rest END), m.not_before)
    FROM ended e WHERE m.id = e.mailbox_id AND m.in_flight = e.id
)
UPDATE mails l SET state = e.state, settled_at = clock_timestamp(), dot_at = e.dot_at, phase = e.phase, reply = e.reply
FROM ended e WHERE l.day = :day AND l.id = e.id AND l.id = ANY (CAST(:mails AS bigint[]))
RETURNING l.day, l.id
""")  # noqa: S608 - our own text
# A day's partition is new each day, and what the planner knows of it may be that it was empty. So each mail is looked up by its
# id, LATERAL, and the ids stand in the UPDATE as values too: it read the whole day for each batch, and compared each of its mails
# with each outcome, which it did with those of the batch as well. The rows' mailboxes are locked, so no order of theirs matters.


async def settle(
    connection: Connected, incarnation: int, outcomes: Sequence[Outcome]
) -> set[tuple[date, int]]:
    """Write how mails of one day ended; returns the keys of those that changed. Harmless to repeat. One outcome a mail.

    An outcome not returned found its mail settled before (an unknown COMMIT that had arrived after all).
    """
    if not outcomes:
        return set()
    (day,) = {it.day for it in outcomes}
    now = boottime()
    changed = await rows(
        connection,
        _SETTLE,
        {
            "mailboxes": [it.mailbox_id for it in outcomes],
            "day": day,
            "mails": [it.mail_id for it in outcomes],
            "states": [it.state.value for it in outcomes],
            "phases": [it.phase for it in outcomes],
            "replies": [it.reply for it in outcomes],
            "holds": [it.hold for it in outcomes],
            "rests": [None if it.rest_ms is None else it.rest_ms / 1000 for it in outcomes],
            "hold_rests": [it.hold_ms / 1000 for it in outcomes],
            "enrolments": [it.changed_at for it in outcomes],
            "dot_ages": [None if it.dotted is None else max(0.0, now - it.dotted) for it in outcomes],
            "strikes": [int(it.strike) for it in outcomes],
            "incarnation": incarnation,
        },
    )
    return {(row["day"], row["id"]) for row in changed}


# A turn begins after the rest of the one before: a hold with these words that lasts as long is this one, written before.
_DEFER = text("""
WITH given AS (
    SELECT mailbox_id, to_timestamp(until) AS until, hold, strike, changed_at
    FROM unnest(CAST(:mailboxes AS bigint[]), CAST(:untils AS float8[]), CAST(:holds AS text[]), CAST(:strikes AS integer[]),
        CAST(:enrolments AS float8[])) AS g (mailbox_id, until, hold, strike, changed_at)
), locked AS MATERIALIZED (
    SELECT m.id, g.until, g.hold, g.strike FROM mailboxes m JOIN given g ON g.mailbox_id = m.id
    WHERE m.in_flight IS NULL AND date_part('epoch', m.changed_at) = g.changed_at
      AND EXISTS (SELECT FROM workers w WHERE w.number = :number AND w.incarnation = :incarnation)
    ORDER BY m.id FOR UPDATE OF m
)
UPDATE mailboxes m SET hold_reason = d.hold, strikes = m.strikes + d.strike, not_before = greatest(m.not_before, d.until)
FROM locked d WHERE m.id = d.id AND (m.hold_reason IS DISTINCT FROM d.hold OR m.not_before < d.until)
""")


async def defer(connection: AsyncConnection, me: Identity, deferrals: Sequence[Deferral]) -> None:
    """Let mailboxes rest that could not connect or log in, and say why. Costs no quota. Harmless to repeat."""
    await connection.execute(
        _DEFER,
        {
            "mailboxes": [it.mailbox_id for it in deferrals],
            "untils": [it.until for it in deferrals],
            "holds": [it.hold for it in deferrals],
            "strikes": [int(it.strike) for it in deferrals],
            "enrolments": [it.changed_at for it in deferrals],
            "number": me.number,
            "incarnation": me.incarnation,
        },
    )


# The clock stands in a subquery so that it is read once and the partial index on claimed_at serves.
_SWEEP = text("""
WITH lost AS MATERIALIZED (
    SELECT l.day, l.id, l.mailbox_id FROM mails l
    WHERE l.state = 'intent' AND l.day >= :since
      AND l.claimed_at < (SELECT clock_timestamp()) - make_interval(secs => :sweep_seconds)
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
    WHERE (SELECT count(*) FROM locked) >= 0 AND l.day >= :since AND l.day = lost.day AND l.id = lost.id
      AND l.state = 'intent'
    RETURNING l.day, l.id, l.mailbox_id
), counted AS (
    UPDATE quotas q SET in_doubt = q.in_doubt + d.mails
    FROM (SELECT day, mailbox_id, count(*) AS mails FROM doubted GROUP BY day, mailbox_id) d
    WHERE q.day >= :since AND q.day = d.day AND q.mailbox_id = d.mailbox_id
), released AS (
    UPDATE mailboxes m SET in_flight = NULL FROM doubted d WHERE m.id = d.mailbox_id AND m.in_flight = d.id
)
SELECT count(*) FROM doubted
""")


async def sweep(connection: AsyncConnection, sweep_seconds: float, since: date = date.min) -> int:
    """Put open intents older than ``sweep_seconds`` in doubt whose writer is not live; returns how many. Never `failed`.

    The search starts from the intents, so a missing row of a worker hides nothing. ``since``: the first day that is looked at.
    """
    return int(await connection.scalar(_SWEEP, {"sweep_seconds": sweep_seconds, "since": since}) or 0)


_OPEN = text("""
SELECT day, id, mailbox_id FROM mails
WHERE state = 'intent' AND incarnation = :incarnation AND number = :number AND day >= :since
  AND claimed_at < (SELECT clock_timestamp()) - make_interval(secs => :seconds)
""")


async def open_intents(
    connection: AsyncConnection, me: Identity, seconds: float, since: date = date.min
) -> list[tuple[date, int, int]]:
    """This process's open intents older than ``seconds``, of the days from ``since`` on: (day, mail id, mailbox id)."""
    values = {"incarnation": me.incarnation, "number": me.number, "seconds": seconds, "since": since}
    found = await connection.execute(_OPEN, values)
    return [(row.day, row.id, row.mailbox_id) for row in found]
