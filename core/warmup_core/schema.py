"""Brings a fleet's database to this version's schema, grants a worker's role what it needs and no more, and bounds its waits.

One transaction holds an advisory lock, all migrations and the version: two runs at once never both migrate, a killed run leaves
nothing behind, and PgBouncer's transaction mode serves (no lock of a session).
Fails: ``SchemaBusy`` within seconds when another run holds the lock, naming it; ``Refused`` when the database is ahead of us.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from warmup_core import database
from warmup_core.types import Refused

_LOCK = 0x7761726D7570  # "warmup"
_ROLES_LOCK = 0x726F6C6573  # "roles"
_LOCK_SECONDS = 10
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
REVISIONS: Final = tuple(sorted(file.name[1:5] for file in (_MIGRATIONS / "versions").glob("r[0-9]*.py")))
"""What this release knows, the oldest first, by the files' names: so only a migration needs alembic, which is slow to import."""


class SchemaBusy(Exception):
    """Another migration holds the lock."""


@dataclass(frozen=True)
class SchemaVersion:
    """``found`` is None in an empty database; ``known`` tells whether this release has heard of it."""

    found: str | None
    wanted: str
    known: bool

    @property
    def current(self) -> bool:
        """Whether nothing is left to do."""
        return self.found == self.wanted


async def version(connection: AsyncConnection) -> SchemaVersion:
    """The schema's version as this release sees it."""
    found: str | None = None
    if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is not None:
        found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    return SchemaVersion(found, REVISIONS[-1], found is None or found in REVISIONS)


async def upgrade(engine: AsyncEngine) -> SchemaVersion:
    """Bring the schema up to date; returns what was found before. Raises SchemaBusy, Refused, DBAPIError."""
    async with engine.begin() as connection:
        await _lock(connection)
        before = await version(connection)
        if not before.known:
            raise Refused(
                f"The database is at schema {before.found}, newer than this release knows ({before.wanted}). "
                "Install the release that wrote it, or a later one; nothing was changed."
            )
        if not before.current:
            await connection.run_sync(_run)
        return before


async def _lock(connection: AsyncConnection) -> None:
    await database.unhurried(connection, _LOCK_SECONDS)
    got = await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _LOCK})
    if got:
        return
    holder = (
        await connection.execute(
            text(
                "SELECT a.pid, a.application_name, a.client_addr, a.xact_start FROM pg_locks l"
                " JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
                " AND (l.classid::bigint << 32 | l.objid::bigint) = :key"
            ),
            {"key": _LOCK},
        )
    ).first()
    who = (
        f"backend {holder.pid} from {holder.client_addr} since {holder.xact_start}" if holder else "somebody"
    )
    raise SchemaBusy(
        f"Another migration is running ({who}); it holds the schema's lock. Try again when it has ended."
    )


def _run(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


GRANTS = [
    "GRANT SELECT ON fleet, users, mailboxes, credentials, oauth_tokens, alembic_version TO {role}",
    "GRANT SELECT, INSERT, UPDATE ON workers TO {role}",
    "GRANT UPDATE (in_flight, not_before, hold_reason, ramp_day, ramp_on, strikes) ON mailboxes TO {role}",
    "GRANT UPDATE (key_id, nonce, ciphertext, access_until, refresh_until) ON oauth_tokens TO {role}",
    "GRANT SELECT, INSERT, UPDATE ON quotas, mails TO {role}",
    "GRANT SELECT, INSERT, UPDATE ON rate_limits, pauses TO {role}",
    "GRANT USAGE ON SEQUENCE incarnations, mail_ids TO {role}",
    "GRANT SELECT ON v_mails_last_hour, v_quota_today, v_worker_mailboxes TO {role}",
]
"""What a worker's role may do: nothing is deleted, no password, count, epoch or setting is written; tokens are, for providers
rotate them."""
_TIMEOUTS: Final = ("idle_in_transaction_session_timeout=5s", "lock_timeout=2s")
"""So that a worker that freezes in a transaction keeps the others' locks for seconds. As the catalogue has them."""


async def grant_worker(connection: AsyncConnection, role: str) -> None:
    """Give ``role`` a worker's privileges, if it lacks them. Idempotent. The role must exist."""
    held = await connection.scalar(
        text(
            "SELECT has_table_privilege(:role, 'mails', 'INSERT')"
            " AND has_column_privilege(:role, 'mailboxes', 'in_flight', 'UPDATE')"
            " AND has_table_privilege(:role, 'quotas', 'UPDATE')"
            " AND has_table_privilege(:role, 'rate_limits', 'UPDATE')"
            " AND has_table_privilege(:role, 'pauses', 'UPDATE')"
            " AND has_column_privilege(:role, 'mailboxes', 'ramp_day', 'UPDATE')"
            " AND has_column_privilege(:role, 'oauth_tokens', 'nonce', 'UPDATE')"
        ),
        {"role": role},
    )
    if held:
        return
    quoted = connection.dialect.identifier_preparer.quote(role)
    for grant in GRANTS:
        await connection.execute(text(grant.format(role=quoted)))


async def bound_waits(connection: AsyncConnection) -> bool:
    """Give the role that has logged in here the workers' timeouts in this database, if it lacks them. True: it did. Idempotent.

    They stand on the role, because a SET would not pass PgBouncer; a session that has begun goes on without. Only the role itself
    may always set them: its owner needs CREATEROLE.
    """
    names = (
        await connection.execute(
            text(
                "SELECT current_database() AS database, EXISTS (SELECT FROM pg_db_role_setting s"
                " JOIN pg_roles r ON r.oid = s.setrole JOIN pg_database d ON d.oid = s.setdatabase"
                " WHERE r.rolname = session_user AND d.datname = current_database()"
                " AND s.setconfig @> CAST(:timeouts AS text[])) AS held"
            ),
            {"timeouts": list(_TIMEOUTS)},
        )
    ).one()
    if names.held:
        return False
    quoted = connection.dialect.identifier_preparer.quote(names.database)
    # Two at once would both change one row, which PostgreSQL refuses the second.
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ROLES_LOCK})
    # A login that becomes another role has its own say again.
    await connection.execute(text("SET LOCAL ROLE NONE"))
    for timeout in _TIMEOUTS:
        setting, value = timeout.split("=")
        await connection.exec_driver_sql(
            f"ALTER ROLE CURRENT_USER IN DATABASE {quoted} SET {setting} = '{value}'"
        )
    return True
