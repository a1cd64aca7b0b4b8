"""A real one-node Kubernetes on this Linux machine, in namespaces of its own, as root and without Docker.

Owns: the handle on a node, which is a directory; `supervisor` and `boot` are the processes behind it.
Invariants: at most one node a directory. Everything of it lives in one PID namespace, one network and one mount
namespace: nothing is reachable from outside but through `exec`, and nothing is left when it ends. A node ends with
its `Node` object's process unless it was started `detached`.
Failure: `NodeError`; when the node did not come up, with the last lines of the program that failed. The logs
stay in the directory until the next start or `down`.
"""

import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster import debian, images, processes, programs
from tests.cluster.boot import PROGRAMS, READY

PACKAGES = ("containerd", "containernetworking-plugins", "iproute2", "iptables", "runc")

_CHECKOUT = Path(__file__).parents[2]
_UP_WITHIN = 600.0  # seconds; 8 on an idle machine of two cores, more when images are large or it is busy
_DOWN_WITHIN = 120.0
"""Longer than the supervisor waits for the control groups: killed before, it would leave them."""
INSIDE = "WARMUP_NODE"
"""Set for what runs beside the node, which cannot and need not enter its namespaces again."""


class NodeError(Exception):
    """The node, or a command run beside it, failed; the message says why."""


