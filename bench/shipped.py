"""Which Python the senders run on: that of the images, with its own OpenSSL; for who is not root the one that runs this.

All of them run on the same, ours and the others'. The images' is not installed: its files lie in the cache, and a program is
started in them (chroot) with this machine's network, processes and folders, in a mount namespace that ends with it.
"""

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.cluster import images

_CHECKOUT = Path(__file__).parents[1]
_PACKAGES = ("core", "operator", "worker", "cli", ".")
_ENTER = """
set -e
root=$1 checkout=$2 temporary=$3
shift 3
for folder in /proc /dev "$temporary" "$checkout"; do
  mkdir -p "$root$folder"
  mount --rbind "$folder" "$root$folder"
done
touch "$root/etc/hosts"
mount --bind /etc/hosts "$root/etc/hosts"
exec chroot "$root" env --chdir="$checkout" /opt/bench/bin/python "$@"
"""
"""Ends as Python, under the process id that it began with. Arguments: the image's files, the checkout, the temporary folder."""


@cache
def python() -> tuple[str, ...]:
    """The command that the arguments of Python follow."""
    if os.geteuid() != 0:
        return (sys.executable,)
    root = images.unpacked("warmup-dev")
    namespace = ("unshare", "--mount", "--propagation=private", "sh", "-c", _ENTER, "sh")
    return (*namespace, str(root), str(_CHECKOUT), tempfile.gettempdir())


def environment() -> dict[str, str]:
    """This process's environment, with the checkout's packages for any Python."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(_CHECKOUT / it) for it in _PACKAGES)}


def description() -> str:
    """Which Python it is, in a line."""
    asked = "import platform, ssl; print(platform.python_version(), ssl.OPENSSL_VERSION, sep=', ')"
    command = [*python(), "-c", asked]
    told = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
    whose = "the images'" if len(python()) > 1 else "this one: the images' needs root"
    return f"the senders run on Python {told.strip()} ({whose})"
