"""What the senders run against: PostgreSQL (fsync on) and the SMTP sink on the other core, and a database for who needs one."""

import asyncio
import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import ours, scheme, shipped, sink
from bench.machine import OTHER_CORE, WORKER_CORE, on_core
from tests.postgres.server import Postgres

_OPTIONS = ["fsync=on", "synchronous_commit=on", "max_connections=50"]


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A server as it comes, but for the port, on the other core."""
    server = Postgres(options=_OPTIONS)
    with on_core(OTHER_CORE):
        server.__enter__()
    try:
        yield server
    finally:
        server.__exit__(None, None, None)


@dataclass(frozen=True)
class Stage:
    """Servers, a folder, and the URLs of the databases by the name of the sender."""

    server: Postgres
    target: sink.Sink
    folder: Path
    mails: int
    concurrent: int
    databases: dict[str, str]

    @property
    def ca_file(self) -> Path:
        """The authority that signed the sink's certificate."""
        return self.folder / "ca.crt"

    @property
    def worker_log(self) -> Path:
        """What our worker said."""
        return self.folder / "worker.log"

    @contextlib.contextmanager
    def program(self, name: str) -> Iterator["subprocess.Popen[bytes]"]:
        """One of the others' senders: the module ``bench.NAME``."""
        command = [*shipped.python(), "-m", f"bench.{name}", "--port", str(self.target.port)]
        command += ["--mails", str(self.mails), "--concurrent", str(self.concurrent)]
        command += ["--ca-file", str(self.ca_file)]
        if name in self.databases:
            command += ["--database", self.databases[name]]
        with on_core(WORKER_CORE):
            process = subprocess.Popen(command, env=shipped.environment(), stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.wait(60)

    @contextlib.contextmanager
    def worker(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Ours: `warmup worker`, with its shard in memory."""
        with ours.running(self.databases["ours"], self.ca_file, self.worker_log) as process:
            yield process


@contextlib.contextmanager
def stage(mails: int, concurrent: int, mailboxes: int, delay: float = 0.0) -> Iterator[Stage]:
    """Start the servers and fill the databases. ``concurrent``: mails in flight; ``delay``: of the reply to the dot, in s."""
    with (
        tempfile.TemporaryDirectory(prefix="warmup-bench-") as name,
        sink.running(Path(name), delay) as target,
        postgres() as server,
    ):
        databases = asyncio.run(_databases(server, mailboxes, target.port, concurrent))
        yield Stage(server, target, Path(name), mails, concurrent, databases)


async def _databases(server: Postgres, mailboxes: int, port: int, concurrent: int) -> dict[str, str]:
    databases = {"ours": await server.create()}
    for name in ("queue", "scheme"):
        databases[name] = server.url(await server.create_empty())
    await ours.fill(databases["ours"], mailboxes, port, concurrent)
    await scheme.fill(databases["scheme"], mailboxes)
    return databases
