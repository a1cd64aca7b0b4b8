"""Everything that a full run logs, exports, stores and prints is searched for every credential that was in it.

Two real workers under the role that workers have, mailboxes of every kind of login, and servers that repeat what a client logged
in with in every reply; an OAuth endpoint that does the same. The judge knows all secrets, whole, in pieces and in base64.
"""

import base64
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.authorization.endpoint import TokenEndpoint, refusal
from tests.command import warmup
from tests.integration.worker.fleet import EAGER, KEY_LINE, KEYS, Fleet
from tests.integration.worker.process import Process, environment, started
from tests.postgres.server import Postgres
from tests.submission import faults
from tests.submission.authority import Authority
from tests.submission.faults import Step
from tests.submission.server import Submission
from tests.waiting import until
from warmup_core import enrolment, mailboxes, schema

DATABASE_PASSWORD = secrets.token_urlsafe(18)
NASTY = {
    "login": (Step.LOGIN, "535 5.7.8 bad password {}"),
    "mail": (Step.MAIL, "550 5.7.1 sender with {} refused"),
    "rcpt": (Step.RCPT, "550 5.1.1 no such user, but I know {}"),
    "data": (Step.DATA, "451 4.3.0 not now, {}"),
    "dot": (Step.DOT, "554 5.7.1 spam from who has {}"),
    "reply": (Step.REPLY, "250 2.0.0 Ok: queued for {}"),
    "quit": (Step.QUIT, "221 2.0.0 Bye, {}"),
}


@dataclass
class Scene:
    """What runs, and all that must never be told."""

    fleet: Fleet
    servers: dict[str, Submission]
    endpoint: TokenEndpoint
    passwords: dict[str, str]
    applications: Path
    url: str

    def known(self) -> list[str]:
        """Every secret of the run."""
        return [
            *self.passwords.values(),
            *self.endpoint.given,
            *self.endpoint.clients.values(),
            "expired-" + self.endpoint.clients["client-1"],
            KEY_LINE.partition(":")[2],
            DATABASE_PASSWORD,
        ]


def forms(secret: str) -> Iterator[str]:
    """A secret as it might be told: as it is, quoted, reversed into base64 wherever it begins, and pieces of a long one."""
    yield secret
    yield quote(secret, safe="")
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret.encode()).decode().rstrip("=")
        yield encoded[4 if before else 0 : len(encoded) - 4]
    if len(secret) > 200:
        yield from (secret[at : at + 20] for at in range(100, len(secret) - 20, 40))
        encoded = base64.b64encode(secret.encode()).decode()
        yield from (encoded[at : at + 20] for at in range(100, len(encoded) - 20, 40))


@asynccontextmanager
async def scene(
    engine: AsyncEngine, postgres: Postgres, database_url: str, tmp_path: Path
) -> AsyncIterator[Scene]:
    """A fleet whose mailboxes are spread over a good server and all the nasty ones, each with every kind of login."""
    authority = Authority()
    passwords: dict[str, str] = {}
    async with AsyncExitStack() as running:
        endpoint = await running.enter_async_context(TokenEndpoint(authority))
        endpoint.clients = {f"client-{n}": secrets.token_urlsafe(18) for n in (1, 2)}

        def with_password(login: str, password: str) -> str | None:
            return login if passwords.get(login) == password else None

        async def server(without: tuple[str, ...] = ()) -> Submission:
            made = Submission(with_password, authority=authority, tokens=endpoint.accounts, without=without)
            return await running.enter_async_context(made)

        servers = {"good": await server(), "login-only": await server(("PLAIN",))}
        for name, (step, reply) in NASTY.items():
            servers[name] = await server()
            servers[name].faults[step] = faults.parrot(reply)

        ca_file = tmp_path / "ca.crt"
        ca_file.write_bytes(authority.pem)
        fleet = Fleet(engine, database_url, servers["good"], ca_file)
        rows = ["email,user,smtp_host,smtp_port,password,oauth_application,refresh_token"]
        for number, (name, it) in enumerate(servers.items()):
            for kind in ("password", "oauth"):
                address = f"{name}-{kind}@domain{number % 3}.example"
                login = f",google,{endpoint.consent(address)}"
                if kind == "password":
                    passwords[address] = secrets.token_urlsafe(12)
                    login = f"{passwords[address]},,"
                rows.append(f"{address},user-{number},{it.host},{it.port},{login}")
        for address, application in (
            ("revoked@domain0.example", "google"),
            ("expired@domain1.example", "expired"),
        ):
            token = endpoint.consent(address)
            good = servers["good"]
            rows.append(f"{address},user-x,{good.host},{good.port},,{application},{token}")
        endpoint.revoke("revoked@domain0.example")
        endpoint.fault = _parrot(endpoint)
        async with engine.begin() as connection:
            file = enrolment.parse("\n".join(rows).encode())
            await mailboxes.enrol(connection, file, KEYS, dry_run=False)

        role = f"locked_{engine.url.database}"
        await postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{DATABASE_PASSWORD}'")
        async with engine.begin() as connection:
            await schema.grant_worker(connection, role)
        applications = tmp_path / "applications.json"
        applications.write_text(json.dumps(_applications(endpoint)))
        url = postgres.url(str(engine.url.database), role, DATABASE_PASSWORD)
        yield Scene(fleet, servers, endpoint, passwords, applications, url)


