"""The SQL of claims: the one statement that lets a mail be sent, and why it did not.

A claim is one statement: the mailbox's row is locked, in order of id; its quota is spent, its intent written, and only rows
that come back may be sent. The promises rest on rows, not on time: ``in_flight`` is null, ``spent < quota``, ``not_before``
is over; the lock makes READ COMMITTED look at all of that again after any wait, so of two claims for one mailbox the second
finds it taken. Epoch and incarnation are read from the statement's snapshot: a claim that races a resize is untidy, never
unsafe.
Fails: an error may hide a COMMIT, so nothing is sent then, and the engine closes such intents later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_worker.clock import boottime
from warmup_worker.lease import Identity


@dataclass(frozen=True)
class Ask:
    """A mailbox whose connection is ready, the recipient it would write to, and its drawn cooldown."""

    mailbox_id: int
    recipient_id: int
    cooldown_ms: int


@dataclass(frozen=True)
class Claim:
    """A claim that the database granted: this mail may be sent, once, while it is young. ``k`` counts from 0 within the day."""

    mailbox_id: int
    mail_id: int
    day: date
    k: int
    claimed_at: datetime
    recipient_id: int
    recipient: str
    cooldown_ms: int
    started: float
    """``boottime`` before the claim left."""

    @property
    def age(self) -> float:
        """Seconds since the claim left; never less than the database's own count."""
        return boottime() - self.started


class Refusal(StrEnum):
    """Why a claim was not granted."""

    REPLACED = "replaced by a newer process"
    NO_FLEET = "no fleet"
    PAUSED = "paused"
    EPOCH = "epoch changed"
    NOT_MINE = "not mine"
    INACTIVE = "inactive"
    IN_FLIGHT = "in flight elsewhere"
    COOLDOWN = "cooldown"
    UNPLANNED = "no quota row yet"
    QUOTA = "quota spent"
    RECIPIENT = "recipient gone"
    RACED = "raced"
    DATABASE = "database away"
    STOPPING = "stopping"


@dataclass(frozen=True)
class NotClaimed:
    """A refused claim, with what the rows say now: ``not_before`` in seconds since the epoch."""

    mailbox_id: int
    reason: Refusal
    not_before: float = 0.0
    quota: int | None = None
    spent: int | None = None


_CLAIM = text("""
WITH ask AS (
    SELECT * FROM unnest(CAST(:mailboxes AS bigint[]), CAST(:recipients AS bigint[]), CAST(:cooldowns AS integer[]))
        AS a (mailbox_id, recipient_id, cooldown_ms)
), free AS MATERIALIZED (
    SELECT m.id AS mailbox_id, q.day, q.spent AS k, r.id AS recipient_id, r.address AS recipient, a.cooldown_ms
    FROM ask a
    JOIN mailboxes m ON m.id = a.mailbox_id
    JOIN quotas q ON q.mailbox_id = m.id AND q.day = (SELECT fleet_day())
    JOIN mailboxes r ON r.id = a.recipient_id AND r.id <> m.id AND r.active
    JOIN fleet f ON f.epoch = :epoch AND NOT f.paused AND NOT f.deleted
    JOIN workers w ON w.number = :number AND w.incarnation = :incarnation
    WHERE m.active AND m.in_flight IS NULL AND m.not_before <= clock_timestamp()
      AND m.id % nullif(f.worker_count, 0) = CAST(:number AS integer) - 1 AND q.spent < q.quota
    ORDER BY m.id
    FOR UPDATE OF m, q
), claim AS MATERIALIZED (
    SELECT free.*, nextval('mail_ids') AS mail_id, clock_timestamp() AS claimed_at FROM free
), spent AS (
    UPDATE quotas q SET spent = q.spent + 1 FROM claim c WHERE q.day = c.day AND q.mailbox_id = c.mailbox_id
), held AS (
    UPDATE mailboxes m SET in_flight = c.mail_id, hold_reason = NULL,
        not_before = c.claimed_at + make_interval(secs => CAST(:claim_seconds AS float8) + c.cooldown_ms / 1000.0)
    FROM claim c WHERE m.id = c.mailbox_id
), intent AS (
    INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at)
    SELECT day, mail_id, mailbox_id, recipient_id, k, 'intent', :number, :incarnation, :epoch, claimed_at FROM claim
)
SELECT mailbox_id, mail_id, day, k, claimed_at, recipient_id, recipient, cooldown_ms FROM claim
""")


async def claim(
    connection: AsyncConnection,
    me: Identity,
    epoch: int,
    asks: Sequence[Ask],
    claim_seconds: float,
    started: float,
) -> list[Claim]:
    """Claim for each mailbox asked, at most once each; what is not returned must not be sent.

    ``started``: ``boottime`` before this call. No two asks may name the same mailbox.
    """
    rows = await connection.execute(
        _CLAIM,
        {
            "mailboxes": [ask.mailbox_id for ask in asks],
            "recipients": [ask.recipient_id for ask in asks],
            "cooldowns": [ask.cooldown_ms for ask in asks],
            "epoch": epoch,
            "number": me.number,
            "incarnation": me.incarnation,
            "claim_seconds": claim_seconds,
        },
    )
    return [Claim(**row._mapping, started=started) for row in rows]


_EXPLAIN = text("""
SELECT a.mailbox_id,
    CASE
        WHEN w.incarnation IS DISTINCT FROM :incarnation THEN 'REPLACED'
        WHEN f.id IS NULL OR f.deleted THEN 'NO_FLEET'
        WHEN f.paused THEN 'PAUSED'
        WHEN f.epoch <> :epoch THEN 'EPOCH'
        WHEN m.id IS NULL OR NOT m.active THEN 'INACTIVE'
        WHEN m.id % nullif(f.worker_count, 0) IS DISTINCT FROM CAST(:number AS integer) - 1 THEN 'NOT_MINE'
        WHEN m.in_flight IS NOT NULL THEN 'IN_FLIGHT'
        WHEN q.quota IS NULL THEN 'UNPLANNED'
        WHEN q.spent >= q.quota THEN 'QUOTA'
        WHEN m.not_before > clock_timestamp() THEN 'COOLDOWN'
        WHEN r.id IS NULL OR NOT r.active THEN 'RECIPIENT'
        ELSE 'RACED'
    END AS reason,
    greatest(coalesce(extract(epoch FROM m.not_before), 0), 0) AS not_before, q.quota, q.spent
FROM unnest(CAST(:mailboxes AS bigint[]), CAST(:recipients AS bigint[])) AS a (mailbox_id, recipient_id)
LEFT JOIN mailboxes m ON m.id = a.mailbox_id
LEFT JOIN mailboxes r ON r.id = a.recipient_id AND r.id <> a.mailbox_id
LEFT JOIN quotas q ON q.mailbox_id = m.id AND q.day = (SELECT fleet_day())
LEFT JOIN fleet f ON true
LEFT JOIN workers w ON w.number = :number
""")


async def explain(
    connection: AsyncConnection, me: Identity, epoch: int, asks: Sequence[Ask]
) -> list[NotClaimed]:
    """Why these claims were not granted, as the rows stand a moment later."""
    rows = await connection.execute(
        _EXPLAIN,
        {
            "mailboxes": [ask.mailbox_id for ask in asks],
            "recipients": [ask.recipient_id for ask in asks],
            "epoch": epoch,
            "number": me.number,
            "incarnation": me.incarnation,
        },
    )
    return [
        NotClaimed(row.mailbox_id, Refusal[row.reason], float(row.not_before), row.quota, row.spent)
        for row in rows
    ]
