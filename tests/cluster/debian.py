"""The Debian packages a node and its images need, installed where the machine lacks what they provide.

Owns: the table of packages. What counts is the program, not the package: a machine whose containerd came with
Docker keeps it, and nothing is ever removed to make room.
Failure: `PackageError` that names what is missing and the command that would install it.
"""

import os
import shutil
import tempfile
from pathlib import Path

from tests.cluster import steps

# The package, and a program or file that shows it is there.
PROVIDES = {
    "buildah": "buildah",
    "catatonit": "catatonit",
    "containerd": "containerd",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "iproute2": "ip",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "runc": "runc",
}
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
"""Ours and root's, which not everyone who may become root has."""


class PackageError(Exception):
    """A package is missing and could not be installed; the message says which and what to type."""


def ensure(*packages: str) -> None:
    """Install those of `packages` whose program is missing, with apt-get as root; say so first."""
    missing = [package for package in packages if find(package) is None]
    if not missing:
        return
    wanted = f"this machine lacks {', '.join(missing)}"
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "--no-remove", *missing]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise PackageError(f"{wanted}; as root on Debian or Ubuntu: apt-get update && {' '.join(install)}")
    steps.say(f"{wanted}; they are installed with apt-get")
    options = ["-o", "DPkg::Lock::Timeout=120"]
    environment = {"DEBIAN_FRONTEND": "noninteractive", "PATH": PATH}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "apt-get.log"
        try:
            steps.run("apt-get update", ["apt-get", "update", *options], log=log, environment=environment)
        except steps.StepError as error:
            # One mirror that does not answer spoils the update; the lists we have may still do.
            steps.say(str(error))
        try:
            steps.run("apt-get install", [*install, *options], log=log, environment=environment)
        except steps.StepError as error:
            raise PackageError(f"{wanted}: {error}") from error


def find(package: str) -> Path | None:
    """The program or file that `package` provides, where this machine has it."""
    wanted = PROVIDES[package]
    found = wanted if Path(wanted).is_absolute() else shutil.which(wanted, path=PATH)
    return Path(found) if found and Path(found).exists() else None
