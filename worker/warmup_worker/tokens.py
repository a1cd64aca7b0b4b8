"""OAuth access tokens for mailboxes: cached until a minute before their end, then refreshed by one process at a time.

```
cached and good --------------------------------------------------------> use it
the row's is good (another process refreshed) --------------------------> use it
lease on the row -> ask the provider -> granted -> stored, sealed ------> use it
                                     -> invalid_grant -> row unchanged? -> NoToken: the mailbox's
                                                         row changed ---> from the start
                                     -> invalid_client, 429, 503, ... --> NoToken: the application's, every mailbox of it waits
```
Invariants: a rotated refresh token is stored before it or its access token is used; a mailbox is refreshed by one process at a
time (``refreshing``), a tenant (application and user) by one refresh at a time in this process, and an application whose last
answer was trouble by one in all. A refresh that began is carried to its end though its turn was cancelled, for the provider may
have rotated the token: ``finish`` waits for those. A process that is killed between the answer and the storing, or an answer
that is lost on its way, loses the new token; where the provider has ended the old one, that mailbox then pauses with the
provider's words.
Fails: ``NoToken``; ``Undecipherable`` where what is stored does not open.
"""

import asyncio
import logging
import os
import random
import ssl
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from weakref import WeakValueDictionary

from prometheus_client import Counter

from warmup_core.credentials import NONCE_BYTES, Keys, Sealed, Tokens
from warmup_core.database import Unreachable
from warmup_core.oauth import EARLY_SECONDS, Application, Granted, Kind, Trouble
from warmup_worker import refreshing
from warmup_worker.clock import boottime
from warmup_worker.connection import Database, Rejected
from warmup_worker.endpoint import Endpoint
from warmup_worker.refreshing import Row
from warmup_worker.timing import Timing

log = logging.getLogger(__name__)

REFRESHED, SUPERSEDED = "refreshed", "superseded"
OUTCOMES = (REFRESHED, SUPERSEDED, *(kind.value for kind in Kind))
"""How a refresh ends, as the metric counts it. Superseded: somebody else had written other tokens meanwhile."""
_REMEMBERED = 10_000
"""Access tokens in memory, about 2 kB each."""


class Account(Protocol):
    """What is known of a mailbox that logs in."""

    @property
    def id(self) -> int:
        """Its id."""

    @property
    def user_id(self) -> int:
        """Its user's id."""

    @property
    def address(self) -> str:
        """Its address."""

    @property
    def application(self) -> str | None:
        """The name of its OAuth application."""

    @property
    def changed_at(self) -> float:
        """When a person or an import changed it last."""


@dataclass(frozen=True)
class Token:
    """An access token. ``version`` names what was stored with it; ``until``: ``boottime`` of its end. ``repr`` hides it."""

    access: str = field(repr=False)
    version: bytes
    until: float
    changed_at: float
    refreshed: bool
    """Whether it was granted just now, to this process."""


class NoToken(Exception):
    """No access token for now. ``trouble`` None: the application waits already."""

    def __init__(self, application: str, trouble: Trouble | None) -> None:
        self.application, self.trouble = application, trouble
        super().__init__(f"{application}: {trouble.words if trouble else 'the application waits'}")


