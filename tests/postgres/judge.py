"""The connections of a test itself: whoever only looks on, or prepares, is never the one to lose patience on a busy machine."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from warmup_core import database

_SECONDS = 300.0
"""For a login, a turn in the pool and a statement: many times what the slowest needs, so that only a real fault comes to it."""

_UNBOUNDED = {"lock_timeout": "0", "idle_in_transaction_session_timeout": "0"}
"""What workers and operators put on their role in a database, which is often the test's own role, too."""


def judge(url: str | URL, pool_size: int = 1) -> AsyncEngine:
    """An engine of a test's own at most ``pool_size`` connections; several tasks may share one."""
    parsed = database.parse_url(url) if isinstance(url, str) else url
    made = database.create_engine(
        parsed, pool_size=pool_size, statement_seconds=_SECONDS, connect_seconds=_SECONDS
    )

    @event.listens_for(made.sync_engine, "do_connect")
    def unbounded(dialect: object, record: object, args: object, parameters: dict[str, Any]) -> None:
        parameters["server_settings"] = _UNBOUNDED

    return made
