"""A whole life of a fleet, one like another: made, grown, shrunk, changed in its pods, deleted. What stands after each stage is
compared with a life in which nothing went wrong.

Each life has a namespace, a database, a proxy and an operator (``forks``) of its own; the crew that plays the workers serves all
of them, so many may run at once. A snapshot holds what the operator answers for: the fleet with its status, its objects, the
names of its pods, the fleet's row with its epoch. What differs from life to life for good reason (uids, times) is masked.
A judge sits in the proxy: no write may ask for fewer pods than there are workers that own mailboxes.
"""

import asyncio
import json
import os
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.control_plane import ControlPlane
from tests.cluster.processes import last_lines
from tests.cluster.proxy import Exchange, Proxy, Reply, Request
from tests.integration.fleet import forks
from tests.integration.fleet.client import Client, ClientError
from tests.integration.fleet.crew import Crew
from tests.integration.fleet.scene import enrol
from tests.integration.worker.fleet import about_noon
from tests.postgres.judge import judge
from tests.postgres.server import Postgres
from tests.waiting import until
from warmup_core import database, partitions
from warmup_core.credentials import new_key

Json = dict[str, Any]
Snapshot = dict[str, Any]

FLEETS = "apis/warmupfleet.io/v1alpha1", "warmupfleets"
STATEFUL_SETS = "apis/apps/v1", "statefulsets"
KINDS = [
    FLEETS,
    STATEFUL_SETS,
    ("api/v1", "services"),
    ("api/v1", "serviceaccounts"),
    ("apis/policy/v1", "poddisruptionbudgets"),
    ("api/v1", "pods"),
]
_IDLE_SECONDS = "3"
"""Between two looks while nothing wakes the operator; here nearly everything does."""
_PERIOD, _CALM = 0.4, 5
"""Seconds between two snapshots, and how many in a row must be the same."""

_VOLATILE = {
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "lastTransitionTime",
    "day",
    "warmupfleet.io/applied",  # a hash over the owner's uid, too
    "controller-revision-hash",
}


@dataclass(frozen=True)
class World:
    """What all lives share."""

    control_plane: ControlPlane
    client: Client
    crew: Crew
    postgres: Postgres
    template: str
    """A database with the schema, today's partitions and mailboxes, to be copied."""
    rights: Path
    directory: Path


async def template(postgres: Postgres) -> str:
    """Make the database that every life begins with; its name."""
    url = database.parse_url(await postgres.create())
    engine = judge(url)
    try:
        await enrol(engine, 9)
        await partitions.upkeep(engine.begin, datetime.now(UTC).date(), 90)
    finally:
        await engine.dispose()
    return str(url.database)


@dataclass(frozen=True)
class Reference:
    """A life in which nothing went wrong: what stood after each stage, and what the operator wrote in it."""

    stands: dict[str, Snapshot]
    writes: dict[str, list[Request]]


@dataclass(frozen=True)
class Stage:
    """One thing that a user does, and the number of workers once it is done."""

    name: str
    change: Json | None
    workers: int


ZONE, _ = about_noon(datetime.now(UTC))
"""Neither midnight nor the window of ``SPEC`` comes near while the tests run: either moves counts."""
SPEC = {
    "database": {"urlSecretRef": {"name": "main-database"}},
    "encryption": {"keysSecretRef": {"name": "main-keys"}},
    "ramp": {"type": "None"},
    "timeZone": ZONE,
    "schedule": {"to": "00:10"},  # over, so that no count moves
    "workers": {"replicas": 1},
}
LIFE = [
    Stage("create", {"workers": {"replicas": 1}}, 1),
    Stage("grow", {"workers": {"replicas": 3}}, 3),
    Stage("shrink", {"workers": {"replicas": 1}}, 1),
    Stage("change", {"workers": {"terminationGracePeriodSeconds": 120}}, 1),
    Stage("delete", None, 0),
]


async def undisturbed(world: World) -> Reference:
    """Live without a fault."""
    async with Life(world) as life:
        begun: dict[str, int] = {}

        async def before(stage: Stage) -> None:
            begun[stage.name] = len(life.proxy.writes)

        life.start_operator()
        stands = await life.live(before=before)
        bounds = [*begun.values(), len(life.proxy.writes)]
        spans = zip(begun, pairwise(bounds), strict=True)
        writes = {name: life.proxy.writes[start:end] for name, (start, end) in spans}
        return Reference(stands, writes)


