"""One pod of the test kubelet: a real process, its volumes, its probes, and the state that the pod's status shows.

Owns: the process, its output, and the pod's private folder with the volumes in it.
Invariants: at most one process at a time; one that ends is started again after a short backoff, until the pod is
deleted. `sync` is level-triggered: called at any time with the newest manifest, it does what is due.
Failure: a missing Secret or ConfigMap leaves the pod waiting, for the reason a real kubelet gives.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from tests.cluster import pod_inputs, pod_volume, processes
from tests.cluster.pod_inputs import Manifest, MissingInput, Objects
from tests.cluster.pod_probe import verdicts

_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.5, 8.0
"""Seconds from the end of a process to its next start, doubled each time it ends without having passed its readiness probe."""

_READINESS_PERIOD = 1.0
"""Seconds at most between two readiness probes, whatever the manifest says: tests wait for them."""


class PodProcess:
    """The process of one pod; `changed` is called whenever something that the pod's status shows has changed."""

    def __init__(
        self,
        *,
        address: str,
        folder: Path,
        output: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        http: aiohttp.ClientSession,
        changed: Callable[[], None],
    ) -> None:
        self.address = address
        self.state: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
        self.last_state: dict[str, Any] = {}
        self.started = False
        self.ready = False
        self.restarts = 0
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True)
        self._output = output
        self._command = command
        self._environment = environment
        self._http = http
        self._changed = changed
        self._process: Process | None = None
        self._life: asyncio.Task[None] | None = None
        self._volumes: dict[str, dict[str, bytes]] = {}
        self._start_at = 0.0
        self._backoff = _FIRST_BACKOFF
        self._terminating_since: float | None = None
        self._grace = 0.0

    @property
    def pid(self) -> int | None:
        """The running process, or None while there is none."""
        return self._process.pid if self._process else None

    async def sync(self, pod: Manifest, objects: Objects) -> None:
        """Do what is due: publish the volumes, start the process, end it when the pod is deleted or overdue."""
        if self._life and self._life.done():
            self._life.result()  # a fault of our own is not the process's
        if "deletionTimestamp" in pod["metadata"]:
            self.terminate(pod["metadata"]["deletionGracePeriodSeconds"])
        elif self._terminating_since is not None:
            self.terminate(self._grace)
        else:
            try:
                self._publish_volumes(pod, objects)
                if self._process is None and time.monotonic() >= self._start_at:
                    await self._start(pod, objects)
            except MissingInput as problem:
                # A process that runs keeps what it was given.
                if self._process is None:
                    self._show({"waiting": {"reason": problem.reason, "message": str(problem)}})

    def terminate(self, grace: float) -> None:
        """SIGTERM at the first call; SIGKILL at the first that comes `grace` seconds later."""
        if self._process is None:
            return
        if self._terminating_since is None:
            self._terminating_since = time.monotonic()
            with contextlib.suppress(ProcessLookupError):  # it has ended, and we are about to hear of it
                self._process.send_signal(signal.SIGTERM)
        self._grace = grace
        if time.monotonic() >= self._terminating_since + grace:
            _kill_group(self._process.pid)

    async def close(self) -> None:
        """Kill the process, if there still is one, and remove the pod's folder; its output stays."""
        if self._process:
            _kill_group(self._process.pid)
        if self._life:
            await self._life
        shutil.rmtree(self._folder, ignore_errors=True)

    def _publish_volumes(self, pod: Manifest, objects: Objects) -> None:
        if refused := pod_inputs.unsupported(pod):
            message = f"the test kubelet cannot do: {', '.join(refused)}"
            raise MissingInput("CreateContainerConfigError", message)
        for volume in pod["spec"].get("volumes", []):
            name, files = volume["name"], pod_inputs.volume_files(volume, objects)
            if "emptyDir" in volume:
                (self._folder / name).mkdir(exist_ok=True)
            elif self._volumes.get(name) != files:
                pod_volume.publish(self._folder / name, files)
                self._volumes[name] = files

    async def _start(self, pod: Manifest, objects: Objects) -> None:
        [container] = pod["spec"]["containers"]
        variables = pod_inputs.environment(pod, container, self.address, objects)
        mounts = {
            mount["mountPath"].rstrip("/"): self._folder / mount["name"]
            for mount in container.get("volumeMounts", [])
        }
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self._folder),
            "HOSTNAME": pod["metadata"]["name"],
            "PYTHONPATH": os.pathsep.join(
                sys.path
            ),  # this tree's worker, not the one that happens to be installed
            **self._environment,
            **{name: _in_folder(value, mounts) for name, value in variables.items()},
            # In a real pod every address is the pod's own; here it must keep to the one that it has.
            "WARMUP_TELEMETRY_HOST": self.address,
        }
        with self._output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *processes.DIE_WITH_PARENT,
                *self._command,
                *container.get("args", []),
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                env=environment,
                cwd=self._folder,
                start_new_session=True,
            )
        if self.last_state:
            self.restarts += 1
        self._life = asyncio.create_task(self._live(self._process, pod))
        self._show({"running": {"startedAt": _now()}})

    async def _live(self, process: Process, pod: Manifest) -> None:
        """Probe the process until it ends, then say how it ended and when the next may start."""
        async with asyncio.TaskGroup() as group:
            probing = group.create_task(self._probe(pod))
            code = await process.wait()
            probing.cancel()
        _kill_group(process.pid)  # what it left running, as with the namespace of a container
        terminated = {
            "exitCode": code if code >= 0 else 128 - code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": self.state["running"]["startedAt"],
            "finishedAt": _now(),
        }
        self._start_at = time.monotonic() + self._backoff
        self._backoff = min(2 * self._backoff, _LONGEST_BACKOFF)
        self._process = self._terminating_since = None
        self.started = self.ready = False
        self.last_state = {"terminated": terminated}
        message = f"back-off {self._start_at - time.monotonic():.1f}s restarting failed container"
        self._show({"waiting": {"reason": "CrashLoopBackOff", "message": message}})

    async def _probe(self, pod: Manifest) -> None:
        """The three probes of a container: startup first, then liveness and readiness side by side."""
        [container] = pod["spec"]["containers"]
        grace = pod["spec"]["terminationGracePeriodSeconds"]
        if startup := container.get("startupProbe"):
            async for passed in verdicts(self._http, startup, container, self.address):
                if passed:
                    break
                self._restart(grace)
        self.started = True
        self._changed()
        async with asyncio.TaskGroup() as group:
            if liveness := container.get("livenessProbe"):
                group.create_task(self._probe_liveness(liveness, container, grace))
            if readiness := container.get("readinessProbe"):
                period = min(readiness["periodSeconds"], _READINESS_PERIOD)
                group.create_task(self._probe_readiness(readiness | {"periodSeconds": period}, container))
            else:
                self._set_ready(True)

    async def _probe_liveness(self, probe: Manifest, container: Manifest, grace: float) -> None:
        async for passed in verdicts(self._http, probe, container, self.address):
            if not passed:
                self._restart(grace)

    async def _probe_readiness(self, probe: Manifest, container: Manifest) -> None:
        async for passed in verdicts(self._http, probe, container, self.address):
            if passed:
                self._backoff = _FIRST_BACKOFF
            self._set_ready(passed)

    def _restart(self, grace: float) -> None:
        if self._terminating_since is None:
            self.terminate(grace)

    def _set_ready(self, ready: bool) -> None:
        if ready != self.ready:
            self.ready = ready
            self._changed()

    def _show(self, state: dict[str, Any]) -> None:
        if state != self.state:
            self.state = state
            self._changed()


def _in_folder(value: str, mounts: Mapping[str, Path]) -> str:
    """`value`, with the path of a mount that it begins with exchanged for the folder which stands for it."""
    for path in sorted(mounts, key=len, reverse=True):
        if value == path or value.startswith(f"{path}/"):
            return f"{mounts[path]}{value.removeprefix(path)}"
    return value


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
