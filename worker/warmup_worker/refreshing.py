"""The SQL of OAuth tokens: read, take the right to refresh, store, give the right back. Each is a short transaction of its own.

No transaction stays open while a provider is asked. The right to refresh is a lease in the mailbox's row, by the database's
clock; what was stored is named by its nonce, which is new with every writing, so storing is a compare-and-set. It also ends
a hold that the old refresh token caused.

    read (nonce n) -> take (if still n, and nobody holds the lease) -> ask the provider -> store (if still n) | give back

Safety stands on the compare-and-set alone: whoever comes late, under a lease that ran out, changes nothing. No lock or setting
of a session, so PgBouncer's transaction mode serves. Rows are locked in the order mailbox, tokens, as an import does.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.credentials import Sealed
from warmup_worker.reactions import OAUTH_GRANT


@dataclass(frozen=True)
class Row:
    """Tokens as stored. ``seconds``: how long the access token lives on, by the database's clock."""

    application: str
    sealed: Sealed
    seconds: float


_READ = text("""
SELECT application, key_id, nonce, ciphertext,
    coalesce(extract(epoch FROM access_until - clock_timestamp()), 0)::float8 AS seconds
FROM oauth_tokens WHERE mailbox_id = :mailbox
""")

_TAKE = text("""
UPDATE oauth_tokens SET refresh_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE mailbox_id = :mailbox AND nonce = :nonce AND (refresh_until IS NULL OR refresh_until <= clock_timestamp())
RETURNING refresh_until
""")

_STORE = text("""
WITH locked AS MATERIALIZED (
    SELECT id FROM mailboxes WHERE id = :mailbox FOR UPDATE
), stored AS (
    UPDATE oauth_tokens o SET key_id = :key_id, nonce = :new_nonce, ciphertext = :ciphertext,
        access_until = clock_timestamp() + make_interval(secs => :seconds), refresh_until = NULL
    FROM locked WHERE o.mailbox_id = locked.id AND o.nonce = :nonce
    RETURNING o.mailbox_id
), freed AS (
    UPDATE mailboxes m SET hold_reason = NULL, not_before = clock_timestamp()
    FROM stored WHERE m.id = stored.mailbox_id AND starts_with(m.hold_reason, :held)
)
SELECT count(*) FROM stored
""")

_GIVE_BACK = text("""
UPDATE oauth_tokens SET refresh_until = NULL WHERE mailbox_id = :mailbox AND refresh_until = :until
""")


async def read(connection: AsyncConnection, mailbox: int) -> Row | None:
    """A mailbox's tokens; None where it has none."""
    row = (await connection.execute(_READ, {"mailbox": mailbox})).first()
    if row is None:
        return None
    return Row(row.application, Sealed(row.key_id, row.nonce, row.ciphertext), row.seconds)


async def take(connection: AsyncConnection, mailbox: int, nonce: bytes, seconds: float) -> datetime | None:
    """The right to refresh for ``seconds``, named by its end; None where another holds it or the tokens are others by now."""
    values = {"mailbox": mailbox, "nonce": nonce, "seconds": seconds}
    until: datetime | None = await connection.scalar(_TAKE, values)
    return until


async def store(
    connection: AsyncConnection, mailbox: int, nonce: bytes, sealed: Sealed, seconds: float
) -> bool:
    """Put new tokens in the place of those of ``nonce``. False: they are others by now, nothing was written."""
    values = {
        "mailbox": mailbox,
        "nonce": nonce,
        "key_id": sealed.key_id,
        "new_nonce": sealed.nonce,
        "ciphertext": sealed.ciphertext,
        "seconds": seconds,
        "held": f"{OAUTH_GRANT}:",
    }
    return bool(await connection.scalar(_STORE, values))


async def give_back(connection: AsyncConnection, mailbox: int, until: datetime) -> None:
    """End a lease early, if it is still the one that ends at ``until``."""
    await connection.execute(_GIVE_BACK, {"mailbox": mailbox, "until": until})
