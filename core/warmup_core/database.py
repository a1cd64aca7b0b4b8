"""How this project connects to PostgreSQL, and how many do: the URL as users write it, the engine, errors in words for a person.

Invariants: nothing here depends on a session (no SET, no LISTEN, no named prepared statements), so PgBouncer's transaction
mode serves; a server that turned read-only in a failover (SQLSTATE 25006) counts as a lost connection, so the pool drops it; a
password never reaches a message or a log.
Fails: ``Unreachable`` with a reason from a closed set and a sentence without the password.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from warmup_core import database_tls
from warmup_core.types import Refused

_PARAMETERS = database_tls.PARAMETERS | {"host", "port", "target_session_attrs"}
"""Of a URL; the driver would stumble over any other."""
_READ_ONLY = "25006"
_REASONS = {
    "28P01": ("DatabasePasswordWrong", "the password for user {user!r} is wrong"),
    "28000": ("DatabaseLoginRefused", "user {user!r} may not log in"),
    "3D000": ("DatabaseMissing", "there is no database {database!r}"),
    "53300": ("DatabaseConnectionsExhausted", "the server has no connection left for user {user!r}"),
    "42501": ("DatabasePermissionDenied", "user {user!r} lacks a privilege"),
    "42P01": ("SchemaMissing", "the schema is not there or not up to date"),
    _READ_ONLY: ("DatabaseReadOnly", "the server is read-only: a standby, or in the middle of a failover"),
}


@dataclass(eq=False)
class Unreachable(Exception):
    """The database cannot be used now. ``reason`` is one word for a condition, ``message`` a sentence."""

    reason: str
    message: str

    def __str__(self) -> str:
        return self.message


def parse_url(text: str, authorities: str | None = None) -> URL:
    """A URL as people write it (postgres://, postgresql://, with sslmode) for asyncpg; ``authorities``: PEM that came beside it.

    Raises Refused.
    """
    try:
        url = make_url(text.strip())
    except ArgumentError:
        raise Refused(
            "The database URL cannot be read: write postgresql://USER:PASSWORD@HOST:5432/DATABASE"
        ) from None
    faults = []
    if url.drivername not in {"postgres", "postgresql", "postgresql+asyncpg"}:
        faults.append(f"its scheme is {url.drivername!r}, only postgresql:// is understood")
    if not url.database:
        faults.append("it names no database")
    mode = url.query.get("sslmode", "prefer")
    if mode not in database_tls.MODES:
        faults.append(f"sslmode={mode} is none of {', '.join(database_tls.MODES)}")
    if others := sorted(url.query.keys() - _PARAMETERS):
        faults.append(f"of its parameters these are not understood, leave them out: {', '.join(others)}")
    if faults:
        # Without its parameters: libpq takes a password there too.
        shown = url.set(query={}).render_as_string(hide_password=True)
        raise Refused(f"The database URL {shown} cannot be used.", faults)
    url = url.set(drivername="postgresql+asyncpg")
    return url if authorities is None else database_tls.with_authorities(url, authorities)


def connect_args(url: URL) -> dict[str, Any]:
    """asyncpg's arguments for the libpq parameters of the URL that SQLAlchemy would not pass on. Raises Refused."""
    return {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        # Unnamed: a named one would stay on the server's side behind PgBouncer, for its goodbye goes to another connection.
        "prepared_statement_name_func": lambda: "",
        # Always there: a URL that has changed may say nothing of TLS any more.
        "ssl": database_tls.secured(url),
    }


def _for_dialect(url: URL) -> URL:
    """The URL without the libpq parameters that ``connect_args`` translates."""
    return url.set(query={key: it for key, it in url.query.items() if key not in database_tls.PARAMETERS})


def create_engine(
    url: URL,
    *,
    pool_size: int,
    statement_seconds: float | None,
    connect_seconds: float = 5.0,
    current_url: Callable[[], URL] | None = None,
    keep_compiled: bool = True,
) -> AsyncEngine:
    """An engine of at most ``pool_size`` connections whose statements end after ``statement_seconds`` on our side; None: never.

    ``keep_compiled`` False saves a third of a megabyte an engine, for whoever has many and asks each of them rarely.
    ``current_url`` is asked before each new connection, so that a rotated password arrives without a restart. Raises Refused.
    """
    engine = create_async_engine(
        _for_dialect(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=connect_seconds,
        pool_pre_ping=False,
        connect_args={**connect_args(url), "timeout": connect_seconds, "command_timeout": statement_seconds},
        hide_parameters=True,
        query_cache_size=500 if keep_compiled else 0,
    )

    @event.listens_for(engine.sync_engine, "handle_error")
    def drop_read_only(context: ExceptionContext) -> None:
        if sqlstate(context.original_exception) == _READ_ONLY:
            context.is_disconnect = True

    if current_url is not None:

        @event.listens_for(engine.sync_engine, "do_connect")
        def use_current(
            dialect: Dialect, record: object, args: list[Any], parameters: dict[str, Any]
        ) -> None:
            fresh = current_url()
            parameters.update(dialect.create_connect_args(_for_dialect(fresh))[1])
            parameters.update(connect_args(fresh))

    return engine


FAULTS: Final = (
    DBAPIError,
    AsyncAdapt_asyncpg_dbapi.Error,  # of a connection that is refused to whoever asks for the driver's own
    PoolTimeout,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # also said of a session that the server has ended, until the end has arrived
    OSError,
)
"""All that a statement fails with for the server's or the network's sake; a mistake of ours is none of them."""


def sqlstate(error: BaseException | None) -> str | None:
    """The SQLSTATE somewhere in an exception's chain, or None."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if code:
            return str(code)
        error = getattr(error, "orig", None) or error.__cause__
    return None


def explain(error: BaseException, url: URL) -> Unreachable:
    """Put a database error into words. Never repeats the password or a statement's parameters."""
    where = f"{url.host or 'local socket'}:{url.port or 5432}/{url.database}"
    code = sqlstate(error)
    if code in _REASONS:
        reason, text = _REASONS[code]
        return Unreachable(reason, f"{where}: {text.format(user=url.username, database=url.database)}.")
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    if isinstance(cause, (TimeoutError, asyncio.TimeoutError)):
        return Unreachable("DatabaseTimeout", f"{where}: no answer in time.")
    if isinstance(cause, asyncpg.InternalClientError):
        return Unreachable("DatabaseUnreachable", f"{where}: the server has ended the session.")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Unreachable("DatabaseCertificateRefused", f"{where}: {database_tls.why_refused(cause, url)}")
    if isinstance(cause, OSError):
        return Unreachable("DatabaseUnreachable", f"{where}: {cause.strerror or cause}.")
    first_line = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
    if url.password:
        first_line = first_line.replace(str(url.password), "***")
    return Unreachable("DatabaseError", f"{where}: {first_line}")


async def unhurried(connection: AsyncConnection, lock_seconds: float) -> None:
    """Let this transaction wait so long for a lock and think between two statements, though its role has a worker's timeouts."""
    await connection.execute(
        text(
            "SELECT set_config('lock_timeout', :ms, true), set_config('idle_in_transaction_session_timeout', '0', true)"
        ),
        {"ms": f"{lock_seconds * 1000:.0f}ms"},
    )


async def sessions(connection: AsyncConnection) -> int:
    """The sessions at this database, whoever's; not the server's own workers, such as autovacuum's, which have no role."""
    found = await connection.scalar(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usesysid IS NOT NULL"
        )
    )
    return int(found or 0)
