"""``python -m bench.operator``: the operator's memory for many fleets, and what a fleet costs that has nothing to do.

A real API server, a database for each fleet, the operator as a process with its defaults. Every fleet has one worker, which is a
lease in its database, and its window is over, so nothing moves. API requests come from the API server's audit log, in which the
operator has a name of its own; statements from PostgreSQL's log, where nobody else writes while it is counted. Nothing is
extrapolated: with fewer minutes the figures are those of fewer minutes, and the last line says how many.

Last line: ``operator: minutes=M fleets=N rss_mb=R further_kb=K scrape_ms=T health_ms=H writes=W reads=A statements=S``; K is for
a further fleet; T and H are medians of /metrics and /healthz, asked one after the other; the last three are for one fleet in the
minutes named (watches, which are held open, are not requests here).
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench import machine, plane
from tests.cluster import processes, programs
from tests.cluster.control_plane import TEST_KUBELET, ControlPlane
from tests.integration.fleet.scene import enrol, live
from tests.ports import free_port
from tests.postgres.server import Postgres
from warmup_core import database
from warmup_core.credentials import new_key

_WHO = TEST_KUBELET
"""The operator's name in the audit log: there is no kubelet here."""
_CONNECTIONS = 400
_SCRAPES = 100
_FLEETS = "/apis/warmupfleet.io/v1alpha1/namespaces/default/warmupfleets"


@dataclass(frozen=True)
class Counts:
    """What had been asked so far."""

    writes: int
    reads: int
    statements: int


class Stage:
    """A control plane and a PostgreSQL with an operator and any number of idle fleets."""

    def __init__(self, control_plane: ControlPlane, postgres: Postgres, template: str, log: Path) -> None:
        self._control_plane, self._postgres, self._template = control_plane, postgres, template
        self._address = f"127.0.0.1:{free_port()}"
        self.operator: subprocess.Popen[bytes] = processes.start(
            [sys.executable, "-m", "warmup_operator"],
            log=log,
            environment={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(sys.path),
                "KUBECONFIG": str(control_plane.kubeconfig_of(_WHO)),
                "WARMUP_LISTEN": self._address,
            },
        )

    async def add(self, first: int, count: int) -> None:
        """More fleets, and back when each of them is Running."""
        for number in range(first, first + count):
            name = f"fleet-{number}"
            url = self._postgres.url(await self._postgres.create_empty("bench", self._template))
            for secret, key, value in (
                (f"{name}-database", "url", url),
                (f"{name}-keys", "keys", new_key("k1")),
            ):
                data = {key: b64encode(value.encode()).decode()}
                body = {"metadata": {"name": secret}, "data": data}
                self._control_plane.request("POST", "/api/v1/namespaces/default/secrets", body)
            manifest = {
                "apiVersion": "warmupfleet.io/v1alpha1",
                "kind": "WarmupFleet",
                "metadata": {"name": name},
                "spec": {
                    "database": {"urlSecretRef": {"name": f"{name}-database"}},
                    "encryption": {"keysSecretRef": {"name": f"{name}-keys"}},
                    "schedule": {"to": "00:00:01"},
                    "workers": {"replicas": 1},
                },
            }
            self._control_plane.request("POST", _FLEETS, manifest)
        while sum(map(_runs, self._control_plane.request("GET", _FLEETS)["items"])) < first + count:
            if self.operator.poll() is not None:
                sys.exit("the operator has ended")
            await asyncio.sleep(1)

    def counts(self) -> Counts:
        """What the operator has asked so far: of the API server, and of PostgreSQL, of which nobody else asks anything."""
        verbs = [
            event["verb"]
            for event in self._control_plane.audit()
            if event["user"]["username"] == _WHO and event["verb"] != "watch"
        ]
        reads = sum(verb in {"get", "list"} for verb in verbs)
        log = (self._postgres.directory / "data" / "log").read_text(errors="replace")
        statements = log.count("LOG:  statement:") + log.count("LOG:  execute ")
        return Counts(len(verbs) - reads, reads, statements)

    async def milliseconds(self, path: str) -> float:
        """Median time of an answer of the operator's own server."""
        taken = []
        async with aiohttp.ClientSession() as session:
            for _ in range(_SCRAPES):
                started = time.perf_counter()
                async with session.get(f"http://{self._address}{path}") as answer:
                    await answer.read()
                taken.append((time.perf_counter() - started) * 1000)
                await asyncio.sleep(0.05)
        return statistics.median(taken)

    def resident_mb(self) -> float:
        """Memory of the operator's process."""
        return machine.resident_mb(self.operator.pid)


