"""Tries the logins of mailboxes as a worker would, sends nothing, and tells phase by phase what was seen.

The same way as a worker's: the same look at the host, the same TLS, the same refresh of tokens under the same lease, so it may
run beside workers. It writes nothing but tokens that a provider has rotated; a hold stays, and no failure counts as one of the
mailbox's. What the fleet would do about a failure is said with it.
Fails: not at all; a mailbox that cannot log in is a ``Trial`` with a ``failure``.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.credentials import Sealed
from warmup_worker.logins import Logins
from warmup_worker.network import Network
from warmup_worker.reactions import Concerned, react, react_to_token
from warmup_worker.session import NotConnected
from warmup_worker.tokens import NoToken

AT_ONCE = 10
"""Logins under way at one time; half of them at most at one host, as a worker's."""


@dataclass(frozen=True)
class Candidate:
    """A mailbox whose login is to be tried."""

    id: int
    user_id: int
    address: str
    smtp_host: str
    smtp_port: int
    smtp_security: str
    username: str | None
    application: str | None
    active: bool
    hold_reason: str | None
    sealed: Sealed | None = field(repr=False)
    changed_at: float = 0.0


@dataclass(frozen=True)
class Trial:
    """What was seen. ``steps``: the phases that went well, with what was seen; ``failure``: the phase that did not, and why."""

    candidate: Candidate
    steps: tuple[tuple[str, str], ...]
    failure: tuple[str, str] | None = None


_CANDIDATES = text("""
SELECT m.id, m.user_id, m.address, m.smtp_host, m.smtp_port, m.smtp_security, m.active, m.hold_reason,
    coalesce(c.username, o.username) AS username, o.application, c.key_id, c.nonce, c.ciphertext
FROM mailboxes m
LEFT JOIN credentials c ON c.mailbox_id = m.id
LEFT JOIN oauth_tokens o ON o.mailbox_id = m.id
WHERE (CAST(:id AS bigint) IS NULL OR m.id = :id) AND m.id > :after ORDER BY m.id LIMIT :most
""")


async def candidates(
    connection: AsyncConnection, mailbox_id: int | None = None, after: int = 0, most: int = 1000
) -> list[Candidate]:
    """One mailbox, or a page of all in the order of their ids, active or not."""
    rows = await connection.execute(_CANDIDATES, {"id": mailbox_id, "after": after, "most": most})
    return [
        Candidate(
            row.id,
            row.user_id,
            row.address,
            row.smtp_host,
            row.smtp_port,
            row.smtp_security,
            row.username,
            row.application,
            row.active,
            row.hold_reason,
            Sealed(row.key_id, row.nonce, row.ciphertext) if row.key_id is not None else None,
        )
        for row in rows
    ]


async def tried(candidate: Candidate, logins: Logins, allowed: Sequence[Network]) -> Trial:
    """Log in, say goodbye, and tell."""
    steps: list[tuple[str, str]] = []
    try:
        session = await logins.open(candidate, allowed, lambda phase, words: steps.append((phase, words)))
    except NotConnected as failure:
        who = Concerned(candidate.user_id, candidate.address, candidate.smtp_host)
        found = react(failure.phase, failure.reason, who, 0, 0.0, lambda *_: 0)
        return Trial(candidate, tuple(steps), (failure.phase, found.hold.removeprefix(f"{failure.phase}: ")))
    except NoToken as failure:
        if failure.trouble is None:
            words = (
                f"the OAuth application {failure.application} was refused for another mailbox a moment ago"
            )
        else:
            words = react_to_token(failure.application, failure.trouble, 0, 0.0, lambda *_: 0, 0.0).hold
        return Trial(candidate, tuple(steps), ("token", words))
    await session.quit()
    return Trial(candidate, tuple(steps))


async def tried_all(
    page: Sequence[Candidate], logins: Logins, allowed: Sequence[Network]
) -> AsyncIterator[Trial]:
    """The trials of these, a few at a time, as they end."""
    slots = asyncio.Semaphore(AT_ONCE)
    hosts = {it.smtp_host: asyncio.Semaphore(AT_ONCE // 2) for it in page}

    async def one(candidate: Candidate) -> Trial:
        async with hosts[candidate.smtp_host], slots:
            return await tried(candidate, logins, allowed)

    for ended in asyncio.as_completed([one(it) for it in page]):
        yield await ended
