"""The operator's /healthz tells the truth, and its end is quick."""

import os
import signal
import subprocess
import sys

import aiohttp
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.control_plane import ControlPlane
from tests.integration.fleet.scene import FLEETS, Scene, enrol, live
from tests.waiting import until


async def test_it_fails_when_no_fleet_can_be_reconciled_and_recovers(
    scene: Scene, engine: AsyncEngine, control_plane: ControlPlane
) -> None:
    await enrol(engine, 5)
    await live(engine, 1)
    scene.create_secrets()
    scene.create_fleet()
    await scene.start_operator(WARMUP_STALE_SECONDS="4")
    await scene.reason("Running")
    assert await scene.ask("/healthz") == (200, "ok\n")
    api_server = control_plane.programs["kube-apiserver"].pid
    os.kill(api_server, signal.SIGSTOP)
    try:

        async def failing() -> str | None:
            code, faults = await scene.ask("/healthz")
            return faults if code == 503 else None

        faults = await until(failing, "liveness fails", 30)
        assert "no fleet has been reconciled for" in faults
    finally:
        os.kill(api_server, signal.SIGCONT)

    async def well() -> bool:
        return (await scene.ask("/healthz"))[0] == 200

    await until(well, "liveness is well again", 40)


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
    await until(lambda: scene.replicas() == 2, "the change came through", 40)
    assert scene.operator is not None
    assert scene.operator.poll() is None


async def test_it_ends_within_seconds_of_sigterm(scene: Scene) -> None:
    scene.create_fleet()
    await scene.start_operator()
    await scene.reason("SecretMissing")
    assert scene.operator is not None
    scene.operator.send_signal(signal.SIGTERM)
    assert scene.operator.wait(5) == 0


def test_a_wrong_environment_is_refused_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "warmup_operator"],
        env={"PATH": os.environ["PATH"], "WARMUP_LISTEN": "8080", "WARMUP_IDLE_SECONDS": "soon"},
        capture_output=True,
        text=True,
        timeout=30,
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
