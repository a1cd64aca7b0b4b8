"""The SQL of pauses: one row for each recipient, tenant, domain, provider, egress or OAuth application that a reply made pause.

A row is written by whoever heard the reply and read by every worker with its heartbeat: what changed since the last reading,
with an overlap that forgives transactions that committed late. Workers delete none; a row whose ``until`` is past is over.
Invariant: in one row a stop outweighs a slowing, a longer pause a shorter one, whatever order the replies come in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.replies import Scope
from warmup_core.tables import readable
from warmup_worker.reactions import Pause

REMEMBERED_SECONDS: Final = 6 * 3600.0
"""How long after its end a pause is known: it counts as the one before the next, and who waited for it comes back one by one."""


@dataclass(frozen=True)
class PauseRow:
    """A pause as the table has it. ``until`` and ``since``: seconds since the epoch; no ``until``: until a person acts."""

    scope: Scope
    key: str
    until: float | None
    per_minute: int | None
    attempt: int
    rule: str
    since: float


_WRITE = text("""
INSERT INTO pauses AS p (scope, key, until, per_minute, attempt, rule, reason, since)
SELECT g.scope, g.key, clock_timestamp() + make_interval(secs => g.seconds), g.per_minute, g.attempt, g.rule, g.reason,
    clock_timestamp()
FROM unnest(
    CAST(:scopes AS text[]), CAST(:keys AS text[]), CAST(:seconds AS float8[]), CAST(:rates AS integer[]),
    CAST(:attempts AS integer[]), CAST(:rules AS text[]), CAST(:reasons AS text[])
) AS g (scope, key, seconds, per_minute, attempt, rule, reason)
ORDER BY g.scope, g.key
ON CONFLICT (scope, key) DO UPDATE SET until = excluded.until, per_minute = excluded.per_minute, attempt = excluded.attempt,
    rule = excluded.rule, reason = excluded.reason, since = excluded.since
WHERE p.until <= excluded.since
   OR p.per_minute IS NOT NULL AND excluded.per_minute IS NULL
   OR (p.per_minute IS NULL) = (excluded.per_minute IS NULL) AND p.until < coalesce(excluded.until, 'infinity')
""")

_READ = f"""
SELECT scope, key, extract(epoch FROM {readable("until")})::float8 AS until, per_minute, attempt, rule,
    extract(epoch FROM since)::float8 AS since
FROM pauses WHERE
"""  # noqa: S608 - our own text
_KNOWN = text(f"""{_READ} until IS NULL OR until > clock_timestamp()
    OR scope <> 'recipient' AND until > clock_timestamp() - make_interval(secs => {REMEMBERED_SECONDS})""")
_CHANGED = text(_READ + "since >= CAST(:since AS timestamptz)")


async def write(connection: AsyncConnection, pauses: Sequence[Pause]) -> None:
    """Let these pause. No two may have the same scope and key. Harmless to repeat."""
    await connection.execute(
        _WRITE,
        {
            "scopes": [it.scope.value for it in pauses],
            "keys": [it.key for it in pauses],
            "seconds": [it.seconds for it in pauses],
            "rates": [it.per_minute for it in pauses],
            "attempts": [it.attempt for it in pauses],
            "rules": [it.rule for it in pauses],
            "reasons": [it.reason for it in pauses],
        },
    )


async def read(connection: AsyncConnection, since: datetime | None) -> list[PauseRow]:
    """The pauses that changed at or after ``since``, over or not; without it all that are in force, and of those
    that several mailboxes obey the ones that are over since a short while."""
    if since is None:
        rows = await connection.execute(_KNOWN)
    else:
        rows = await connection.execute(_CHANGED, {"since": since})
    known = set(Scope)  # a later release may pause what this one has never heard of
    return [PauseRow(**{**row._mapping, "scope": Scope(row.scope)}) for row in rows if row.scope in known]
