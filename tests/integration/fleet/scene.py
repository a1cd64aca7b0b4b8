"""A fleet's world in a test: a namespace on the real API server, a database, and the operator as a process of its own.

The operator runs with the rights of the chart's ServiceAccount and in its namespace only, so every test also
holds the chart's RBAC.
"""

import os
import subprocess
import sys
import urllib.error
from base64 import b64encode
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster import processes
from tests.cluster.control_plane import MERGE_PATCH, ControlPlane
from tests.ports import free_port
from tests.waiting import minding, until
from warmup_core.credentials import new_key

Json = dict[str, Any]

FLEETS = "apis/warmupfleet.io/v1alpha1"
ACCOUNT = "system:serviceaccount:warmup-system:warmup-fleet"
WRITES = {"create", "patch", "update", "delete", "deletecollection"}


@dataclass
class Scene:
    """One test's namespace; ``operator`` is the running process, if there is one."""

    control_plane: ControlPlane
    namespace: str
    rights: Path
    directory: Path
    url: str
    operator: "subprocess.Popen[bytes] | None" = None
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    _minding: ExitStack = field(default_factory=ExitStack, init=False)

    # the API server, as the administrator

    def path(self, group: str, plural: str, name: str = "") -> str:
        return f"/{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def get(self, group: str, plural: str, name: str) -> Json | None:
        try:
            return self.control_plane.request("GET", self.path(group, plural, name))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            raise

    def items(self, group: str, plural: str) -> list[Json]:
        found: list[Json] = self.control_plane.request("GET", self.path(group, plural))["items"]
        return found

    def merge(self, group: str, plural: str, name: str, change: Json) -> Json:
        return self.control_plane.request("PATCH", self.path(group, plural, name), change, MERGE_PATCH)

    def delete(self, group: str, plural: str, name: str, **options: Any) -> None:
        self.control_plane.request("DELETE", self.path(group, plural, name), options)

    # the fleet and what it names

    def create_fleet(self, name: str = "main", **spec: Any) -> Json:
        whole = {
            "database": {"urlSecretRef": {"name": "main-database"}},
            "encryption": {"keysSecretRef": {"name": "main-keys"}},
            "ramp": {"type": "None"},
            **spec,
        }
        manifest = {
            "apiVersion": "warmupfleet.io/v1alpha1",
            "kind": "WarmupFleet",
            "metadata": {"name": name},
            "spec": whole,
        }
        return self.control_plane.request("POST", self.path(FLEETS, "warmupfleets"), manifest)

    def create_secret(self, name: str, **data: str) -> None:
        encoded = {key: b64encode(value.encode()).decode() for key, value in data.items()}
        self.control_plane.request(
            "POST", self.path("api/v1", "secrets"), {"metadata": {"name": name}, "data": encoded}
        )

    def change_secret(self, name: str, **data: str) -> None:
        encoded = {key: b64encode(value.encode()).decode() for key, value in data.items()}
        self.merge("api/v1", "secrets", name, {"data": encoded})

    def create_secrets(self) -> None:
        self.create_secret("main-database", url=self.url)
        self.create_secret("main-keys", keys=new_key("k1"))

    def fleet(self, name: str = "main") -> Json:
        found = self.get(FLEETS, "warmupfleets", name)
        assert found is not None
        return found

    def status(self, name: str = "main") -> Json:
        status: Json = self.fleet(name).get("status", {})
        return status

    def conditions(self, name: str = "main") -> dict[str, Json]:
        """By type, all as one look has written them; an empty one for each that there is not."""
        found = {condition["type"]: condition for condition in self.status(name).get("conditions", [])}
        return defaultdict(dict, found)

    def condition(self, kind: str = "Ready", name: str = "main") -> Json:
        return self.conditions(name)[kind]

    async def reason(self, reason: str, kind: str = "Ready", name: str = "main", *, saying: str = "") -> Json:
        """The condition, once its reason is this one and its message holds these words, both at once."""

        def turned() -> Json | None:
            condition = self.condition(kind, name)
            told = condition.get("reason") == reason and saying in condition["message"]
            return condition if told else None

        return await until(turned, f"{kind} of {name} has the reason {reason} and says {saying!r}")

    async def quota_in_force(self, name: str) -> None:
        """Wait until the namespace's ResourceQuota is counted by the controllers; before, it refuses everything."""

        def counted() -> bool:
            found = self.get("api/v1", "resourcequotas", name)
            return bool(found and found.get("status", {}).get("hard"))

        await until(counted, "the quota is in force")

    async def said(self, words: str, kind: str = "Ready", name: str = "main") -> None:
        """Wait until the condition's message holds these words."""
        await until(lambda: words in self.condition(kind, name).get("message", ""), f"{kind} says {words!r}")

    async def counted(self, engine: AsyncEngine, workers: int) -> None:
        """Wait until so many workers own the mailboxes."""

        async def turned() -> bool:
            return (await count_of(engine))[0] == workers

        await until(turned, f"{workers} workers own the mailboxes")

    def stateful_set(self, name: str = "main") -> Json | None:
        return self.get("apis/apps/v1", "statefulsets", name)

    def replicas(self, name: str = "main") -> int | None:
        found = self.stateful_set(name)
        return found["spec"]["replicas"] if found else None

    def events(self, reason: str) -> list[Json]:
        """Those told so far, in no order. The operator tells of a turn only after it has written the status that shows it."""
        return [event for event in self.items("apis/events.k8s.io/v1", "events") if event["reason"] == reason]

    async def told(self, reason: str) -> list[Json]:
        """The events of this reason, once there is one."""
        return await until(lambda: self.events(reason), f"an event tells of {reason}")

    # the operator

    async def start_operator(self, **environment: str) -> None:
        """Start it and wait until it has listed its fleets. If it ends by itself, whoever waits for it is told at once."""
        self.operator = processes.start(
            [sys.executable, "-m", "warmup_operator"],
            log=self.log,
            environment={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(sys.path),
                "KUBECONFIG": str(self.rights),
                "WARMUP_LISTEN": self.address,
                "WARMUP_WATCH_NAMESPACES": self.namespace,
                "WARMUP_OPERATOR_NAMESPACE": "warmup-system",
                "WARMUP_IDLE_SECONDS": "2",
                **environment,
            },
        )
        self._minding.enter_context(minding(self._fault))
        await until(self._listening, "the operator is ready")

    def stop_operator(self) -> None:
        self._minding.close()
        if self.operator is not None:
            processes.stop(self.operator, 10)

    def kill_operator(self) -> None:
        """End it without a word, wherever it stands."""
        self._minding.close()
        assert self.operator is not None
        self.operator.kill()
        self.operator.wait(60)

    @property
    def log(self) -> Path:
        return self.directory / "operator.log"

    def _fault(self) -> str | None:
        if self.operator is None or self.operator.poll() is None:
            return None
        return f"the operator has ended with {self.operator.returncode}:\n{processes.last_lines(self.log)}"

    async def _listening(self) -> bool:
        try:
            return (await self.ask("/readyz"))[0] == 200
        except aiohttp.ClientError:
            return False

    async def ask(self, path: str) -> tuple[int, str]:
        """GET from the operator's own server."""
        async with aiohttp.request("GET", f"http://{self.address}{path}") as answer:
            return answer.status, await answer.text()

    async def looks(self) -> int:
        """How many looks the operator has taken at fleets since it started."""
        _, exposition = await self.ask("/metrics")
        [line] = [
            line
            for line in exposition.splitlines()
            if line.startswith("warmup_operator_reconcile_seconds_count")
        ]
        return int(float(line.split()[1]))

    async def look_again(self, times: int = 1) -> None:
        """Have the operator look at the fleet, by touching an annotation, and wait until it has."""
        for _ in range(times):
            before = await self.looks()
            touch = {"metadata": {"annotations": {"test/touched": str(before)}}}
            self.merge(FLEETS, "warmupfleets", "main", touch)
            await self.looked(before + 1)

    async def looked(self, count: int) -> None:
        """Wait until the operator has looked so many times since its start."""

        async def done() -> bool:
            return await self.looks() >= count

        await until(done, f"the operator has looked {count} times")

    def writes(self) -> list[Json]:
        """What the operator has written in this namespace so far, from the API server's audit log."""
        return [
            event
            for event in self.control_plane.audit()
            if event["user"]["username"] == ACCOUNT
            and event["verb"] in WRITES
            and event.get("objectRef", {}).get("namespace") == self.namespace
        ]

    def refusals(self) -> list[Json]:
        """Requests of the operator, here or cluster-wide, that its rights did not cover.

        Not in other tests' namespaces: while one is being deleted, the API server answers 403 to whatever is new in it.
        """
        return [
            event
            for event in self.control_plane.audit()
            if event["user"]["username"] == ACCOUNT
            and event["responseStatus"]["code"] == 403
            and event["objectRef"].get("namespace", self.namespace) in {self.namespace, "kube-system"}
        ]


