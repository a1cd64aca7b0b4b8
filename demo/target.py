"""Where the demo runs: a real node of our own on this machine, or the user's cluster (``demo.current``). Both look the same.

Our own node is root's, in namespaces of its own; it ends with the ``with`` block, whatever happens inside.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from demo.progress import Progress
from tests.cluster import images, programs
from tests.cluster.node import Node

NAMESPACE, OPERATOR_NAMESPACE = "mail", "warmup-fleet"
IMAGES = ("warmup-operator", "warmup-worker", "warmup-demo")


class Target(Protocol):
    """A cluster that pulls or already holds the three images."""

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 300) -> str:
        """Run kubectl to its end; its output. Raises with what it said."""

    def helm(self, *arguments: str, timeout: float = 300) -> str:
        """Run helm to its end; its output. Raises with what it said."""

    def image(self, name: str) -> str:
        """REPOSITORY:TAG by which pods name one of ``IMAGES``."""


class OwnNode:
    """A ``tests.cluster`` node as a target."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 300) -> str:
        """Run kubectl beside the node."""
        return self._node.kubectl(*arguments, stdin=stdin, timeout=timeout)

    def helm(self, *arguments: str, timeout: float = 300) -> str:
        """Run helm beside the node."""
        return self._node.helm(*arguments, timeout=timeout)

    def image(self, name: str) -> str:
        """As the node's images are named."""
        return images.reference(name)


@contextmanager
def own_node(progress: Progress, directory: Path | None = None) -> Iterator[Target]:
    """A node for one demo; gone afterwards. What it needs is built first and kept for the next time."""
    with progress.step("images (the first time builds them, from the Dockerfiles)"):
        archives = images.ensure()
    with Node(directory or programs.cache() / "demo") as node:
        with progress.step("a Kubernetes node (the first time builds its programs)"):
            node.up(archives)
        yield OwnNode(node)
        progress.say("ending the node")
