"""The SQL of pauses for people: which are in force, and ending one when what was wrong is mended.

Workers write and obey them (``warmup_worker.pausing``). A pause is ended, not deleted: ``since`` moves, and that is how running
workers hear of it with their next heartbeat.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.tables import readable


@dataclass(frozen=True)
class Shown:
    """A pause in force. ``who`` is its key, with the address of a recipient and the name of a tenant's user put in."""

    scope: str
    key: str
    who: str
    until: datetime | None
    per_minute: int | None
    rule: str
    reason: str
    since: datetime


_LIST = f"""
SELECT p.scope, p.key,
    CASE p.scope
        WHEN 'recipient' THEN coalesce((SELECT address FROM mailboxes WHERE id::text = p.key), p.key)
        WHEN 'tenant' THEN coalesce((SELECT name FROM users WHERE id::text = split_part(p.key, '/', 1)), '?')
            || ' at ' || split_part(p.key, '/', 2)
        ELSE p.key
    END AS who, {readable("p.until")} AS until, p.per_minute, p.rule, p.reason, p.since
FROM pauses p WHERE (p.until IS NULL OR p.until > clock_timestamp())
"""  # noqa: S608 - our own text
_IN_FORCE = text(_LIST + "ORDER BY p.scope, p.since")

# The keys are those that workers write (``warmup_worker.reactions.Concerned``).
_OF_SOME = """
AND (p.scope, p.key) IN (
    SELECT k.scope, k.key FROM mailboxes m CROSS JOIN LATERAL (VALUES
        ('recipient', m.id::text),
        ('tenant', m.user_id || '/' || lower(m.smtp_host)),
        ('domain', lower(substring(m.address FROM '[^@]*$'))),
        ('provider', lower(m.smtp_host)),
        ('egress', lower(m.smtp_host)),
        ('application', (SELECT o.application FROM oauth_tokens o WHERE o.mailbox_id = m.id))
    ) AS k (scope, key) WHERE m.id = ANY (CAST(:ids AS bigint[]))
) ORDER BY p.scope
"""
_CONCERNING = text(_LIST + _OF_SOME)

_END = text("""
UPDATE pauses SET until = clock_timestamp(), since = clock_timestamp()
WHERE scope = :scope AND key = :key AND (until IS NULL OR until > clock_timestamp())
""")


async def in_force(connection: AsyncConnection) -> list[Shown]:
    """Every pause in force, by scope and age."""
    return [Shown(**row._mapping) for row in await connection.execute(_IN_FORCE)]


async def concerning(connection: AsyncConnection, *mailbox_ids: int) -> list[Shown]:
    """The pauses in force that any of these mailboxes obeys, and those that keep others from writing to it."""
    rows = await connection.execute(_CONCERNING, {"ids": list(mailbox_ids)})
    return [Shown(**row._mapping) for row in rows]


async def end(connection: AsyncConnection, scope: str, key: str) -> bool:
    """End a pause now. False when none of that scope and key is in force."""
    return bool((await connection.execute(_END, {"scope": scope, "key": key})).rowcount)
