"""Why mailboxes do not send now, with how many of each, and how yesterday went: the operator's SQL for the words of a status.

Invariants: at most ten reasons unless more are asked for, the widest first; a reason is a rule of ``warmup_core.reply_rules``
or one of the worker's own words, what a server said is quoted once a reason. Asked only while something is held, so a healthy
fleet pays nothing.
Fails: DBAPIError; the caller puts it into words.
"""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.spec_status import HeldReason

MOST = 10
_WORDS = 200

_HELD = text(
    """
    SELECT split_part(hold_reason, ':', 1) AS rule, count(*) AS mailboxes, min(hold_reason) AS words
    FROM mailboxes WHERE active AND hold_reason IS NOT NULL AND not_before > CAST(:at AS timestamptz)
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :most
    """
)

_PAUSED = text(
    """
    SELECT p.rule, p.scope, p.key, p.reason AS words, count(m.id) AS mailboxes
    FROM (SELECT * FROM pauses
          WHERE scope IN ('tenant', 'domain', 'provider', 'egress', 'application') AND per_minute IS NULL
            AND (until IS NULL OR until > CAST(:at AS timestamptz))
          ORDER BY until DESC NULLS FIRST LIMIT 50) p
    JOIN mailboxes m ON m.active AND CASE p.scope
        WHEN 'tenant' THEN m.user_id || '/' || lower(m.smtp_host) = p.key
        WHEN 'domain' THEN lower(substring(m.address FROM '[^@]*$')) = p.key
        WHEN 'application' THEN EXISTS (SELECT FROM oauth_tokens o WHERE o.mailbox_id = m.id AND o.application = p.key)
        ELSE lower(m.smtp_host) = p.key END
    GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3 LIMIT :most
    """
)
"""The widest fifty pauses at most: each is held against every mailbox."""

_YESTERDAY = text(
    "SELECT coalesce(sum(quota), 0) AS due, coalesce(sum(sent), 0) AS sent FROM quotas WHERE day = CAST(:day AS date)"
)


async def held(connection: AsyncConnection, at: datetime, most: int = MOST) -> list[HeldReason]:
    """The ``most`` reasons for which active mailboxes wait at ``at``; a mailbox that waits for two counts under both."""
    values = {"at": at, "most": most}
    found = [
        HeldReason(reason=it.rule, mailboxes=it.mailboxes, words=_short(it.words))
        for it in await connection.execute(_HELD, values)
    ]
    found += [
        HeldReason(reason=it.rule, mailboxes=it.mailboxes, words=_short(f"{it.scope} {it.key}: {it.words}"))
        for it in await connection.execute(_PAUSED, values)
    ]
    return widest(found, most)


def widest(reasons: Sequence[HeldReason], most: int = MOST) -> list[HeldReason]:
    """Those that hold most mailboxes. Pure."""
    return sorted(reasons, key=lambda it: (-it.mailboxes, it.reason, it.words))[:most]


async def attainment(connection: AsyncConnection, day: date) -> str | None:
    """How much of a day's quotas was sent, such as 99.98%; None for a day without quotas. Never rounded up."""
    row = (await connection.execute(_YESTERDAY, {"day": day})).one()
    return percent(int(row.sent), int(row.due))


def percent(sent: int, due: int) -> str | None:
    """``sent`` of ``due`` in hundredths of a percent, rounded down, so that only a whole day reads 100.00%. Pure."""
    if not due:
        return None
    hundredths = sent * 10_000 // due
    return f"{hundredths // 100}.{hundredths % 100:02}%"


def _short(words: str) -> str:
    return words if len(words) <= _WORDS else words[: _WORDS - 3] + "..."
