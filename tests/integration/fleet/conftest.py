"""The chart installed once in the control plane, and a scene for each test."""

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster import programs
from tests.cluster.control_plane import TEST_KUBELET, ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.integration.fleet.client import Client
from tests.integration.fleet.crew import Crew
from tests.integration.fleet.lives import Reference, World, template, undisturbed
from tests.integration.fleet.scene import Scene
from tests.integration.fleet.sending import PATIENT, pod_environment
from tests.integration.worker.fleet import password_of
from tests.postgres.server import Postgres
from tests.submission.accounts import derived
from tests.submission.server import Submission

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
        [program, *arguments], env=environment | folders, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def installed(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The chart, installed as a user does; what helm said."""
    directory = tmp_path_factory.mktemp("helm")
    said = helm(
        control_plane,
        directory,
        *("install", "warmup", str(CHART), "--namespace", "warmup-system", "--create-namespace"),
    )
    # Helm does not wait for a CRD of a template. The API server serves it, and tells of its fields, a moment later.
    for path in "/apis/warmupfleet.io/v1alpha1/warmupfleets", "/openapi/v3/apis/warmupfleet.io/v1alpha1":
        control_plane.serving(path)
    return said


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


@pytest.fixture
async def world(
    control_plane: ControlPlane, rights: Path, postgres: Postgres, tmp_path: Path
) -> AsyncIterator[World]:
    """What lives share, with a crew that plays their workers."""
    async with Client(control_plane) as client, Crew(client) as crew:
        yield World(control_plane, client, crew, postgres, await template(postgres), rights, tmp_path)


@pytest.fixture(scope="session")
def told() -> list[Reference]:
    """The life in which nothing went wrong, once it has been lived."""
    return []


@pytest.fixture
async def reference(world: World, told: list[Reference]) -> Reference:
    """What stands after each stage of a life in which nothing goes wrong, and what its operator wrote."""
    if not told:
        told.append(await undisturbed(world))
    return told[0]


@pytest.fixture
async def submission() -> AsyncIterator[Submission]:
    """A submission server on this event loop."""
    async with Submission(derived(password_of)) as server:
        yield server


@pytest.fixture
async def kubelet(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> AsyncIterator[Kubelet]:
    """A node for the scene's pods."""
    kubeconfig = control_plane.kubeconfig_of(TEST_KUBELET)
    async with Kubelet(kubeconfig, tmp_path / "pods", namespace, environment=pod_environment()) as running:
        yield running


@pytest.fixture
async def patient_kubelet(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> AsyncIterator[Kubelet]:
    """A node whose workers are not taken for dead, for a ``Sending`` that is ``PATIENT``."""
    kubeconfig, environment = control_plane.kubeconfig_of(TEST_KUBELET), pod_environment(PATIENT)
    async with Kubelet(kubeconfig, tmp_path / "pods", namespace, environment=environment) as running:
        yield running
