"""Keeps one node and cleans up after it: the process between `node`, who asks for it, and `boot`, its first process.

Owns: the node's namespaces, its control groups and the file `lock` of its directory.
Invariants: the lock is held exactly as long as the node is there, and then names our process and the one whose
namespaces to enter. The node ends when we are told to (SIGTERM), when its first process ends, and, unless it is
detached, when the process that started us is gone, however it went: our standard input is a pipe from it. All
the node's processes share one PID namespace, so the kernel ends them together; then nothing of it is left but logs.
If we are killed, the kernel still ends the node; the empty control groups are swept by the next start.
Failure: exit code 1; what `boot` wrote to standard output says why.

    python -m tests.cluster.supervisor DIRECTORY attached|detached IMAGE.tar...
"""

import fcntl
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tests.cluster import cgroups


def supervise(directory: Path, attached: bool, images: list[str]) -> int:
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        signal.signal(signal.SIGTERM, _end)
        groups = cgroups.create(os.getpid())
        node = None
        try:
            node = subprocess.Popen(_command(directory, groups, images), stdin=subprocess.DEVNULL)
            lock.write(f"{os.getpid()} {node.pid}\n")
            lock.flush()
            # Standard input is never written to: that it can be read means that its other end is closed.
            ended = os.pidfd_open(node.pid)
            select.select([ended, sys.stdin] if attached else [ended], [], [])
        except SystemExit:
            pass
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if node is not None:
                node.kill()
                node.wait()
            cgroups.remove(groups)
            _keep_only_logs(directory)
    return 1


def _command(directory: Path, groups: Sequence[Path], images: Sequence[str]) -> list[str]:
    """What makes the namespaces and starts `boot` in them.

    The node's first process, and it alone, enters the control groups and unshares the cgroup namespace there:
    with v2 a group that hands controllers on must not hold a process, and that one can step aside.
    """
    enter = "".join(f"echo 0 > {shlex.quote(str(group))}/cgroup.procs && " for group in groups)
    return [
        # Should we be killed, the kernel kills unshare, and that the node (--kill-child).
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *("unshare", "--net", "--mount", "--propagation=private", "--pid", "--fork"),
        *("--kill-child", "--mount-proc"),
        *("sh", "-c", f'{enter} exec unshare --cgroup "$@"', "sh"),
        *(sys.executable, "-m", "tests.cluster.boot", str(directory), *images),
    ]


def _keep_only_logs(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != "lock" and path.suffix != ".log":
            path.unlink()


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), sys.argv[2] == "attached", sys.argv[3:]))
