"""The worker tests' fleet, with mailboxes of an OAuth application."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.authorization.endpoint import TokenEndpoint, client_context
from tests.integration.worker.fleet import KEYS, PATIENT, Fleet, as_database
from tests.submission.server import Submission
from warmup_core import enrolment, mailboxes
from warmup_core.credentials import Sealed, Tokens
from warmup_core.oauth import Application
from warmup_worker.settings import WorkerSettings
from warmup_worker.timing import Timing
from warmup_worker.tokens import OUTCOMES, TokenSource


@dataclass(frozen=True)
class Account:
    """A mailbox as a token source asks for it."""

    id: int
    user_id: int
    address: str
    application: str
    changed_at: float = 0.0


class OAuthFleet(Fleet):
    """``applications``: what workers are told; may change while they run."""

    def __init__(
        self, engine: AsyncEngine, url: str, server: Submission, ca_file: Path, endpoint: TokenEndpoint
    ) -> None:
        super().__init__(engine, url, server, ca_file)
        self.endpoint = endpoint
        self.applications: Mapping[str, Application] = {"google": endpoint.application()}

    def settings(self, number: int = 1, timing: Timing = PATIENT, **changes: object) -> WorkerSettings:
        return super().settings(number, timing, **{"applications": lambda: self.applications, **changes})

    async def consent(self, count: int, users: int = 2, application: str = "google") -> list[Account]:
        """``count`` mailboxes in turn of ``users`` users, each enrolled with a refresh token of its own."""
        boxes = [(f"oauth{n}@domain{n % 3}.example", f"user-{n % users}") for n in range(count)]
        rows = [
            f"{address},{user},{self.server.host},{self.server.port},{application},{self.endpoint.consent(address)}"
            for address, user in boxes
        ]
        await self.import_(
            "email,user,smtp_host,smtp_port,oauth_application,refresh_token\n" + "\n".join(rows)
        )
        found = await self.rows(
            "SELECT m.id, m.user_id, m.address, o.application FROM mailboxes m JOIN oauth_tokens o ON o.mailbox_id = m.id"
            " ORDER BY m.id"
        )
        return [Account(row.id, row.user_id, row.address, row.application) for row in found]

    async def import_(self, text: str) -> None:
        """An import, as a person makes it."""
        async with self.engine.begin() as connection:
            await mailboxes.enrol(connection, enrolment.parse(text.encode()), KEYS, dry_run=False)

    async def stored(self, mailbox_id: int) -> Tokens:
        """A mailbox's tokens as they stand in the table."""
        [row] = await self.rows(
            "SELECT o.*, m.address FROM oauth_tokens o JOIN mailboxes m ON m.id = o.mailbox_id WHERE m.id = :id",
            id=mailbox_id,
        )
        return KEYS.open_tokens(row.address, Sealed(row.key_id, row.nonce, row.ciphertext))

    @asynccontextmanager
    async def process(self, timing: Timing = PATIENT) -> AsyncIterator[TokenSource]:
        """A token source with a way to the database of its own, as another process would have."""
        database = as_database(self.url)
        outcomes = Counter("refreshes", "By outcome.", ["outcome"], registry=None)
        for outcome in OUTCOMES:
            outcomes.labels(outcome)
        source = TokenSource(
            database,
            client_context(self.server.authority),
            timing,
            keys=lambda: KEYS,
            applications=lambda: self.applications,
            waits=lambda _: False,
            outcomes=outcomes,
        )
        try:
            yield source
        finally:
            await source.finish()
            await source.close()
            await database.close()
