"""The Debian packages that tests need (a node, images, a pooler, a mail server), installed where the machine lacks them.

Owns: the table of packages. What counts is the program, not the package: a machine whose containerd came with
Docker keeps it, and nothing is ever removed to make room.
Failure: `PackageError` that names what is missing and the command that would install it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import steps

# The package, and a program or file that shows it is there.
PROVIDES = {
    "buildah": "buildah",
    "catatonit": "catatonit",
    "containerd": "containerd",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "dovecot-core": "dovecot",
    "faketime": "faketime",
    "iproute2": "ip",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "pgbouncer": "pgbouncer",
    "postfix": "postfix",
    "prometheus": "promtool",
    "runc": "runc",
}
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
"""Ours and root's, which not everyone who may become root has."""

_POLICY = Path("/usr/sbin/policy-rc.d")
_LOCK = Path(tempfile.gettempdir()) / f"warmup-packages-{os.geteuid()}.lock"
"""Each user's own: in a folder that is everybody's not even root may write to another's file (proc(5), protected_regular)."""


class PackageError(Exception):
    """A package is missing and could not be installed; the message says which and what to type."""


def ensure(*packages: str) -> None:
    """Install those of `packages` whose program is missing, with apt-get as root; say so first.

    A program that another run is just installing is there before its users and its configuration are: that is waited for.
    """
    if not _missing(packages) and not steps.held(_LOCK):
        return
    with steps.alone(_LOCK):  # apt-get waits for itself in one of its two locks only
        _install(_missing(packages))


def _missing(packages: Sequence[str]) -> list[str]:
    return [package for package in packages if find(package) is None]


def _install(missing: Sequence[str]) -> None:
    """Nothing where another run has installed them meanwhile."""
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
            with _services_left_off():
                steps.run("apt-get install", [*install, *options], log=log, environment=environment)
        except steps.StepError as error:
            raise PackageError(f"{wanted}: {error}") from error


@contextmanager
def _services_left_off() -> Iterator[None]:
    """Debian starts what it installs; a test wants the program, not a mail server of the machine's own (see invoke-rc.d(8))."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


def find(package: str) -> Path | None:
    """The program or file that `package` provides, where this machine has it."""
    wanted = PROVIDES[package]
    found = wanted if Path(wanted).is_absolute() else shutil.which(wanted, path=PATH)
    return Path(found) if found and Path(found).exists() else None
