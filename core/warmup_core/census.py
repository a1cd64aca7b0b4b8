"""Who is enrolled, counted: how many active mailboxes each user, each domain and each mail host has. Only SQL.

Reads every mailbox's row a few times over, a fraction of a second for 100,000: for a person's question, not for a loop.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.plan import Kind

_USERS = text("SELECT count(*) AS mailboxes FROM mailboxes WHERE active GROUP BY user_id")
_DOMAINS = text(
    "SELECT count(*) AS mailboxes FROM mailboxes WHERE active GROUP BY lower(substring(address FROM '[^@]*$'))"
)
_KINDS = text(
    "SELECT lower(smtp_host) AS host, quota_override AS own, (window_to - window_from + 86400) % 86400 AS seconds,"
    " count(*) AS mailboxes FROM mailboxes WHERE active GROUP BY 1, 2, 3"
)


@dataclass(frozen=True)
class Census:
    """Numbers of active mailboxes: of each user, of each domain, and of each kind."""

    users: tuple[int, ...]
    domains: tuple[int, ...]
    alike: dict[Kind, int]

    @property
    def mailboxes(self) -> int:
        """All of them."""
        return sum(self.users)

    @property
    def hosts(self) -> tuple[int, ...]:
        """Those of each mail host."""
        found: Counter[str] = Counter()
        for kind, mailboxes in self.alike.items():
            found[kind.host] += mailboxes
        return tuple(found.values())

    @property
    def largest_host(self) -> float:
        """The share of all mailboxes that are at one mail host."""
        return max(self.hosts, default=0) / max(1, self.mailboxes)


async def read(connection: AsyncConnection) -> Census:
    """Count them."""
    users = (await connection.execute(_USERS)).scalars().all()
    domains = (await connection.execute(_DOMAINS)).scalars().all()
    kinds = (await connection.execute(_KINDS)).all()
    alike = {Kind(it.host, it.own, _window(it.seconds)): it.mailboxes for it in kinds}
    return Census(tuple(users), tuple(domains), alike)


def _window(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds or 86_400)