class Life:
    """``async with Life(world) as life: await life.live(...)``. ``operators`` are the processes that run now."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.namespace = f"life-{uuid4().hex[:8]}"
        self.directory = world.directory / self.namespace
        self.proxy = Proxy(world.control_plane)
        self.proxy.faults.append(self._judge)
        self.operators: list[BaseProcess] = []
        self.verdicts: list[str] = []
        """What the judge has against the operator."""
        self._hearings: list[asyncio.Task[None]] = []
        self.url = ""
        self.looked = asyncio.Event()
        """Whether the operator that runs now has come to the end of a look."""
        self.engine: AsyncEngine

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.directory.mkdir()
            name = await self._world.postgres.create_empty("life", self._world.template)
            self.url = self._world.postgres.url(name)
            self.engine = judge(self.url)
            stack.push_async_callback(self.engine.dispose)
            await self._world.client.post("/api/v1/namespaces", {"metadata": {"name": self.namespace}})
            for name, key, value in ("main-database", "url", self.url), ("main-keys", "keys", new_key("k1")):
                data = {key: b64encode(value.encode()).decode()}
                await self._world.client.post(
                    self.path("api/v1", "secrets"), {"metadata": {"name": name}, "data": data}
                )
            self._world.crew.serve(self.namespace, self.url)
            stack.push_async_callback(self._world.crew.leave, self.namespace)
            stack.push_async_callback(self._end_hearings)
            await stack.enter_async_context(self.proxy)
            stack.callback(self.kill_operators)
            self._leave = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave.aclose()

    async def _end_hearings(self) -> None:
        await asyncio.gather(*self._hearings)

    def path(self, group: str, plural: str, name: str = "") -> str:
        """Of objects in this life's namespace."""
        return f"/{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    # the operator

    def start_operator(self, **environment: str) -> BaseProcess:
        """Another operator for this namespace, behind the proxy."""
        kubeconfig = self.proxy.kubeconfig(self._world.rights, self.directory / "kubeconfig")
        process = forks.start(
            {
                "PATH": os.environ["PATH"],
                "KUBECONFIG": str(kubeconfig),
                "WARMUP_LISTEN": "127.0.0.1:0",
                "WARMUP_WATCH_NAMESPACES": self.namespace,
                "WARMUP_OPERATOR_NAMESPACE": "warmup-system",
                "WARMUP_IDLE_SECONDS": _IDLE_SECONDS,
                **environment,
            },
            self.log,
        )
        self.operators.append(process)
        self.looked.clear()
        return process

    def kill_operators(self) -> None:
        """SIGKILL them all."""
        while self.operators:
            forks.kill(self.operators.pop())

    @property
    def log(self) -> Path:
        """What its operators have said."""
        return self.directory / "operator.log"

    # the fleet

    async def create(self, spec: Json) -> None:
        """Make the fleet."""
        manifest = {
            "apiVersion": "warmupfleet.io/v1alpha1",
            "kind": "WarmupFleet",
            "metadata": {"name": "main"},
        }
        await self._world.client.post(self.path(*FLEETS), manifest | {"spec": spec})

    async def replace(self, spec: Json) -> int:
        """Give the fleet this whole spec, as ``kubectl replace`` does; its generation then."""
        path = self.path(*FLEETS, "main")
        while True:
            fleet = await self._world.client.get(path)
            try:
                changed = await self._world.client.put(path, fleet | {"spec": spec})
            except ClientError as error:
                if error.status != 409:
                    raise
                continue  # the operator has written its status since: it may whenever it likes
            generation: int = changed["metadata"]["generation"]
            return generation

    async def begin(self, stage: Stage) -> None:
        """Do what the user does."""
        fleet = self.path(*FLEETS, "main")
        if stage is LIFE[0]:
            await self.create(SPEC)
        elif stage.change is None:
            # An operator that has never seen the fleet cannot know that it is gone, and leaves its row as it is.
            await until(self.looked.is_set, "the operator has looked")
            await self._world.client.delete(fleet)
        else:
            await self._world.client.patch(fleet, {"spec": stage.change})

    async def snapshot(self, kinds: Sequence[tuple[str, str]] = KINDS) -> Snapshot:
        """What stands now, masked."""
        answers = [await self._world.client.get(self.path(*kind)) for kind in kinds]
        found: Snapshot = {}
        for (_, plural), answer in zip(kinds, answers, strict=True):
            named = {item["metadata"]["name"]: item for item in answer["items"]}
            if plural == "pods":  # the controllers' own, but for their number
                found[plural] = sorted(
                    name for name, pod in named.items() if "deletionTimestamp" not in pod["metadata"]
                )
                continue
            if plural == "poddisruptionbudgets":  # its status is the controllers' own
                named = {name: item | {"status": None} for name, item in named.items()}
            found[plural] = {name: _masked(item) for name, item in named.items() if name != "default"}
        async with self.engine.connect() as connection:
            row = await connection.execute(
                text(
                    "SELECT epoch, worker_count, generation, paused, deleted, settings_version, failed_target,"
                    " failed_attempts, growing_since IS NOT NULL AS growing FROM fleet"
                )
            )
            found["row"] = [dict(it) for it in row.mappings()]
        plain: Snapshot = json.loads(json.dumps(found).replace(self.namespace, "NAMESPACE"))
        return plain

    async def settle(self, stage: Stage, like: Snapshot | None = None, within: float = 600) -> Snapshot:
        """Wait until the stage is over: like the snapshot given; without one, as its number of workers says, and still."""
        deadline, calm = time.monotonic() + within, 0
        last: Snapshot = {}
        while True:
            # The fleet alone first: what is asked for often should be cheap.
            now = await self.snapshot([FLEETS])
            if like is None or all(like[part] == now[part] for part in now):
                now = await self.snapshot()
            if now == like:
                return now
            if like is None:
                calm = calm + 1 if now == last and _settled(now, stage) else 0
                if calm == _CALM:
                    return now
                last = now
            if time.monotonic() > deadline or not all(it.is_alive() for it in self.operators):
                wanted = {part: like[part] for part in now} if like else {}
                raise AssertionError(
                    f"{self.namespace}: {stage.name} did not come to its end:\n{difference(wanted, now)}\n"
                    f"{last_lines(self.log)}"
                )
            await asyncio.sleep(_PERIOD)

    async def live(
        self,
        like: dict[str, Snapshot] | None = None,
        before: Callable[[Stage], Awaitable[None]] | None = None,
        after: Callable[[Stage], Awaitable[None]] | None = None,
    ) -> dict[str, Snapshot]:
        """All stages, each to its end; ``before`` and ``after`` are called around the user's deed."""
        found = {}
        for stage in LIFE:
            if before is not None:
                await before(stage)
            await self.begin(stage)
            if after is not None:
                await after(stage)
            found[stage.name] = await self.settle(stage, like[stage.name] if like else None)
        assert not self.verdicts, self.verdicts
        return found

    async def _judge(self, exchange: Exchange) -> Reply | None:
        request = exchange.request
        if request.path == self.path("apis/policy/v1", "poddisruptionbudgets", "main-workers"):
            self.looked.set()  # the last object that a look reads, when it has the database
        if request.write and request.path.startswith(self.path(*STATEFUL_SETS)):
            asked = request.manifest["spec"]["replicas"]
            # A request of an operator that dies is cancelled, which must not hit a connection in the making.
            hearing = asyncio.create_task(self._hear(asked))
            self._hearings.append(hearing)
            await asyncio.shield(hearing)
        return None

    async def _hear(self, asked: int) -> None:
        async with self.engine.connect() as connection:
            owners = await connection.scalar(text("SELECT worker_count FROM fleet")) or 0
        if asked < owners:
            self.verdicts.append(f"{asked} pods were asked for while {owners} workers owned mailboxes")


