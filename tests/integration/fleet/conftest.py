"""The chart installed once in the control plane, and a scene for each test."""

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane
from tests.integration.fleet.scene import Scene

CHART = Path(__file__).parents[3] / "helm" / "warmup-fleet"


def helm(control_plane: ControlPlane, directory: Path, *arguments: str) -> str:
    """Run helm as the administrator; its output. Its own folders are in ``directory``."""
    program = programs.ensure("helm") / "helm"
    folders = {f"HELM_{kind}_HOME": str(directory / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "KUBECONFIG": str(control_plane.kubeconfig),
    }
    done = subprocess.run(
        [program, *arguments], env=environment | folders, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def installed(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The chart, installed as a user does; what helm said."""
    directory = tmp_path_factory.mktemp("helm")
    return helm(
        control_plane,
        directory,
        *("install", "warmup", str(CHART), "--namespace", "warmup-system", "--create-namespace"),
    )


@pytest.fixture(scope="session")
def rights(control_plane: ControlPlane, installed: str) -> Path:
    """A kubeconfig of the operator's own ServiceAccount."""
    return control_plane.kubeconfig_of_service_account("warmup-system", "warmup-fleet")


@pytest.fixture
async def scene(
    control_plane: ControlPlane, namespace: str, rights: Path, database_url: str, tmp_path: Path
) -> AsyncIterator[Scene]:
    """An empty namespace, a database with the schema, and no operator yet."""
    made = Scene(control_plane, namespace, rights, tmp_path, database_url)
    try:
        yield made
    finally:
        made.stop_operator()