def _applications(endpoint: TokenEndpoint) -> dict[str, dict[str, str]]:
    """One that works, one whose secret has expired."""
    url = f"https://127.0.0.1:{endpoint.port}/token"
    good = {"client_id": "client-1", "client_secret": endpoint.clients["client-1"], "token_endpoint": url}
    return {
        "google": good,
        "expired": good | {"client_id": "client-2", "client_secret": f"expired-{good['client_secret']}"},
    }


def _parrot(endpoint: TokenEndpoint):  # type: ignore[no-untyped-def]
    """Whatever it refuses, it repeats what it was asked."""

    async def fault(form: dict[str, str]) -> web.Response | None:
        if form["client_secret"] != endpoint.clients.get(form["client_id"]):
            return refusal(401, "invalid_client", f"your secret {form['client_secret']} has expired: {form}")
        if not endpoint.live(form["refresh_token"]):
            return refusal(400, "invalid_grant", f"{form['refresh_token']} was revoked: {form}")
        return None

    return fault


async def told(process: Process) -> list[str]:
    """What a worker answers on its port."""
    address = await process.address()
    paths = ["/metrics", "/api/warmup/metrics", "/api/warmup/quota", "/readyz", "/healthz"]
    paths += [f"/api/warmup/quota?mailbox={number}" for number in range(1, 30)]
    answers = []
    async with aiohttp.ClientSession() as client:
        for path in paths:
            async with client.get(f"http://{address}{path}") as answer:
                answers.append(await answer.text())
    return answers


async def stored(fleet: Fleet) -> list[str]:
    """Every row of every table and view, as text."""
    names = await fleet.rows(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition"
    )
    texts = []
    for name in names:
        texts += [row[0] for row in await fleet.rows(f'SELECT t::text FROM "{name.relname}" t')]
    sealed = await fleet.rows(
        "SELECT encode(ciphertext, 'escape') FROM credentials UNION ALL SELECT encode(ciphertext, 'escape') FROM oauth_tokens"
    )
    return texts + [row[0] for row in sealed]


async def printed(it: Scene) -> list[str]:
    """What a person's commands say."""
    environ = {
        "WARMUP_ENCRYPTION_KEYS": KEY_LINE,
        "WARMUP_SMTP_CA_FILE": str(it.fleet.ca_file),
        "WARMUP_OAUTH_APPLICATIONS_FILE": str(it.applications),
    }
    texts = []
    for arguments in (
        ("mailboxes", "list"),
        ("mailboxes", "show", "login-password@domain2.example"),
        ("mailboxes", "verify", "--all"),
        ("pauses", "list"),
    ):
        done = await warmup(*arguments, url=it.url, environ=environ)
        texts += [done.out, done.err]
    return texts


async def test_a_full_run(engine: AsyncEngine, postgres: Postgres, database_url: str, tmp_path: Path) -> None:
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    async with scene(engine, postgres, database_url, tmp_path) as it:
        await it.fleet.start(EAGER.model_copy(update={"emails_per_mailbox_per_day": 2}), workers=2)
        more = {"DATABASE_URL": it.url, "WARMUP_OAUTH_APPLICATIONS_FILE": str(it.applications)}
        with (
            started(environment(it.fleet, 1, **more), logs[0]) as first,
            started(environment(it.fleet, 2, **more), logs[1]) as second,
        ):

            async def everything_happened() -> bool:
                tried = {name for name, each in it.servers.items() if each.journal.of("auth")}
                held = await it.fleet.rows(
                    "SELECT address FROM mailboxes WHERE hold_reason LIKE 'oauth-grant:%'"
                )
                paused = await it.fleet.rows(
                    "SELECT 1 FROM pauses WHERE scope = 'application' AND key = 'expired'"
                )
                replies = await it.fleet.rows(
                    "SELECT phase FROM mails WHERE reply IS NOT NULL GROUP BY phase"
                )
                return bool(
                    any(
                        each.ok and "-oauth@" in str(each.login)
                        for each in it.servers["good"].journal.of("auth")
                    )
                    and tried == set(it.servers)
                    and [row.address for row in held] == ["revoked@domain0.example"]
                    and paused
                    and {row.phase for row in replies} >= {"mail", "rcpt", "data", "dot"}
                )

            await until(everything_happened, "every way to fail was taken")
            answers = await told(first) + await told(second)
            commands = await printed(it)
        rows = await stored(it.fleet)
        texts = [log.read_text() for log in logs]
        texts += [*answers, *commands, *rows, (postgres.directory / "data" / "log").read_text()]

        for secret in it.known():
            for form in forms(secret):
                found = [text for text in texts if form in text]
                assert not found, f"{secret!r} as {form!r} in {found[0][:500]!r}"
        assert sum("***" in text for text in rows) > 6, "what was repeated was kept, without the secret"
        assert any("***" in text for text in commands)
        assert [it for it in texts if "refresh_token" in it or "oauth" in it], (
            "the run is in what is searched"
        )
