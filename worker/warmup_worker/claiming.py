"""The SQL of claims: the one statement that lets a mail be sent, and why it did not.

A claim is one statement: the mailbox's row is locked, in order of id; its quota is spent, its intent written, and only rows
that come back may be sent. The promises rest on rows, not on time: ``in_flight`` is null, ``spent < quota``, ``not_before``
is over; the lock makes READ COMMITTED look at all of that again after any wait, so of two claims for one mailbox the second
finds it taken. Epoch and incarnation are read from the statement's snapshot: a claim that races a resize is untidy, never
unsafe.

Rate limits: each ask brings the end of life of its reserved token, and the buckets of users and domains are locked after the
mailboxes, in order of scope, so that statements of many workers queue and cannot deadlock. ``claimed_at`` is one reading of the
clock once all locks are held: whatever a claim waited for, its token is judged at the instant that the ledger shows.
A pause of the mailbox's egress, provider, tenant or domain that began after its turn did is seen here too, so nobody claims on
what the last heartbeat knew: 0.1 ms a statement, 0.003 ms a mail (0.02 ms beside ten thousand pauses).
Fails: an error may hide a COMMIT, so nothing is sent then, and the sweeper closes such intents later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.limits import DAY_SECONDS, Kind, Limit
from warmup_core.tables import readable
from warmup_worker import limiting
from warmup_worker.answering import Thread, find
from warmup_worker.clock import boottime
from warmup_worker.connection import Connected, rows
from warmup_worker.lease import Identity


@dataclass(frozen=True)
class Ask:
    """A mailbox whose connection is ready, the recipient it would write to, and its drawn cooldown.

    ``most_a_day``: what its provider admits from it in any 24 hours. ``scopes``: its buckets, of user and domain. ``answers``:
    whether it would rather answer the recipient than begin a thread. ``closes``: from then on its window is over.
    """

    mailbox_id: int
    recipient_id: int
    cooldown_ms: int
    most_a_day: int | None = None
    scopes: tuple[str, ...] = ()
    answers: bool = False
    closes: datetime | None = None


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
    recipient_name: str
    cooldown_ms: int
    started: float
    """``boottime`` before the claim left."""
    thread: Thread | None = None
    """The thread it goes on with; None where it begins one."""

    @property
    def age(self) -> float:
        """Seconds since the claim left; never less than the database's own count."""
        return boottime() - self.started


class Refusal(StrEnum):
    """Why a claim was not granted."""

    REPLACED = "replaced by a newer process"
    NO_FLEET = "no fleet"
    PAUSED = "paused"
    HELD = "a pause began meanwhile"
    EPOCH = "epoch changed"
    NOT_MINE = "not mine"
    INACTIVE = "inactive"
    IN_FLIGHT = "in flight elsewhere"
    COOLDOWN = "cooldown"
    UNPLANNED = "no quota row yet"
    QUOTA = "quota spent"
    RECIPIENT = "recipient gone"
    LIMIT = "limit"
    LATE = "rate token too old"
    WINDOW = "window over"
    RACED = "raced"
    DATABASE = "database away"
    STOPPING = "stopping"


@dataclass(frozen=True)
class NotClaimed:
    """A refused claim, with what the rows say now: ``not_before`` in seconds since the epoch.

    For LIMIT: the ``limit`` that has no token, and ``wait``, the seconds until one is due. ``scope`` is the bucket.
    """

    mailbox_id: int
    reason: Refusal
    not_before: float = 0.0
    quota: int | None = None
    spent: int | None = None
    limit: Kind | None = None
    scope: str = ""
    wait: float = 0.0

    @property
    def label(self) -> str:
        """The reason as a closed set of words, fit for a metric: ``cooldown``, ``limit_user``."""
        name = self.reason.name.lower()
        return f"{name}_{self.limit}" if self.limit else name


# The keys are those of ``warmup_worker.reactions.Concerned``. A pause that only slows is kept by the worker's own queue.
_HELD = """EXISTS (
    SELECT FROM pauses p
    WHERE (p.scope, p.key) IN (('egress', lower(m.smtp_host)), ('provider', lower(m.smtp_host)),
        ('tenant', m.user_id || '/' || lower(m.smtp_host)), ('domain', lower(substring(m.address FROM '[^@]*$'))))
      AND p.per_minute IS NULL AND (p.until IS NULL OR p.until > clock_timestamp()))"""

