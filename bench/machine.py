"""What a process costs: CPU time and memory of process trees from /proc, and which core they run on. Linux only.

CPU time is user and system time of every process of a tree, the ended ones that were waited for included, in ticks of 10 ms: so
a figure from it is good to a percent after a few seconds of work, not before.
"""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

WORKER_CORE, OTHER_CORE = 0, 1
"""The sender's core, and the one of the SMTP sink and PostgreSQL."""
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Whatever is started here runs on this core for all its life. With one core there is nothing to choose."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core} & before or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (field 3 of proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """A process and everybody below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_seconds(root: int) -> float:
    """CPU time that a tree has used so far."""
    ticks = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, _stat(pid)[11:15]))
    return ticks / _TICK


def resident_mb(root: int) -> float:
    """Memory of a tree that is in use now, in MB of 1,000,000 bytes; pages that processes share count for each."""
    pages = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE / 1e6


def description() -> str:
    """This machine in a line, with how busy it is: on a machine that works for others, only ratios of one run say something."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    loads = " ".join(f"{it:.1f}" for it in os.getloadavg())
    return f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, load {loads}"
