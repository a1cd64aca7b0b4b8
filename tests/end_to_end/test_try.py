"""`make try` as a newcomer runs it: PostgreSQL, a submission server and two workers on this machine, without Kubernetes."""

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT, run

ITSELF = (sys.executable, "-m", "demo.local")


def start(folder: Path, *command: str) -> subprocess.Popen[str]:
    # For make: what it would install is here already, wherever this Python comes from.
    stamp = folder / "installed"
    stamp.touch()
    installed = f" -- BIN={Path(sys.executable).parent} STAMP={stamp}"
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(folder), "MAKEFLAGS": installed},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def mentions(folder: Path) -> list[str]:
    """Command lines of processes that work in the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder that PostgreSQL's own user may enter; pytest closes its own to everybody else."""
    with tempfile.TemporaryDirectory(prefix="try-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_sixty_mails_are_accounted_for(folder: Path) -> None:
    """The README's block, which the quick start has too."""
    [block] = run("README.md")
    with start(folder, "sh", "-euc", block) as process:
        out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    last = out.splitlines()[-1]
    assert re.fullmatch(
        r"try: mailboxes=20 due=60 sent=60 in_doubt=0 duplicates=0 lost=0 workers=2 seconds=\d+", last
    ), out
    assert mentions(folder) == []
    assert list(folder.glob("warmup-*")) == []


def test_an_interrupted_try_leaves_nothing_behind(folder: Path) -> None:
    with start(folder, *ITSELF) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "mails accepted" in line:  # from now on all of it runs
                break
        assert mentions(folder) != []
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=180)
    assert process.returncode == 130, out
    assert "interrupted; everything that was started has ended" in out
    assert mentions(folder) == []
    assert list(folder.glob("warmup-*")) == []