_CLAIM = """
WITH ask AS (
    SELECT * FROM unnest(CAST(:mailboxes AS bigint[]), CAST(:recipients AS bigint[]), CAST(:cooldowns AS integer[]),
        CAST(:use_bys AS timestamptz[]), CAST(:most_a_day AS integer[]), CAST(:threads AS bigint[]),
        CAST(:answered AS bigint[]), CAST(:turns AS smallint[])) WITH ORDINALITY
        AS a (mailbox_id, recipient_id, cooldown_ms, use_by, most, thread_id, answers_id, turn, place)
), free AS MATERIALIZED (
    SELECT m.id AS mailbox_id, m.user_id, substring(m.address FROM '[^@]*$') AS domain, q.day, q.spent AS k,
        r.id AS recipient_id, r.address AS recipient, r.display_name AS recipient_name, a.cooldown_ms, a.use_by, a.place,
        a.thread_id, a.answers_id, a.turn
    FROM ask a
    JOIN mailboxes m ON m.id = a.mailbox_id
    JOIN quotas q ON q.mailbox_id = m.id AND q.day = :day
    JOIN mailboxes r ON r.id = a.recipient_id AND r.id <> m.id AND r.active
    WHERE m.active AND m.in_flight IS NULL AND m.not_before <= clock_timestamp() AND q.spent < q.quota
      AND m.id % (
          SELECT nullif(f.worker_count, 0) FROM fleet f JOIN workers w ON w.number = :number AND w.incarnation = :incarnation
          WHERE f.epoch = :epoch AND NOT f.paused AND NOT f.deleted AND fleet_day() = :day) = CAST(:number AS integer) - 1
      AND NOT {held}
      {under_provider}
    ORDER BY m.id
    FOR UPDATE OF m, q
){buckets}, clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now FROM (SELECT count(*) FROM free) AS f {locked}
){over}, claim AS MATERIALIZED (
    SELECT free.*, nextval('mail_ids') AS mail_id, clock.now AS claimed_at FROM free CROSS JOIN clock
    WHERE (free.use_by IS NULL OR free.use_by >= clock.now) {not_over}
){paid}, spent AS (
    UPDATE quotas q SET spent = q.spent + 1 FROM claim c WHERE q.day = :day AND q.mailbox_id = c.mailbox_id
), held AS (
    UPDATE mailboxes m SET in_flight = c.mail_id, hold_reason = NULL,
        not_before = c.claimed_at + make_interval(secs => CAST(:claim_seconds AS float8) + c.cooldown_ms / 1000.0)
    FROM claim c WHERE m.id = c.mailbox_id
), intent AS (
    INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at, thread_id,
        answers_id, turn)
    SELECT day, mail_id, mailbox_id, recipient_id, k, 'intent', :number, :incarnation, :epoch, claimed_at, thread_id,
        answers_id, turn FROM claim
)
SELECT mailbox_id, mail_id, day, k, claimed_at, recipient_id, recipient, recipient_name, cooldown_ms FROM claim
"""
# The day is a parameter, so that the planner sees only its partitions, and is held to the database's day all the same. The clock
# stands above the counts of what was locked, so it is read after the last lock. The fleet and the worker are read apart: as two
# more tables of the join they cost the planner a sixth of the statement.


_DAY = text("SELECT fleet_day() AS day")


@cache
def _claim(capped: bool, scoped: bool) -> TextClause:
    """The statement with what it needs and no more: planning it costs more than running it."""
    parts = {
        "held": _HELD,
        "under_provider": limiting.UNDER_PROVIDER if capped else "",
        "buckets": limiting.BUCKETS if scoped else "",
        "locked": limiting.LOCKED if scoped else "",
        "over": limiting.OVER if scoped else "",
        "not_over": limiting.NOT_OVER if scoped else "",
        "paid": limiting.PAID if scoped else "",
    }
    return text(_CLAIM.format(**parts))


