"""The one installation that several tests look at."""

import tempfile
from pathlib import Path

import pytest

from demo.cluster import explained
from demo.progress import Progress
from tests.cluster import images
from tests.cluster.node import Node
from tests.end_to_end import monitoring
from tests.end_to_end.installation import Installation
from tests.end_to_end.life import Life, lead


@pytest.fixture(scope="session")
def life() -> Life:
    """Led once for all: a node and its images cost the most. Nothing of it is left but what was seen."""
    progress = Progress("installation")
    archives = images.ensure(*images.USUAL, *monitoring.IMAGES)
    with tempfile.TemporaryDirectory(prefix="life-") as folder, Node(Path(folder) / "node") as node:
        with progress.step("a node"):
            node.up(archives)
        installation = Installation(node, progress)
        with explained(installation.target, progress):
            return lead(installation)