class TokenSource:
    """All access tokens of one process. ``waits``: whether an application is paused."""

    def __init__(
        self,
        database: Database,
        authorities: Callable[[], ssl.SSLContext],
        timing: Timing,
        *,
        keys: Callable[[], Keys],
        applications: Callable[[], Mapping[str, Application]],
        waits: Callable[[str], bool],
        outcomes: Counter,
    ) -> None:
        self._database, self._timing = database, timing
        self._endpoint = Endpoint(authorities, timing.refresh)
        self._keys, self._applications, self._waits = keys, applications, waits
        self._outcomes = outcomes
        self._known: OrderedDict[int, Token] = OrderedDict()
        self._locks: WeakValueDictionary[tuple[str, int | None], asyncio.Lock] = WeakValueDictionary()
        self._troubled: dict[str, float] = {}
        """When an application's last answer was trouble (``boottime``); it is in doubt until it grants a token."""
        self._running: set[asyncio.Task[Token]] = set()

    async def get(self, account: Account, refused: bytes | None = None) -> Token:
        """An access token for this mailbox; not that of the version ``refused``, which its server would not take. Raises NoToken,
        Undecipherable."""
        known = self._known.get(account.id)
        if (
            known is not None
            and known.changed_at == account.changed_at
            and known.version != refused
            and known.until - boottime() > EARLY_SECONDS
        ):
            return known
        task = asyncio.create_task(self._in_turn(account, refused))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            async with asyncio.timeout(self._timing.dialogue):
                return await asyncio.shield(task)
        except TimeoutError:
            raise self._none(account, "no token came in time") from None

    async def finish(self) -> None:
        """Return when every refresh that began has come to its end, and what it brought is stored."""
        while self._running:
            await asyncio.wait(list(self._running))

    async def close(self) -> None:
        """Close the connections to providers."""
        await self._endpoint.close()

    def _none(self, account: Account, words: str, kind: Kind = Kind.UNCLEAR) -> NoToken:
        return NoToken(account.application or "", Trouble(kind, words))

    def _lock(self, application: str, user_id: int | None) -> asyncio.Lock:
        return self._locks.setdefault((application, user_id), asyncio.Lock())

    async def _in_turn(self, account: Account, refused: bytes | None) -> Token:
        """One at a time a tenant; and, where an application is in doubt, one at a time to try whether it answers again."""
        asked = boottime()
        name = account.application or ""
        async with self._lock(name, account.user_id):
            if name not in self._troubled:
                return await self._obtain(account, refused)
            async with self._lock(name, None):
                if self._waits(name) or self._troubled.get(name, 0.0) > asked:
                    raise NoToken(name, None)  # what was said while we stood in line was said to us as well
                return await self._obtain(account, refused)

    async def _obtain(self, account: Account, refused: bytes | None) -> Token:
        """The stored token if it is good, else a new one; waits for another process that refreshes."""
        end = boottime() + self._timing.refresh
        try:
            while boottime() < end:
                row = await self._read(account)
                stored = self._keys().open_tokens(account.address, row.sealed)
                if stored.access and row.sealed.nonce != refused and row.seconds > EARLY_SECONDS:
                    return self._keep(account, stored.access, row.sealed.nonce, boottime() + row.seconds)
                application = self._applications().get(row.application)
                if application is None:
                    raise self._unknown(row.application)
                if token := await self._refresh(account, application, row, stored):
                    return token
                await asyncio.sleep(random.uniform(0.05, 0.2))  # noqa: S311 - jitter, no secret
        except (Unreachable, Rejected) as error:
            raise self._none(account, f"the database: {error}") from None
        raise self._none(account, "another process refreshes it and does not come to an end")

    async def _read(self, account: Account) -> Row:
        async with self._database.transaction() as connection:
            row = await refreshing.read(connection, account.id)
        if row is None or row.application != account.application:
            raise self._none(account, "the mailbox was enrolled anew a moment ago")
        return row

    def _unknown(self, name: str) -> NoToken:
        self._troubled[name] = boottime()
        self._outcomes.labels(Kind.APPLICATION_REFUSED).inc()
        given = ", ".join(sorted(self._applications())) or "none"
        words = f"no application of this name is among those given: {given}"
        return NoToken(name, Trouble(Kind.APPLICATION_REFUSED, words))

    def _keep(
        self, account: Account, access: str, version: bytes, until: float, *, refreshed: bool = False
    ) -> Token:
        token = Token(access, version, until, account.changed_at, refreshed)
        self._known[account.id] = token
        self._known.move_to_end(account.id)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return token

    async def _refresh(
        self, account: Account, application: Application, row: Row, stored: Tokens
    ) -> Token | None:
        """A new token under a lease; None where others hold the lease or have changed the row: look again. Raises NoToken."""
        async with self._database.transaction() as connection:
            lease = await refreshing.take(
                connection, account.id, row.sealed.nonce, self._timing.refresh_lease
            )
        if lease is None:
            return None
        asked = boottime()
        answer = await self._endpoint.refresh(application, stored.refresh)
        if isinstance(answer, Granted):
            self._troubled.pop(application.name, None)
            fresh = Tokens(answer.refresh_token or stored.refresh, stored.imported, answer.access_token)
            sealed = self._keys().seal_tokens(account.address, fresh, os.urandom(NONCE_BYTES))
            until = asked + answer.seconds
            if await self._store(account, row, sealed, until):
                self._outcomes.labels(REFRESHED).inc()
                return self._keep(account, answer.access_token, sealed.nonce, until, refreshed=True)
            self._outcomes.labels(SUPERSEDED).inc()
            return None
        await self._give_back(account, lease)
        if answer.kind is Kind.GRANT_REFUSED:
            if (await self._read(account)).sealed.nonce != row.sealed.nonce:
                self._outcomes.labels(SUPERSEDED).inc()
                return None
        elif answer.kind is not Kind.UNCLEAR:
            self._troubled[application.name] = boottime()
        self._outcomes.labels(answer.kind).inc()
        raise NoToken(application.name, answer)

    async def _give_back(self, account: Account, lease: datetime) -> None:
        try:
            async with self._database.transaction() as connection:
                await refreshing.give_back(connection, account.id, lease)
        except Unreachable:
            log.info("mailbox %d: the lease on its tokens runs out by itself", account.id)

    async def _store(self, account: Account, row: Row, sealed: Sealed, until: float) -> bool:
        """Store what a provider granted, however long the database is away: it may be the only refresh token that is left."""
        told = False
        while True:
            try:
                async with self._database.transaction() as connection:
                    return await refreshing.store(
                        connection, account.id, row.sealed.nonce, sealed, until - boottime()
                    )
            except asyncio.CancelledError:
                log.error("mailbox %d: its new token could not be stored and is lost", account.id)
                raise
            except Unreachable as error:
                if not told:
                    log.warning("mailbox %d: its new token waits for the database: %s", account.id, error)
                told = True
                await asyncio.sleep(random.uniform(0.3, 1.0))  # noqa: S311 - jitter, no secret
