"""Workers that cost next to nothing: a pod counts as ready, and its row in ``workers`` is held by the worker's own lease.

For tests of the operator, which knows workers by their rows and by nothing else: register, heartbeat and release are the
worker's own code and SQL (``warmup_worker.lease``); what is left out is the process, its probes and the mails. A pod that goes
takes its lease with it after ``LINGER`` seconds, so that one that is only replaced is missed by nobody: the next takes over.

Level-triggered: a few times a second the pods of all fleets served are listed, in one request for all of them.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field, replace

import aiohttp

from tests.integration.fleet.client import Client, ClientError, Json
from tests.waiting import broken, cancelled, minding
from warmup_core.database import Unreachable, parse_url
from warmup_worker.clock import DatabaseClock
from warmup_worker.connection import Database
from warmup_worker.lease import Lease
from warmup_worker.timing import Timing

LINGER = 3.0
_PERIOD = 0.3
_TIMING = replace(Timing(), calm=0.001)
"""A pod that is made again takes its number at once: the lease of the one before is ended without a word."""
_LABEL = "app.kubernetes.io/name=warmup-worker"


@dataclass
class _Worker:
    """What stands for one pod's process."""

    number: int
    lease: Lease
    beating: asyncio.Task[None]
    shown: bool = False
    """Whether its pod says that it is ready."""
    gone_since: float | None = None


@dataclass
class _Fleet:
    database: Database
    workers: dict[str, _Worker] = field(default_factory=dict)  # by the pod's uid


class Crew:
    """``async with Crew(client) as crew``; ``crew.serve(namespace, url)`` for each fleet."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._fleets: dict[str, _Fleet] = {}
        self._missing: set[str] = set()
        self._round = asyncio.Lock()
        """Held while a round works, lest a fleet be left in the middle of it."""

    async def __aenter__(self) -> "Crew":
        async with contextlib.AsyncExitStack() as stack:
            following = asyncio.create_task(self._run())
            stack.push_async_callback(self._leave_all)
            stack.push_async_callback(cancelled, following)
            stack.enter_context(minding(lambda: broken(following, *self._beating())))
            self._leave = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave.aclose()

    async def _leave_all(self) -> None:
        for namespace in list(self._fleets):
            await self.leave(namespace)

    def _beating(self) -> "list[asyncio.Task[None]]":
        return [worker.beating for fleet in self._fleets.values() for worker in fleet.workers.values()]

    def cannot_pull(self, image: str) -> None:
        """Pods of this image never become workers, and say why."""
        self._missing.add(image)

    def serve(self, namespace: str, url: str) -> None:
        """Be the workers of this namespace's fleet."""
        parsed = parse_url(url)
        self._fleets[namespace] = _Fleet(Database(lambda: parsed, 20.0))

    async def leave(self, namespace: str) -> None:
        """End the leases of this namespace without a word, as a power cut would."""
        async with self._round:
            fleet = self._fleets.pop(namespace)
        await asyncio.gather(*(_end(worker) for worker in fleet.workers.values()))
        await fleet.database.close()

    async def _run(self) -> None:
        while True:
            # An API server that does not answer makes it only late.
            with contextlib.suppress(ClientError, aiohttp.ClientError, TimeoutError):
                found = await self._client.metadata(f"/api/v1/pods?labelSelector={_LABEL}")
                pods = {(pod["metadata"]["namespace"], pod["metadata"]["uid"]): pod for pod in found}
                async with self._round:
                    await self._follow(pods)
            await asyncio.sleep(_PERIOD)

    async def _follow(self, pods: dict[tuple[str, str], Json]) -> None:
        for (namespace, uid), pod in pods.items():
            fleet = self._fleets.get(namespace)
            if fleet and "deletionTimestamp" not in pod["metadata"]:
                worker = fleet.workers.get(uid)
                if worker is None or not worker.shown:
                    await self._begin(fleet, namespace, uid, pod)
        for namespace, fleet in list(self._fleets.items()):
            for uid, worker in list(fleet.workers.items()):
                if (namespace, uid) not in pods:
                    await self._miss(fleet, uid, worker)

    async def _begin(self, fleet: _Fleet, namespace: str, uid: str, pod: Json) -> None:
        name = pod["metadata"]["name"]
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        if self._missing and (image := await self._image(path)) in self._missing:
            said = {"reason": "ErrImagePull", "message": f"manifest of {image} is not known"}
            waiting = {"name": "worker", "image": image, "imageID": "", "ready": False, "restartCount": 0}
            status = {"containerStatuses": [waiting | {"state": {"waiting": said}}]}
            await self._show(path, uid, status)
            return
        if uid not in fleet.workers:
            number = int(name.rpartition("-")[2])
            lease = Lease(fleet.database, number, _TIMING, DatabaseClock(), name, "test")
            try:
                await lease.register()
            except Unreachable:  # as a worker would: the next round tries again
                return
            fleet.workers[uid] = _Worker(number, lease, asyncio.create_task(lease.run()))
        conditions = [
            {"type": kind, "status": "True"} for kind in ("Initialized", "ContainersReady", "Ready")
        ]
        await self._show(path, uid, {"phase": "Running", "conditions": conditions})
        fleet.workers[uid].shown = True

    async def _image(self, path: str) -> str:
        """Of the pod's one container; empty where the pod has gone since."""
        with contextlib.suppress(ClientError):
            return str((await self._client.get(path))["spec"]["containers"][0]["image"])
        return ""

    async def _show(self, path: str, uid: str, status: Json) -> None:
        try:
            await self._client.patch(f"{path}/status", {"metadata": {"uid": uid}, "status": status})
        except ClientError as error:
            if error.status >= 500:
                raise
            # It has gone since.

    async def _miss(self, fleet: _Fleet, uid: str, worker: _Worker) -> None:
        if worker.gone_since is None:
            worker.gone_since = time.monotonic()
        elif time.monotonic() > worker.gone_since + LINGER:
            with contextlib.suppress(Unreachable):
                await worker.lease.release()
            await _end(worker)
            del fleet.workers[uid]


async def _end(worker: _Worker) -> None:
    """No beat any more; a beat under way ends as it should, so that its connection is given back."""
    worker.lease.replaced.set()
    worker.lease.hurry()
    await worker.beating
