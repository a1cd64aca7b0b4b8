"""A real Kubernetes control plane for the whole run, a namespace of its own for each test."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane
from tests.waiting import until


@pytest.fixture(scope="session")
def control_plane(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """etcd, API server and controllers; the first time on a machine their build takes minutes and says so."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        programs.ensure("etcd", "kube-apiserver", "kube-controller-manager")
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as running:
        yield running


@pytest.fixture
async def namespace(control_plane: ControlPlane) -> AsyncIterator[str]:
    """A namespace in which pods may be made; gone after the test, its pods too, even where no kubelet runs any more."""
    control_plane.renew_controllers()  # a test before may have ended the API server under them
    name = f"test-{uuid4().hex[:8]}"
    control_plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    path = f"/api/v1/namespaces/{name}"
    account = f"{path}/serviceaccounts/default"
    await until(lambda: control_plane.exists(account), "a default ServiceAccount")
    yield name
    if not control_plane.exists(path):
        return  # the test has ended it itself
    control_plane.request("DELETE", path)
    control_plane.request("DELETE", f"{path}/pods", {"gracePeriodSeconds": 0})
