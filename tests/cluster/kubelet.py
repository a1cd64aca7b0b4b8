"""The test kubelet: one node object whose pods of fleets are real worker processes on this machine.

Owns: the node `test-node` and its heartbeat, the binding of pods to it (there is no scheduler), their addresses
127.1.K.N, their status, and a process for each pod of a fleet's worker. Any other pod it just calls Running and Ready.
Invariants: level-triggered; every half second, and whenever a process changes, it lists the pods and does what is
due, so a lost answer or an API server that is down for a while only makes it late. A pod's object is removed after
its process has ended, never before. Nothing outlives us (see `processes`).
Failure: an API server out of reach is logged and tried again; a fault of the kubelet's own ends it, and leaving
the context raises it.

    python -m tests.cluster.kubelet KUBECONFIG DIRECTORY NAMESPACE        until SIGINT or SIGTERM
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
from kubernetes.aio.config import new_client_from_config
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import DynamicApiError, NotFoundError

from tests.cluster import pod_inputs, processes
from tests.cluster.pod_inputs import Manifest, Objects, Reference
from tests.cluster.pod_process import PodProcess
from tests.cluster.pod_status import Container, node_status, pod_status
from tests.waiting import broken, cancelled, minding, until

_log = logging.getLogger(__name__)

_WORKER = ("app.kubernetes.io/name", "warmup-worker")
"""The label of the pods that become processes."""

_PERIOD, _HEARTBEAT = 0.5, 5.0
"""Seconds between two rounds of the loop, and between two reports that the node is alive."""

_UNUSABLE = 2
"""The exit code of a worker that refuses its environment."""

_GRACE_WHEN_FORCED = 2.0
"""Seconds for a process whose pod was removed by force; a real kubelet gives as many."""


class _Pod(NamedTuple):
    name: str
    address: str
    process: PodProcess | None
    """None for a pod that is no worker."""


class Kubelet:
    """`async with Kubelet(kubeconfig, directory, namespace) as kubelet:` runs the pods of that namespace.

    `command` stands for the entry point of the worker's image, after which the container's args follow;
    `environment` for what the image sets. Leaving the context is a power cut: the processes are killed, the objects
    stay as they are, and the next kubelet of the namespace takes them over.

    `room`: how many pods fit on the node; the others wait for one, and their status says so as a scheduler would. `cut_off`: the
    node has lost the API server, its processes run on and nobody hears of them. Both may be changed at any time.
    """

    def __init__(
        self,
        kubeconfig: Path,
        directory: Path,
        namespace: str,
        *,
        command: Sequence[str] = (sys.executable, "-m", "warmup_cli"),
        environment: Mapping[str, str] | None = None,
        node: str = "test-node",
        room: int | None = None,
    ) -> None:
        self.room, self.cut_off = room, False
        self._kubeconfig = kubeconfig
        self._directory = directory.absolute()
        self._core = f"/api/v1/namespaces/{namespace}"
        self._command = command
        self._environment = environment or {}
        self._node = node
        self._pods: dict[str, _Pod] = {}  # by uid
        self._changed = asyncio.Event()
        self._next_heartbeat = 0.0

    async def __aenter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        async with contextlib.AsyncExitStack() as stack:
            self._network = stack.enter_context(contextlib.closing(_claim_network()))
            connector = aiohttp.TCPConnector(force_close=True)
            self._http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            client = await new_client_from_config(str(self._kubeconfig), persist_config=False)
            self._api = DynamicClient(await stack.enter_async_context(client))
            await until(self._node_is_known, "the node is reported")
            stack.push_async_callback(self._close_pods)
            running = asyncio.create_task(self._run())
            stack.push_async_callback(cancelled, running)
            stack.enter_context(minding(lambda: broken(running) or self._refused()))
            self._leave = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave.aclose()

    def process_of(self, pod: str) -> int | None:
        """The process id of the pod of that name, or None while it has no process."""
        for known in reversed(self._pods.values()):
            if known.name == pod and known.process:
                return known.process.pid
        return None

    def _refused(self) -> str | None:
        """Of a worker that cannot use its environment: no restart mends that, so nobody need wait for it."""
        for pod in self._pods.values():
            ended = pod.process.last_state.get("terminated") if pod.process else None
            if ended and ended["exitCode"] == _UNUSABLE:
                return f"{pod.name} refuses its environment:\n{processes.last_lines(self._output(pod.name))}"
        return None

    def log_of(self, pod: str) -> str:
        """All that the processes of pods of that name have written so far, stdout and stderr."""
        output = self._output(pod)
        return output.read_text(errors="replace") if output.exists() else ""

    def _output(self, pod: str) -> Path:
        return self._directory / f"{pod}.log"

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                if self.cut_off:
                    await asyncio.sleep(_PERIOD)
                    continue
                if time.monotonic() >= self._next_heartbeat:
                    await self._report_node()
                await self._sync()
            except DynamicApiError as error:
                _log.warning("the API server refused: %s; trying again", error.summary())
            except (aiohttp.ClientError, TimeoutError) as error:
                _log.warning("the API server cannot be reached: %r; trying again", error)
            except Exception:
                _log.exception("the test kubelet ends by a fault of its own")
                raise
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PERIOD):
                    await self._changed.wait()

    async def _sync(self) -> None:
        """One round: what is due for every pod of the namespace."""
        manifests = (await self._request("get", f"{self._core}/pods"))["items"]
        objects = await self._read(set().union(*map(pod_inputs.references, filter(_is_worker, manifests))))
        bound = sum(manifest["spec"].get("nodeName") == self._node for manifest in manifests)
        for manifest in manifests:
            try:
                if "nodeName" not in manifest["spec"] and self.room is not None and bound >= self.room:
                    await self._refuse(manifest)
                    continue
                bound += "nodeName" not in manifest["spec"]
                await self._sync_pod(manifest, objects)
            except DynamicApiError as error:
                # Removed or changed since the list was read: the next round sees how.
                _log.info("pod %s: %s", manifest["metadata"]["name"], error.summary())
        for uid in self._pods.keys() - {manifest["metadata"]["uid"] for manifest in manifests}:
            process = self._pods[uid].process
            if process and process.pid:
                process.terminate(_GRACE_WHEN_FORCED)
            else:
                await self._forget(uid)

    async def _sync_pod(self, manifest: Manifest, objects: Objects) -> None:
        metadata, bound_to = manifest["metadata"], manifest["spec"].get("nodeName")
        path, deleted = f"{self._core}/pods/{metadata['name']}", "deletionTimestamp" in metadata
        if bound_to is None and not deleted:
            target = {"apiVersion": "v1", "kind": "Node", "name": self._node}
            binding = {"metadata": {"name": metadata["name"], "uid": metadata["uid"]}, "target": target}
            await self._request("post", f"{path}/binding", binding)
            self._changed.set()
        if bound_to != self._node or (_is_over(manifest) and not deleted):
            return
        pod = self._pods.get(metadata["uid"]) or self._admit(manifest)
        if pod.process:
            await pod.process.sync(manifest, objects)
        if deleted and not (pod.process and pod.process.pid):
            await self._forget(metadata["uid"])
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
            await self._request("delete", path, options)
        elif status := pod_status(
            manifest,
            [_container(pod.process, manifest)] * len(manifest["spec"]["containers"]),
            address=pod.address,
            node_address=self._network.getsockname()[0],
            now=datetime.now(UTC),
        ):
            await self._patch(f"{path}/status", {"metadata": {"uid": metadata["uid"]}, "status": status})

    async def _refuse(self, manifest: Manifest) -> None:
        """There is no room for this pod here: say so, unless somebody has."""
        if any(it["type"] == "PodScheduled" for it in manifest.get("status", {}).get("conditions", [])):
            return
        path = f"{self._core}/pods/{manifest['metadata']['name']}/status"
        refusal = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Too many pods.",
        }
        await self._patch(
            path, {"metadata": {"uid": manifest["metadata"]["uid"]}, "status": {"conditions": [refusal]}}
        )

    def _admit(self, manifest: Manifest) -> _Pod:
        name, uid = manifest["metadata"]["name"], manifest["metadata"]["uid"]
        network = self._network.getsockname()[0].rpartition(".")[0]
        used = {pod.address for pod in self._pods.values()}
        address = next(free for n in range(1, 254) if (free := f"{network}.{n}") not in used)
        process = None
        if _is_worker(manifest):
            process = PodProcess(
                address=address,
                folder=self._directory / uid,
                output=self._output(name),
                command=self._command,
                environment=self._environment,
                http=self._http,
                changed=self._changed.set,
            )
        self._pods[uid] = _Pod(name, address, process)
        return self._pods[uid]

    async def _forget(self, uid: str) -> None:
        if process := self._pods.pop(uid).process:
            await process.close()

    async def _close_pods(self) -> None:
        for uid in list(self._pods):
            await self._forget(uid)

    async def _read(self, wanted: set[Reference]) -> Objects:
        """The Secrets and ConfigMaps wanted; None for one that does not exist."""
        found: dict[Reference, Mapping[str, bytes] | None] = {}
        for reference in wanted:
            try:
                item = await self._request("get", f"{self._core}/{reference.kind}/{reference.name}")
                found[reference] = pod_inputs.contents(item)
            except NotFoundError:
                found[reference] = None
        return found

    async def _node_is_known(self) -> bool:
        """Report it; no where the API server is away or too busy, which it may be before as well as after."""
        try:
            await self._report_node()
        except (DynamicApiError, aiohttp.ClientError, TimeoutError) as error:
            _log.warning("the node cannot be reported: %r; trying again", error)
            return False
        return True

    async def _report_node(self) -> None:
        """Say that the node is alive; make it first where there is none."""
        status = node_status(self._network.getsockname()[0], datetime.now(UTC))
        try:
            await self._patch(f"/api/v1/nodes/{self._node}/status", {"status": status})
        except NotFoundError:
            labels = {"kubernetes.io/hostname": self._node}
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._node, "labels": labels}}
            await self._request("post", "/api/v1/nodes", node | {"status": status})
        self._next_heartbeat = time.monotonic() + _HEARTBEAT

    async def _patch(self, path: str, body: dict[str, Any]) -> None:
        await self._request("patch", path, body, content_type="application/strategic-merge-patch+json")

    async def _request(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self._api.request(
            method, path, body=body, serializer=lambda _, plain: plain, _request_timeout=30, **options
        )
        if self.cut_off:  # the answer to what was asked just before is lost too
            raise aiohttp.ClientConnectionError("the node is cut off")
        return answer


def _claim_network() -> socket.socket:
    """A socket that holds 127.1.K.254, the node's address, for the first free K: 127.1.K.1 to .253 are its pods'.

    So two runs on one machine at once do not meet; the kernel gives K back when we are gone.
    """
    for k in range(256):
        with contextlib.suppress(OSError):
            return socket.create_server((f"127.1.{k}.254", 10250))
    raise RuntimeError("all 256 networks 127.1.K.0/24 are taken by other test kubelets")


def _is_worker(manifest: Manifest) -> bool:
    label, value = _WORKER
    return bool(manifest["metadata"].get("labels", {}).get(label) == value)


def _is_over(manifest: Manifest) -> bool:
    return manifest["status"].get("phase") in ("Succeeded", "Failed")


def _container(process: PodProcess | None, manifest: Manifest) -> Container:
    if process:
        return Container(process.state, process.last_state, process.started, process.ready, process.restarts)
    running = {"running": {"startedAt": manifest["metadata"]["creationTimestamp"]}}
    return Container(running, {}, started=True, ready=True, restarts=0)


async def _main(kubeconfig: str, directory: str, namespace: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    async with Kubelet(Path(kubeconfig), Path(directory), namespace):
        await end.wait()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python -m tests.cluster.kubelet KUBECONFIG DIRECTORY NAMESPACE")
    asyncio.run(_main(*sys.argv[1:]))