def _runs(fleet: dict[str, dict[str, list[dict[str, str]]]]) -> bool:
    return any(it["reason"] == "Running" for it in fleet.get("status", {}).get("conditions", []))


async def _template(postgres: Postgres) -> str:
    """A database with the schema, a mailbox and a worker that is live for a day."""
    url = database.parse_url(await postgres.create())
    engine = database.create_engine(url, pool_size=1, statement_seconds=30)
    try:
        await enrol(engine, 1)
        await live(engine, 1, seconds=86_400)
    finally:
        await engine.dispose()
    return str(url.database)


async def measure(stage: Stage, fleets: int, further: int, minutes: float) -> str:
    """All figures, as the last line."""
    await stage.add(0, fleets)
    print(
        f"{fleets} fleets run: {stage.resident_mb():.0f} MB; now {minutes:g} minutes of nothing", flush=True
    )
    before = stage.counts()
    await asyncio.sleep(minutes * 60)
    after, resident = stage.counts(), stage.resident_mb()
    print(f"{fleets} fleets: {resident:.0f} MB", flush=True)
    scrape, health = await stage.milliseconds("/metrics"), await stage.milliseconds("/healthz")
    await stage.add(fleets, further)
    await asyncio.sleep(minutes * 60)
    more = stage.resident_mb()
    print(f"{fleets + further} fleets: {more:.0f} MB", flush=True)
    each = {
        name: (getattr(after, name) - getattr(before, name)) / fleets
        for name in ("writes", "reads", "statements")
    }
    return (
        f"operator: minutes={minutes:g} fleets={fleets} rss_mb={resident:.0f}"
        f" further_kb={(more - resident) / further * 1000:.0f} scrape_ms={scrape:.1f} health_ms={health:.1f}"
        + "".join(f" {name}={value:.2f}" for name, value in each.items())
    )


async def _run(
    control_plane: ControlPlane, postgres: Postgres, log: Path, arguments: argparse.Namespace
) -> str:
    plane.prepare(control_plane)
    stage = Stage(control_plane, postgres, await _template(postgres), log)
    try:
        return await measure(stage, arguments.fleets, arguments.further, arguments.minutes)
    finally:
        processes.stop(stage.operator)


def main() -> None:
    """On a control plane and a PostgreSQL of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fleets", type=int, default=50)
    parser.add_argument(
        "--further", type=int, default=50, help="fleets that are added after the first were measured"
    )
    parser.add_argument("--minutes", type=float, default=10, help="each of the two times of nothing")
    arguments = parser.parse_args()
    programs.ensure("etcd", "kube-apiserver", "kube-controller-manager")
    print(machine.description())
    options = ["fsync=off", f"max_connections={_CONNECTIONS}", "log_statement=all"]
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="warmup-bench-") as directory,
        ControlPlane(Path(directory) / "control-plane") as control_plane,
        Postgres(options=options) as postgres,
    ):
        log = Path(directory) / "operator.log"
        try:
            line = asyncio.run(_run(control_plane, postgres, log, arguments))
        finally:
            print(processes.last_lines(log, 5), file=sys.stderr)
    print(f"{time.monotonic() - started:.0f} s in all")
    print(line)


if __name__ == "__main__":
    main()