class Node:
    """`with Node(directory) as node: node.up(archives)`; or `up(..., detached=True)` and later `down()`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.kubeconfig = self.directory / "control-plane" / "admin.kubeconfig"
        self._supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def running(self) -> bool:
        """Whether the node is there; a lock of the kernel tells, so a crash cannot make it lie."""
        return self._processes() is not None

    def up(self, archives: Sequence[Path] = (), *, detached: bool = False) -> None:
        """Start the node; back when it is ready for pods of the images in `archives` (see `images`). Needs root.

        What it needs is installed and built first. Detached, the node outlives us until somebody calls `down`.
        """
        if os.geteuid() != 0:
            raise NodeError("a node needs root: it makes namespaces, mounts and control groups")
        if self.running:
            raise NodeError(f"a node already runs in {self.directory}")
        self._end()  # of an earlier node of ours that has ended by itself
        debian.ensure(*PACKAGES)
        programs.ensure(*PROGRAMS)
        archives = [*images.ensure(images.PAUSE), *archives]
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True, mode=0o700)
        with (self.directory / "supervisor.log").open("wb") as log:
            self._supervisor = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.cluster.supervisor", str(self.directory)),
                    "detached" if detached else "attached",
                    *(str(archive.absolute()) for archive in dict.fromkeys(archives)),
                ],
                cwd=_CHECKOUT,
                stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for us to answer, by ending the node
            )
        try:
            self._await_ready(self._supervisor)
        except BaseException:
            self._end()
            raise
        self._remember(archives)

    def down(self) -> None:
        """End the node and remove its directory. Harmless when there is none."""
        self._end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def command(self, *argv: str | Path) -> list[str]:
        """The command line that runs `argv` beside the node: its network, files, kubectl and helm, our folder."""
        if os.environ.get(INSIDE) == str(self.directory):
            return [str(word) for word in argv]
        running = self._processes()
        if running is None:
            raise NodeError(f"no node runs in {self.directory}; start it first")
        _, unshared = running
        environment = {
            INSIDE: self.directory,
            "KUBECONFIG": self.kubeconfig,
            "PATH": f"{programs.ensure(*PROGRAMS)}:{debian.PATH}",
            # What kubectl and helm remember of a cluster shall go with it.
            "KUBECACHEDIR": self.directory / "kubectl",
            "HELM_CACHE_HOME": self.directory / "helm",
            "HELM_CONFIG_HOME": self.directory / "helm",
            "HELM_DATA_HOME": self.directory / "helm",
        }
        return [
            *("nsenter", f"--target={unshared}", "--net", "--mount"),
            f"--pid=/proc/{unshared}/ns/pid_for_children",
            *("env", f"--chdir={Path.cwd()}"),
            *(f"{name}={value}" for name, value in environment.items()),
            *(str(word) for word in argv),
        ]

    def exec(self, *argv: str | Path, stdin: str | None = None, timeout: float = 300) -> str:
        """Run `argv` beside the node; its standard output. What it wrote besides is in the error."""
        try:
            done = subprocess.run(
                self.command(*argv),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise NodeError(f"{_words(argv)}: no end after {timeout:.0f} s") from error
        if done.returncode != 0:
            raise NodeError(
                f"{_words(argv)} ended with code {done.returncode}:\n{done.stderr or done.stdout}"
            )
        return done.stdout

    def kubectl(self, *arguments: str | Path, stdin: str | None = None, timeout: float = 300) -> str:
        return self.exec("kubectl", *arguments, stdin=stdin, timeout=timeout)

    def helm(self, *arguments: str | Path, timeout: float = 300) -> str:
        return self.exec("helm", *arguments, timeout=timeout)

    def load(self, *archives: Path) -> list[Path]:
        """Take the docker archives into the running node, those that it has not taken yet; which those were.

        A tag that the node has already then points to the new image; pods that run keep the old one.
        """
        new = [archive for archive in archives if str(archive.absolute()) not in self._remembered()]
        for archive in new:
            socket = self.directory / "containerd.sock"
            self.exec(
                "ctr", f"--address={socket}", "--namespace=k8s.io", "images", "import", archive.absolute()
            )
            self._remember([archive])
        return new

    def _remember(self, archives: Sequence[Path]) -> None:
        with (self.directory / "loaded").open("a") as lines:
            lines.writelines(f"{archive.absolute()}\n" for archive in archives)

    def _remembered(self) -> list[str]:
        file = self.directory / "loaded"
        return file.read_text().splitlines() if file.exists() else []

    def _processes(self) -> tuple[int, int] | None:
        """The supervisor and the process whose namespaces to enter, while the lock says that they are there."""
        while True:
            try:
                with (self.directory / "lock").open() as lock:
                    try:
                        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    except BlockingIOError:
                        if len(pids := lock.read().split()) == 2:
                            return int(pids[0]), int(pids[1])
                        time.sleep(0.01)  # it has taken the lock and not yet written
                        continue
            except FileNotFoundError:
                pass
            return None

    def _await_ready(self, supervisor: subprocess.Popen[bytes]) -> None:
        assert supervisor.stdout is not None
        started = time.monotonic()
        said = b""
        while said.strip() != READY.encode():
            if not select.select([supervisor.stdout], [], [], 10)[0]:
                seconds = time.monotonic() - started
                if seconds > _UP_WITHIN:
                    raise NodeError(
                        f"the node was not ready within {_UP_WITHIN:.0f} s; see {self.directory}/*.log"
                    )
                print(f"starting the node ... {seconds:.0f} s", file=sys.stderr, flush=True)
            elif more := os.read(supervisor.stdout.fileno(), 65536):
                said += more
            else:
                reason = said.decode() or processes.last_lines(self.directory / "supervisor.log")
                raise NodeError(f"the node did not come up: {reason.strip()}")

    def _end(self) -> None:
        """Have the supervisor end the node and clean up; back when it has."""
        if os.environ.get(INSIDE) == str(self.directory):
            raise NodeError("a node cannot be ended from inside: leave its shell first")
        if (own := self._supervisor) is not None:
            processes.stop(own, grace=_DOWN_WITHIN)
            for pipe in (own.stdin, own.stdout):
                if pipe is not None:
                    pipe.close()
            self._supervisor = None
        elif (running := self._processes()) is not None:
            supervisor = os.pidfd_open(running[0])
            try:
                os.kill(running[0], signal.SIGTERM)
                # The process's end, not the lock's: it gives that back a moment before it is gone itself.
                if not select.select([supervisor], [], [], _DOWN_WITHIN)[0]:
                    raise NodeError(f"the node's supervisor, process {running[0]}, does not end")
            finally:
                os.close(supervisor)


def _words(argv: Sequence[str | Path]) -> str:
    return " ".join(str(word) for word in argv)
