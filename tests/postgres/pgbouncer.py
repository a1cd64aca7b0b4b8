"""A real PgBouncer in transaction mode before a PostgreSQL, as fleets in the field have one.

Owns the process's life: it listens on loopback (TCP), runs as a user without rights, and ends with its context. Everything but
the pool's size is PgBouncer's default, so a client meets what it would meet anywhere.
Fails: ``PackageError`` where Debian's package is missing and cannot be installed.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy.engine import make_url

from tests.cluster import debian
from tests.ports import free_port
from tests.postgres.server import Postgres
from tests.submission.authority import Identity

_START_SECONDS = 120.0


class PgBouncer:
    """A running pooler. ``url(database)`` is a plain postgresql:// URL through it. ``pool_size``: connections a role
    and database; ``roles``: who may come.

    With an ``identity`` it takes nobody without TLS; the wheel's PostgreSQL has none.
    """

    def __init__(
        self,
        server: Postgres,
        pool_size: int = 4,
        identity: Identity | None = None,
        roles: Sequence[str] = ("postgres",),
    ) -> None:
        self._server, self._pool_size, self._identity = server, pool_size, identity
        self._roles = roles
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="warmup-pgbouncer-"))

    def __enter__(self) -> Self:
        debian.ensure("pgbouncer")
        self._start()
        return self

    def change(self, identity: Identity) -> None:
        """Start again on the same port with another certificate; whoever was connected is cut off."""
        self._end()
        self._identity = identity
        self._start()

    def _start(self) -> None:
        (self.directory / "users.txt").write_text("".join(f'"{role}" ""\n' for role in self._roles))
        tls = ""
        if self._identity is not None:
            certificate, key = self.directory / "tls.crt", self.directory / "tls.key"
            certificate.write_bytes(self._identity.certificate)
            key.write_bytes(self._identity.key)
            tls = f"client_tls_sslmode = require\nclient_tls_cert_file = {certificate}\nclient_tls_key_file = {key}\n"
        (self.directory / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={self._server.port}\n"
            "[pgbouncer]\nlisten_addr = 127.0.0.1\nunix_socket_dir =\n"
            f"listen_port = {self.port}\npool_mode = transaction\ndefault_pool_size = {self._pool_size}\n"
            f"auth_type = trust\nauth_file = {self.directory / 'users.txt'}\nadmin_users = postgres\n{tls}"
        )
        user = None
        if os.geteuid() == 0:  # PgBouncer refuses to run as root
            user = pwd.getpwnam("nobody").pw_name
            shutil.chown(self.directory, user)
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [debian.find("pgbouncer") or "pgbouncer", self.directory / "pgbouncer.ini"],
                user=user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise RuntimeError(f"PgBouncer does not listen: {(self.directory / 'log').read_text()}")
            time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)  # at once: SIGINT would wait for clients
            self._process.wait(60)

    def url(self, direct: str) -> str:
        """The way through the pooler to the database that ``direct`` names."""
        return make_url(direct).set(port=self.port).render_as_string(hide_password=False)
