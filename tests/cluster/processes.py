"""Child processes of the test cluster: started by us, ended by us, gone when we are gone.

Invariants: each child stands in a session of its own, so a Ctrl-C in the terminal reaches only us and we
end the children in order; the kernel kills a child when the thread that started it dies (setpriv does that),
so that even `kill -9` of the tests leaves nothing running. Start them from a thread that lives as long.
Failure: a child that ends by itself is for its owner to notice; `last_lines` of its log say why.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")


def start(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` with stdout and stderr appended to `log`; `environment` replaces ours where given."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [*DIE_WITH_PARENT, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=directory,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], grace: float = 5.0) -> None:
    """End `process`: SIGTERM, and SIGKILL after `grace` seconds. Harmless when it has ended already."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_lines(log: Path, count: int = 20) -> str:
    """The last `count` lines of a log, indented, for the end of an error message."""
    try:
        with log.open("rb") as text:
            text.seek(max(0, text.seek(0, os.SEEK_END) - 64 * 1024))
            lines = text.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    return "\n".join(f"    {line}" for line in lines[-count:]) or "    (it wrote nothing)"