def _settled(seen: Snapshot, stage: Stage) -> bool:
    [row] = seen["row"] or [{}]
    fleet, workers = seen["warmupfleets"].get("main"), seen["statefulsets"].get("main")
    if stage.change is None:
        return bool(row.get("deleted")) and not any(seen[plural] for _, plural in KINDS)
    if fleet is None or workers is None or len(seen["pods"]) != stage.workers:
        return False
    status, pods = fleet.get("status", {}), workers["status"]
    reasons = {it["type"]: it["reason"] for it in status.get("conditions", [])}
    counts = {
        pods.get(name, 0) for name in ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
    }
    return (
        row.get("worker_count") == stage.workers
        and [reasons.get(it) for it in ("Ready", "Resizing", "Degraded")] == ["Running", "Settled", "Healthy"]
        and status["observedGeneration"] == fleet["metadata"]["generation"]
        and counts == {stage.workers}
        and status["workers"]["ready"] == status["workers"]["replicas"] == stage.workers
        and workers["status"]["observedGeneration"] == workers["metadata"]["generation"]
        and pods["currentRevision"] == pods["updateRevision"]
    )


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(inner) for key, inner in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        return [_masked(inner) for inner in value]
    return value


def difference(wanted: Any, found: Any, where: str = "") -> str:
    """Where two snapshots differ, a line each."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        lines = [
            difference(wanted.get(key), found.get(key), f"{where}.{key}")
            for key in sorted(wanted.keys() | found.keys())
        ]
        return "\n".join(line for line in lines if line)
    return "" if wanted == found else f"{where}: wanted {wanted!r}, found {found!r}"