async def live(engine: AsyncEngine, *numbers: int, seconds: int = 3600) -> None:
    """Be these workers: their rows, with leases of ``seconds``."""
    async with engine.begin() as connection:
        for number in numbers:
            await connection.execute(
                text(
                    "INSERT INTO workers (number, incarnation, lease_until) VALUES (CAST(:number AS integer),"
                    " nextval('incarnations'), clock_timestamp() + make_interval(secs => :seconds))"
                    " ON CONFLICT (number) DO UPDATE SET lease_until = excluded.lease_until"
                ),
                {"number": number, "seconds": seconds},
            )


async def silence(engine: AsyncEngine, number: int) -> None:
    """End a worker's lease."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "UPDATE workers SET lease_until = clock_timestamp() - interval '1 s' WHERE number = :number"
            ),
            {"number": number},
        )


async def enrol(engine: AsyncEngine, count: int, users: int = 5) -> None:
    """Mailboxes without credentials, spread over so many users."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO users (name) SELECT 'user-' || n FROM generate_series(1, CAST(:users AS integer)) n"
                " ON CONFLICT DO NOTHING"
            ),
            {"users": users},
        )
        await connection.execute(
            text(
                "INSERT INTO mailboxes (user_id, address, smtp_host, smtp_port, smtp_security)"
                " SELECT (SELECT min(id) FROM users) + n % CAST(:users AS integer), 'box-' || n || '@example.org',"
                " 'smtp.example.org', 587, 'starttls' FROM generate_series(1, CAST(:count AS integer)) n"
            ),
            {"count": count, "users": users},
        )


async def count_of(engine: AsyncEngine) -> tuple[int, int]:
    """The fleet's count of workers and its epoch; zeros while the database has no owner."""
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT worker_count, epoch FROM fleet"))).first()
        return (row.worker_count, row.epoch) if row else (0, 0)
