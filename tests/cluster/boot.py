"""The first process of a node: makes its network and mounts, starts its programs in order, and watches them.

Runs inside the namespaces that `supervisor` made. Owns: all the node's programs and their logs.
Invariants: nothing is changed outside the node's directory but the empty folder /var/lib/cni, neither files nor
the kernel's settings; nothing listens outside the node's own network, which leads nowhere. When a program
ends, so do we, and with the first process of a PID namespace the kernel ends all the others.
Failure: exit code 1, and on standard output which program failed, with its last lines. When the node is ready
the one line `READY` is written there instead.

    python -m tests.cluster.boot DIRECTORY IMAGE.tar...
"""

import contextlib
import os
import re
import string
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.cluster import cgroups, processes, programs
from tests.cluster.control_plane import ControlPlane, ControlPlaneError

READY = "ready"
NODE = "node-1"
ADDRESS = "172.30.0.1"
PROGRAMS = (
    *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    *("kubelet", "kube-proxy", "coredns", "kubectl", "helm"),
)

_CONFIGURATION = Path(__file__).parent / "configuration"
_READY_WITHIN = 240.0  # seconds, for a program
_MEMORY_FOR_IMAGES = 8 * 2**30
"""With more than this many bytes free the images are unpacked into memory, which is much faster to fill and to
throw away; they need about 2 GiB."""
# Folders that programs write to whatever they are told.
_SHADOWED = ("/run", "/var/log", "/var/lib/cni")
# What the kubelet sets for the whole machine unless it finds these values there already.
_KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


class BootError(Exception):
    """A step of the boot failed; the message names the program and ends with its last lines."""


class Boot:
    """The programs beside the control plane; each logs to `DIRECTORY/NAME.log`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.control_plane = ControlPlane(directory / "control-plane", address=ADDRESS)
        self.kubeconfig = self.control_plane.kubeconfig
        self._bin = programs.ensure(*PROGRAMS)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, images: list[str]) -> None:
        """Start everything; back when the node is ready for pods of `images`."""
        self._configure("containerd.toml", "pods.conflist", "Corefile", "kubelet.yaml")
        (self.directory / "cni").mkdir()
        (self.directory / "pods.conflist").rename(self.directory / "cni" / "pods.conflist")
        self._start("containerd", f"--config={self.directory}/containerd.toml")
        with ThreadPoolExecutor(1) as beside:
            imported = beside.submit(self._import, images)
            self.control_plane.start()
            self._start_node()
            self._wait("kubelet", self._node_is_ready)
            # Fails where the kernel lacks what Services need, which pods would notice one by one.
            self._wait("kube-proxy", lambda: _answers("http://127.0.0.1:10256/healthz"))
            imported.result()

    def watch(self) -> str:
        """Reap what ends, ours and orphans of the pods; back when one of the programs has ended, with a sentence."""
        names = {process.pid: name for name, process in self._running.items()}
        names |= {process.pid: name for name, process in self.control_plane.programs.items()}
        while True:
            pid, status = os.wait()
            if name := names.get(pid):
                return f"{name} ended with code {os.waitstatus_to_exitcode(status)}"

    def _start_node(self) -> None:
        kubeconfig = f"--kubeconfig={self.kubeconfig}"
        self._start("kube-scheduler", kubeconfig, "--leader-elect=false")
        self._start(
            "kubelet",
            kubeconfig,
            f"--config={self.directory}/kubelet.yaml",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
            f"--root-dir={self.directory}/kubelet",
            f"--cert-dir={self.directory}/kubelet-certificates",
        )
        self._start(
            "kube-proxy",
            kubeconfig,
            f"--hostname-override={NODE}",
            "--proxy-mode=iptables",
            "--cluster-cidr=10.244.0.0/16",
            # The size and timeouts of the connection table are the whole machine's.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        )
        self._start("coredns", f"-conf={self.directory}/Corefile")

    def _import(self, images: list[str]) -> None:
        ctr = ["ctr", f"--address={self.directory}/containerd.sock", "--namespace=k8s.io"]
        self._wait("containerd", lambda: _succeeds([*ctr, "version"]))
        for image in images:
            done = subprocess.run([*ctr, "images", "import", image], capture_output=True, text=True)
            if done.returncode != 0:
                raise BootError(f"containerd did not take in the image {image}:\n{done.stderr.strip()}")

    def _node_is_ready(self) -> bool:
        try:
            nodes = self.control_plane.request("GET", "/api/v1/nodes")["items"]
        except OSError:  # too busy to answer: it is asked again
            return False
        for node in nodes:
            conditions: list[Mapping[str, Any]] = node["status"].get("conditions", [])
            return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return False

    def _configure(self, *files: str) -> None:
        values = {"directory": self.directory, "address": ADDRESS, "kubeconfig": self.kubeconfig}
        for file in files:
            text = string.Template((_CONFIGURATION / file).read_text()).substitute(values)
            (self.directory / file).write_text(text)

    def _start(self, name: str, *flags: str) -> None:
        own = self._bin / name
        command = [str(own) if own.exists() else name, *flags]
        self._running[name] = processes.start(command, log=self._log(name), directory=self.directory)

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while not ready():
            code = self._running[name].poll()
            if code is None and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            problem = (
                f"was not ready within {_READY_WITHIN:.0f} s" if code is None else f"ended with code {code}"
            )
            log = self._log(name)
            raise BootError(f"{name} {problem}; the end of {log}:\n{processes.last_lines(log)}")


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=10).close()
    except OSError:
        return False
    return True


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def _make_mounts(directory: Path) -> None:
    """Give the node its own control groups, its own /run and logs, and a look-alike of the kernel's settings."""
    # A /sys of this network's devices, and with no control groups mounted yet.
    subprocess.run(["mount", "-t", "sysfs", "warmup", "/sys"], check=True)
    cgroups.mount()
    Path("/var/lib/cni").mkdir(exist_ok=True)
    for folder in _SHADOWED:
        _mount_memory(Path(folder))
    images = directory / "containerd"
    images.mkdir()
    if _free_memory() > _MEMORY_FOR_IMAGES:
        _mount_memory(images)
    settings = directory / "kernel-settings"
    settings.mkdir()
    for setting, value in _KERNEL_SETTINGS.items():
        look_alike = settings / setting.replace("/", ".")
        look_alike.write_text(f"{value}\n")
        subprocess.run(["mount", "--bind", look_alike, f"/proc/sys/{setting}"], check=True)


def _mount_memory(folder: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "warmup", folder], check=True)


def _free_memory() -> int:
    """Bytes that programs could still have without swapping."""
    found = re.search(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _make_network() -> None:
    """An address for the node on its loopback device, and a way to the Services for kube-proxy to catch."""
    for command in (
        "link set lo up",
        f"address add {ADDRESS}/32 dev lo",
        f"route add 10.96.0.0/16 dev lo src {ADDRESS}",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    # Whoever calls the outside world hears at once, every time, that there is none.
    Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")


def main(directory: Path, images: list[str]) -> None:
    try:
        _make_mounts(directory)
        _make_network()
        boot = Boot(directory)
        boot.run(images)
    except (BootError, ControlPlaneError, OSError, subprocess.SubprocessError) as error:
        sys.exit(_tell(str(error)))
    _tell(READY)
    (directory / "node.log").write_text(boot.watch() + "\n")
    sys.exit(1)


def _tell(message: str) -> int:
    """Say it to whoever started the node; nobody may be listening any more."""
    with contextlib.suppress(BrokenPipeError):
        print(message, flush=True)
    return 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
