"""The cluster that a person keeps: `make cluster`, `make cluster-shell`, `make cluster-down`.

Owns: the node in `$WARMUP_CACHE/cluster`. It runs until it is told to end, whatever becomes of the terminal.

    python -m tests.cluster up                starts it, or brings its images up to date
    python -m tests.cluster shell             bash with kubectl and helm pointed at it
    python -m tests.cluster exec -- COMMAND   runs one command there
    python -m tests.cluster down              ends it and leaves nothing behind
"""

import argparse
import os
import sys
import time
from pathlib import Path

from tests.cluster import debian, images, programs, steps
from tests.cluster.boot import PROGRAMS
from tests.cluster.control_plane import CONTEXT
from tests.cluster.node import Node, NodeError

_SHELL = """\
[ -f ~/.bashrc ] && . ~/.bashrc
PATH={programs}:$PATH
alias k=kubectl
PS1='(warmup cluster) \\w\\$ '
echo 'kubectl and helm speak to the cluster in {directory}; exit leaves it running.'
"""


def cluster() -> Node:
    """The handle on it, whether it runs or not."""
    return Node(programs.cache() / "cluster")


def up() -> None:
    started = time.monotonic()
    node = cluster()
    archives = images.ensure()
    if node.running:
        loaded = [archive.stem for archive in node.load(*archives)]
        print(f"cluster: already up{'; loaded ' + ', '.join(loaded) if loaded else ''}")
    else:
        node.up(archives, detached=True)
        print(f"cluster: up after {time.monotonic() - started:.0f} s, context {CONTEXT}")
    print(
        "    make cluster-shell   opens a shell with kubectl and helm in it\n    make cluster-down    ends it"
    )


def down() -> None:
    node = cluster()
    was_running = node.running
    node.down()
    print(f"cluster: {'down' if was_running else 'none was up'}; nothing is left of it")


def shell() -> None:
    node = cluster()
    command = node.command("bash", "--rcfile", _write_rc(node), "-i")
    os.execvp(command[0], command)


def execute(argv: list[str]) -> None:
    command = cluster().command(*argv)
    os.execvp(command[0], command)


def _write_rc(node: Node) -> Path:
    file = node.directory / "bashrc"
    file.write_text(_SHELL.format(programs=programs.ensure(*PROGRAMS), directory=node.directory))
    return file


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster", description="A real one-node Kubernetes."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, does, help in (
        ("up", up, "start it, or bring its images up to date"),
        ("shell", shell, "bash with kubectl and helm pointed at it"),
        ("down", down, "end it and leave nothing behind"),
    ):
        verbs.add_parser(name, help=help).set_defaults(does=lambda _, does=does: does())
    one = verbs.add_parser("exec", help="run one command there: exec -- kubectl get pods")
    one.add_argument("argv", nargs="+", metavar="COMMAND")
    one.set_defaults(does=lambda given: execute(given.argv))
    given = parser.parse_args()
    try:
        given.does(given)
    except (NodeError, images.ImageError, steps.StepError, debian.PackageError) as error:
        sys.exit(f"cluster: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