async def claim(
    connection: Connected,
    me: Identity,
    epoch: int,
    asks: Sequence[Ask],
    claim_seconds: float,
    started: float,
    *,
    use_bys: Sequence[datetime | None] | None = None,
    scoped: Mapping[Kind, Limit] | None = None,
    day_seconds: float = DAY_SECONDS,
    day: date | None = None,
) -> list[Claim]:
    """Claim for each mailbox asked, at most once each; what is not returned must not be sent.

    ``started``: ``boottime`` before this call. No two asks may name the same mailbox. ``use_bys``: until when each ask's token
    may be spent; None where no limit asks for one. ``scoped``: the limits of users and domains, whose buckets must exist.
    ``day``: the quota's day as the caller knows it, else it is asked for; when another has begun nothing is claimed.
    """
    if day is None:
        day = (await rows(connection, _DAY))[0]["day"]
    threads = await _threads(connection, day, asks)
    found = [threads.get(ask.mailbox_id) for ask in asks]
    values: dict[str, Any] = {
        "mailboxes": [ask.mailbox_id for ask in asks],
        "recipients": [ask.recipient_id for ask in asks],
        "cooldowns": [ask.cooldown_ms for ask in asks],
        "use_bys": [
            _until(ask, use_by) for ask, use_by in zip(asks, use_bys or [None] * len(asks), strict=True)
        ],
        "most_a_day": [ask.most_a_day for ask in asks],
        "threads": [it.thread_id if it else None for it in found],
        "answered": [it.answers_id if it else None for it in found],
        "turns": [it.turn if it else None for it in found],
        "day": day,
        "epoch": epoch,
        "number": me.number,
        "incarnation": me.incarnation,
        "claim_seconds": claim_seconds,
    }
    if capped := any(ask.most_a_day is not None for ask in asks):
        values["day_seconds"] = day_seconds
    if scoped:
        values |= limiting.values_of(scoped)
    granted = await rows(connection, _claim(capped, bool(scoped)), values)
    return [Claim(**row, started=started, thread=threads.get(row["mailbox_id"])) for row in granted]


def _until(ask: Ask, use_by: datetime | None) -> datetime | None:
    """The last instant at which the claim may be made: of its rate token, and of its window."""
    if ask.closes is None:
        return use_by
    last = ask.closes - timedelta.resolution
    return last if use_by is None else min(last, use_by)


async def _threads(connection: Connected, day: date | None, asks: Sequence[Ask]) -> dict[int, Thread | None]:
    """The threads that go on, by mailbox; nothing is read where nobody wants to answer."""
    answering = [(ask.mailbox_id, ask.recipient_id) for ask in asks if ask.answers]
    if not answering or day is None:
        return {}
    threads = await find(connection, day, answering)
    return {mailbox_id: thread for (mailbox_id, _), thread in zip(answering, threads, strict=True)}


_EXPLAIN = text(f"""
SELECT a.mailbox_id,
    CASE
        WHEN w.incarnation IS DISTINCT FROM :incarnation THEN 'REPLACED'
        WHEN f.id IS NULL OR f.deleted THEN 'NO_FLEET'
        WHEN f.paused THEN 'PAUSED'
        WHEN f.epoch <> :epoch THEN 'EPOCH'
        WHEN (SELECT fleet_day()) <> :day THEN 'UNPLANNED'
        WHEN m.id IS NULL OR NOT m.active THEN 'INACTIVE'
        WHEN m.id % nullif(f.worker_count, 0) IS DISTINCT FROM CAST(:number AS integer) - 1 THEN 'NOT_MINE'
        WHEN a.closes <= clock_timestamp() THEN 'WINDOW'
        WHEN m.in_flight IS NOT NULL THEN 'IN_FLIGHT'
        WHEN q.quota IS NULL THEN 'UNPLANNED'
        WHEN q.spent >= q.quota THEN 'QUOTA'
        WHEN m.not_before > clock_timestamp() THEN 'COOLDOWN'
        WHEN {_HELD} THEN 'HELD'
        WHEN r.id IS NULL OR NOT r.active THEN 'RECIPIENT'
        ELSE 'RACED'
    END AS reason,
    greatest(coalesce(extract(epoch FROM {readable("m.not_before")}), 0), 0) AS not_before, q.quota, q.spent
FROM unnest(CAST(:mailboxes AS bigint[]), CAST(:recipients AS bigint[]), CAST(:closes AS timestamptz[]))
    AS a (mailbox_id, recipient_id, closes)
LEFT JOIN mailboxes m ON m.id = a.mailbox_id
LEFT JOIN mailboxes r ON r.id = a.recipient_id AND r.id <> a.mailbox_id
LEFT JOIN quotas q ON q.mailbox_id = m.id AND q.day = :day
LEFT JOIN fleet f ON true
LEFT JOIN workers w ON w.number = :number
""")  # noqa: S608 - our own text


async def explain(
    connection: AsyncConnection, me: Identity, epoch: int, asks: Sequence[Ask], day: date
) -> list[NotClaimed]:
    """Why these claims of ``day`` were not granted, as the rows stand a moment later."""
    found = await connection.execute(
        _EXPLAIN,
        {
            "mailboxes": [ask.mailbox_id for ask in asks],
            "recipients": [ask.recipient_id for ask in asks],
            "closes": [ask.closes for ask in asks],
            "epoch": epoch,
            "day": day,
            "number": me.number,
            "incarnation": me.incarnation,
        },
    )
    return [
        NotClaimed(row.mailbox_id, Refusal[row.reason], float(row.not_before), row.quota, row.spent)
        for row in found
    ]
