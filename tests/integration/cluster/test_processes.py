"""What the tests start ends with the tests, however they end."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from tests.cluster import processes
from tests.waiting import until


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the latter where it goes between opening and reading
        return False
    return state != "Z"  # dead, and not yet collected by whoever adopted it


async def test_a_child_dies_when_we_are_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tests.cluster import processes;"
        "print(processes.start(['sleep', '600'], log=Path(sys.argv[1])).pid, flush=True); time.sleep(600)"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, tmp_path / "log", stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert parent.stdout
    child = int(await parent.stdout.readline())
    # Killed before `setpriv` has arranged it, a parent takes no child along.
    await until(lambda: Path(f"/proc/{child}/comm").read_text() == "sleep\n", "the child is what was started")
    parent.kill()
    await parent.wait()
    await until(lambda: not _runs(child), "the child is gone")


def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    child = processes.start([sys.executable, "-c", program], log=tmp_path / "log")
    while "deaf" not in processes.last_lines(tmp_path / "log"):
        assert child.poll() is None
    processes.stop(child, grace=0.2)
    assert child.returncode == -signal.SIGKILL
