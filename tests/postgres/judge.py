"""The connections of a test itself: whoever only looks on, or prepares, is never the one to lose patience on a busy machine."""

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from warmup_core import database

_SECONDS = 300.0
"""For a login, a turn in the pool and a statement: many times what the slowest needs, so that only a real fault comes to it."""


def judge(url: str | URL, pool_size: int = 1) -> AsyncEngine:
    """An engine of a test's own at most ``pool_size`` connections; several tasks may share one."""
    parsed = database.parse_url(url) if isinstance(url, str) else url
    return database.create_engine(
        parsed, pool_size=pool_size, statement_seconds=_SECONDS, connect_seconds=_SECONDS
    )
