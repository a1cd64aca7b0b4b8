"""The operator's /healthz tells the truth, and its end is quick."""

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import aiohttp
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.control_plane import ControlPlane
from tests.integration.fleet.conftest import CHART, helm
from tests.integration.fleet.scene import FLEETS, Scene, enrol, live
from tests.waiting import until


async def well(scene: Scene) -> None:
    """Wait until the liveness probe passes."""

    async def passes() -> bool:
        return await scene.ask("/healthz") == (200, "ok\n")

    await until(passes, "liveness is well")


async def looked_at(scene: Scene) -> float:
    """When a look at the fleet last ended well, as Prometheus reads it."""
    _, exposition = await scene.ask("/metrics")
    [line] = [it for it in exposition.splitlines() if it.startswith("warmup_fleet_looked_at_seconds{")]
    return float(line.split()[1])


async def test_it_fails_when_no_fleet_can_be_reconciled_and_recovers(
    scene: Scene, engine: AsyncEngine, control_plane: ControlPlane
) -> None:
    await enrol(engine, 5)
    await live(engine, 1)
    scene.create_secrets()
    scene.create_fleet()
    await scene.start_operator(WARMUP_STALE_SECONDS="4")
    await scene.reason("Running")
    await well(scene)  # not at once where four seconds have passed since the last look
    api_server = control_plane.programs["kube-apiserver"].pid
    os.kill(api_server, signal.SIGSTOP)
    try:

        async def failing() -> str | None:
            code, faults = await scene.ask("/healthz")
            return faults if code == 503 else None

        faults = await until(failing, "liveness fails")
        assert "no fleet has been reconciled for" in faults
        stopped = await looked_at(scene)
        assert time.time() - stopped > 4
    finally:
        os.kill(api_server, signal.SIGCONT)
    await well(scene)
    assert await looked_at(scene) > stopped


async def test_a_change_made_while_the_api_server_was_down_is_handled(
    scene: Scene, engine: AsyncEngine, control_plane: ControlPlane
) -> None:
    await enrol(engine, 5)
    await live(engine, 1, 2)
    scene.create_secrets()
    scene.create_fleet(workers={"replicas": 1})
    await scene.start_operator(WARMUP_IDLE_SECONDS="3600")
    await scene.reason("Running")
    control_plane.kill_api_server()
    control_plane.start_api_server()
    scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": {"replicas": 2}}})
    await until(lambda: scene.replicas() == 2, "the change came through")
    assert scene.operator is not None
    assert scene.operator.poll() is None


async def test_a_namespace_that_is_deleted_takes_no_other_with_it(
    scene: Scene, engine: AsyncEngine, control_plane: ControlPlane, installed: str, tmp_path: Path
) -> None:
    """Its RoleBinding goes with it, so whatever is asked of it is refused: of an operator that runs, and of one that starts."""
    own, gone = f"own-{scene.namespace}", f"gone-{scene.namespace}"
    for name in (own, gone):
        control_plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    namespaces = f"{gone},{scene.namespace}"
    values = ("--set", f"watchNamespaces={{{namespaces}}}", "--set", "crd.install=false")
    helm(control_plane, tmp_path, "install", "second", str(CHART), "--namespace", own, *values)
    scene.rights = control_plane.kubeconfig_of_service_account(own, "warmup-fleet")
    quick = {"WARMUP_WATCH_NAMESPACES": namespaces, "WARMUP_SILENCE_SECONDS": "2", "WARMUP_LIST_SECONDS": "1"}
    await enrol(engine, 5)
    await live(engine, 1, 2, 3)
    scene.create_secrets()
    scene.create_fleet(workers={"replicas": 1})
    await scene.start_operator(**quick)
    await scene.reason("Running")

    control_plane.request("DELETE", f"/api/v1/namespaces/{gone}")
    said = f"namespace {gone} is not served, the others are"
    await until(lambda: said in scene.log.read_text(), "it is told")
    for workers in (2, 3):
        scene.merge(FLEETS, "warmupfleets", "main", {"spec": {"workers": {"replicas": workers}}})
        await scene.counted(engine, workers)
        await well(scene)  # not while the list is ahead of a watch that is late
        assert 'reconcile_errors_total{reason="Forbidden"}' in (await scene.ask("/metrics"))[1]
        if workers == 2:
            scene.kill_operator()
            await scene.start_operator(**quick)


async def test_it_ends_within_seconds_of_sigterm(scene: Scene) -> None:
    scene.create_fleet()
    await scene.start_operator()
    await scene.reason("SecretMissing")
    assert scene.operator is not None
    scene.operator.send_signal(signal.SIGTERM)
    assert scene.operator.wait(30) == 0, "a pod has thirty seconds"


def test_a_wrong_environment_is_refused_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "warmup_operator"],
        env={"PATH": os.environ["PATH"], "WARMUP_LISTEN": "8080", "WARMUP_IDLE_SECONDS": "soon"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "WARMUP_LISTEN must be ADDRESS:PORT" in done.stderr
    assert "WARMUP_IDLE_SECONDS=soon is not a positive number of seconds" in done.stderr
    assert "Traceback" not in done.stderr


async def test_its_metrics_name_the_fleet(scene: Scene, engine: AsyncEngine) -> None:
    await enrol(engine, 7)
    await live(engine, 1)
    scene.create_secrets()
    scene.create_fleet()
    await scene.start_operator()
    await scene.reason("Running")
    async with aiohttp.request("GET", f"http://{scene.address}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        exposition = await answer.text()
    labels = f'name="main",namespace="{scene.namespace}"'
    assert f"warmup_fleet_mailboxes{{{labels}}} 7.0" in exposition
    assert f"warmup_fleet_mails_due{{{labels}}} 210.0" in exposition
    assert f'warmup_fleet_ready{{{labels},reason="Running"}} 1.0' in exposition
    for owned, mailboxes in {"owned_once": 7.0, "owned_twice": 0.0, "unowned": 0.0}.items():
        assert f"warmup_fleet_mailboxes_{owned}{{{labels}}} {mailboxes}" in exposition
    for request in (
        'code="200",kind="Secret",verb="get"',
        'code="404",kind="StatefulSet",verb="get"',
        'code="201",kind="StatefulSet",verb="apply"',
        'code="200",kind="WarmupFleet",verb="status"',
    ):
        assert f"warmup_operator_api_requests_total{{{request}}}" in exposition
    assert f'warmup_operator_build_info{{version="{version("warmup-fleet")}"}} 1.0' in exposition
