"""A program is built once, whole or not at all. Go's place is taken by a script: what Go does is not in question."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import until

GO = """#!/bin/sh
[ "$1" = version ] && echo "go version go1.99.0 linux/amd64" && exit
echo built >> "$WARMUP_CACHE/builds"
while [ "$1" != -o ]; do shift; done
echo half > "$2"
%s
echo whole > "$2"
"""


class Builds:
    """Runs of the build with a cache of their own."""

    def __init__(self, directory: Path, go: str) -> None:
        (directory / "go").write_text(GO % go)
        (directory / "go").chmod(0o755)
        self.cache = directory / "cache"
        self.cache.mkdir()
        self._environment = os.environ | {
            "PATH": f"{directory}:{os.environ['PATH']}",
            "WARMUP_CACHE": str(self.cache),
        }

    async def start(self, *programs: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.cluster.programs", *programs),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
            cwd=Path(__file__).parents[3],
        )

    def count(self) -> int:
        made = self.cache / "builds"
        return made.read_text().count("built") if made.exists() else 0


async def test_two_runs_at_once_build_once(tmp_path: Path) -> None:
    builds = Builds(tmp_path, go="sleep 0.5")
    runs = [await builds.start("etcd", "helm") for _ in range(2)]
    folders = {(await run.communicate())[0].decode().strip() for run in runs}
    [folder] = folders
    assert builds.count() == 2
    for program in ("etcd", "helm"):
        assert (Path(folder) / program).read_text() == "whole\n"


async def test_a_killed_build_leaves_nothing_that_passes_for_a_program(tmp_path: Path) -> None:
    builds = Builds(tmp_path, go='[ -e "$WARMUP_CACHE/again" ] || exec sleep 600')
    run = await builds.start("etcd")
    await until(lambda: list(builds.cache.rglob("*.partial")), "half a program")
    run.kill()
    await run.communicate()
    assert not list(builds.cache.rglob("etcd"))
    (builds.cache / "again").touch()
    folder, _ = await (await builds.start("etcd")).communicate()
    assert (Path(folder.decode().strip()) / "etcd").read_text() == "whole\n"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("etcd", ["building etcd (1 of 1) failed with code 7", "no such package"]),
        ("nonsense", ["no such program: nonsense; there are etcd, "]),
    ],
)
async def test_a_build_that_fails_says_why(tmp_path: Path, program: str, words: list[str]) -> None:
    builds = Builds(tmp_path, go="echo no such package; exit 7")
    run = await builds.start(program)
    _, error = await run.communicate()
    assert run.returncode == 1
    for word in words:
        assert word in error.decode()
