"""A node's control groups: made and removed outside its namespaces, mounted inside them.

Each hierarchy gets one group with the node's name; the node's first process enters it and then unshares the
cgroup namespace, so that inside the group is the root, and all that the kubelet makes lies beneath it.
Serves hosts with cgroup v2 and with v1; a hybrid host counts as v1, for that is where its controllers are.
Failure: `OSError` of the kernel, whose path names the hierarchy.
"""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PREFIX = "warmup-node-"
_REMOVED_WITHIN = 60.0  # seconds; killed processes leave their groups a moment later, on a busy machine many


def create(supervisor: int) -> list[Path]:
    """Make a group in every hierarchy, named after the process that will remove it again.

    Groups of a supervisor that was killed before it could do so are swept first.
    """
    groups = []
    for hierarchy in _hierarchies():
        for stale in hierarchy.glob(f"{PREFIX}*"):
            number = stale.name.removeprefix(PREFIX)
            # A group of our own number was another's: numbers come again, in a new container the small ones at once.
            if number == str(supervisor) or not Path("/proc", number).exists():
                remove([stale])
        if (hierarchy / "cgroup.subtree_control").exists():
            _delegate(hierarchy)
        group = hierarchy / f"{PREFIX}{supervisor}"
        group.mkdir()
        for file in ("cpuset.cpus", "cpuset.mems"):
            # A new cpuset of v1 is empty and takes in no process until it has been told where they may run.
            if (hierarchy / "notify_on_release").exists() and (hierarchy / file).exists():
                (group / file).write_text((hierarchy / file).read_text())
        groups.append(group)
    return groups


def remove(groups: Sequence[Path]) -> None:
    """Remove `groups` and all beneath them, waiting for the last of their killed processes to go."""
    deadline = time.monotonic() + _REMOVED_WITHIN
    for group in groups:
        while group.exists():
            try:
                for folder, _, _ in os.walk(group, topdown=False):
                    os.rmdir(folder)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def mount() -> None:
    """Mount this cgroup namespace's hierarchies at `ROOT`, and with v2 hand on their controllers.

    To be called by the first process of the node, before it starts others.
    """
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    controllers = [names for number, names, _ in lines if number != "0"]
    if not controllers:
        _mount("cgroup2", ROOT)
        # Version 2 lets a group have processes or controllers for its children, not both.
        leaf = ROOT / "init"
        leaf.mkdir()
        (leaf / "cgroup.procs").write_text("0")  # the process that writes
        _delegate(ROOT)
        return
    _mount("tmpfs", ROOT, "mode=755")
    for names in controllers:
        folder = ROOT / names.removeprefix("name=")
        folder.mkdir()
        _mount("cgroup", folder, f"none,{names}" if names.startswith("name=") else names)
        for name in names.split(",") if "," in names else ():
            (ROOT / name).symlink_to(folder.name)


def _hierarchies() -> list[Path]:
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    # Of co-mounted controllers (cpu,cpuacct) there are symbolic links besides.
    folders = [ROOT / name for name in sorted(os.listdir(ROOT)) if not (ROOT / name).is_symlink()]
    return [folder for folder in folders if (folder / "notify_on_release").exists()]


def _delegate(group: Path) -> None:
    """Let the children of a v2 group use every controller that it has itself."""
    for controller in (group / "cgroup.controllers").read_text().split():
        (group / "cgroup.subtree_control").write_text(f"+{controller}")


def _mount(kind: str, target: Path, options: str = "") -> None:
    flags = ["-o", options] if options else []
    subprocess.run(["mount", "-t", kind, *flags, "warmup", str(target)], check=True)
