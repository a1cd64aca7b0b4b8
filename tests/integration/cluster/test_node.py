"""A node runs pods, and however it ends nothing of it is left: no process, no mount, no control group."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import cgroups, images
from tests.cluster.node import Node, NodeError
from tests.waiting import until

pytestmark = pytest.mark.node

POD = ("run", "pause", f"--image={images.reference(images.PAUSE)}", "--image-pull-policy=Never")


@pytest.fixture
def node() -> Iterator[Node]:
    """In a folder with a short name: the kubelet makes sockets deep in it, and no socket's path is longer than 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="node-") as folder, Node(Path(folder) / "node") as node:
        yield node


def remains(node: Node) -> set[str]:
    """What there is of the node: processes that name its directory, mounts in it, control groups without a keeper.

    Other nodes may run on this machine; theirs have one.
    """
    running = processes()
    own = {f"{pid}: {command}" for pid, command in running.items() if str(node.directory) in command}
    mounts = {line for line in Path("/proc/mounts").read_text().splitlines() if str(node.directory) in line}
    # Not by glob, which fails where somebody else's group goes while it looks.
    folders = (Path(folder) for folder, _, _ in os.walk(cgroups.ROOT))
    groups = [folder for folder in folders if folder.name.startswith(cgroups.PREFIX)]
    kept = {f"{cgroups.PREFIX}{pid}" for pid, command in running.items() if "supervisor" in command}
    return own | mounts | {str(group) for group in groups if group.name not in kept}


def keeper(node: Node) -> int:
    (found,) = [
        pid for pid, line in processes().items() if f"tests.cluster.supervisor {node.directory}" in line
    ]
    return found


def descendants(ancestor: int) -> dict[int, str]:
    """The processes below `ancestor`, those of the pods too, which do not know what they belong to."""
    everything = processes()
    parents = {pid: _parent(pid) for pid in everything}
    below = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return {pid: everything[pid] for pid in below - {ancestor}}


def processes() -> dict[int, str]:
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[int(process.name)] = _words((process / "cmdline").read_bytes())
    return found


def _words(command: bytes) -> str:
    return command.replace(b"\0", b" ").decode(errors="replace")


def _parent(pid: int) -> int | None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def test_a_pod_runs_and_nothing_is_left_when_the_node_is_down(node: Node) -> None:
    before = remains(node)
    node.up()
    node.kubectl(*POD)
    node.kubectl("wait", "--for=condition=Ready", "pod/pause", "--timeout=240s")
    running = descendants(keeper(node))
    assert "/pause -P " in running.values()
    assert remains(node) - before
    assert "v4" in node.helm("version")
    node.down()
    assert not running.items() & processes().items()
    assert remains(node) <= before
    assert not node.directory.exists()


async def test_it_ends_with_the_process_that_started_it(node: Node) -> None:
    before = remains(node)
    program = (
        "import sys, time; from pathlib import Path; from tests.cluster.node import Node;"
        "node = Node(Path(sys.argv[1])); node.up(); print('up', flush=True); time.sleep(600)"
    )
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, node.directory),
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"up\n"
    assert node.running
    parent.kill()
    await parent.wait()
    await until(lambda: remains(node) <= before, "nothing is left")
    assert not node.running


async def test_even_without_its_keeper_no_process_is_left_and_the_next_start_sweeps_the_rest(
    node: Node,
) -> None:
    before = remains(node)
    node.up()
    running = descendants(keeper(node))
    assert len(running) > 5
    os.kill(keeper(node), signal.SIGKILL)
    await until(lambda: not running.items() & processes().items(), "no process is left")
    assert not node.running
    with pytest.raises(NodeError, match="start it first"):
        node.kubectl("get", "nodes")
    node.down()
    assert remains(node) - before
    cgroups.remove(cgroups.create(os.getpid()))  # as the next node's start does
    assert remains(node) <= before


def test_a_start_that_fails_says_why_and_leaves_nothing(node: Node, tmp_path: Path) -> None:
    before = remains(node)
    broken = tmp_path / "broken.tar"
    broken.write_text("not an archive")
    with pytest.raises(NodeError, match=r"did not take in the image .*broken\.tar:\n"):
        node.up([broken])
    assert remains(node) <= before
    assert (node.directory / "containerd.log").exists()


def test_a_detached_node_is_found_and_ended_by_another_handle(node: Node) -> None:
    before = remains(node)
    node.up(detached=True)
    other = Node(node.directory)
    with pytest.raises(NodeError, match="already runs"):
        other.up()
    assert "node-1" in other.kubectl("get", "nodes", "--output=name")
    other.down()
    assert not node.running
    assert remains(node) <= before
