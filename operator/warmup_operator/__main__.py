"""``python -m warmup_operator``: the process. Starts the HTTP server and the loops, then lets kopf watch until SIGTERM.

kopf cancels every task that is made after ``kopf.operator`` begins when it ends, so what is ours starts before. A watcher that
dies ends the process, and the kubelet starts it anew: so it leaves out a namespace that was deleted. Exit code 1 with one
sentence when the environment is wrong or no cluster is there.
"""

import asyncio
import logging
import os
import sys
import time

import kopf
from aiohttp import web

from warmup_core.types import Refused
from warmup_operator import kube, main, settings
from warmup_operator.kube import NoCluster
from warmup_operator.listing import Fleets
from warmup_operator.loops import Loops
from warmup_operator.metrics import Metrics
from warmup_operator.reconcile import Reconciler
from warmup_operator.settings import OperatorSettings

_log = logging.getLogger("warmup_operator")

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def application(loops: Loops, metrics: Metrics) -> web.Application:
    """``/healthz``, ``/readyz`` and ``/metrics``."""

    async def healthz(_: web.Request) -> web.Response:
        faults = loops.faults()
        return web.Response(
            status=503 if faults else 200, text="".join(f"{line}\n" for line in faults) or "ok\n"
        )

    async def readyz(_: web.Request) -> web.Response:
        if loops.ready:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the fleets have not been listed yet\n")

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": _METRICS_TYPE})

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", exposition)]
    )
    return app


async def serve(own: OperatorSettings) -> None:
    """Run until a signal."""
    metrics = Metrics()
    async with kube.connect(metrics.requests) as cluster:
        fleets = Fleets(cluster, own.namespaces, metrics)
        loops = Loops(
            make=lambda namespace, name: Reconciler(namespace, name, cluster, own, metrics, time.monotonic),
            fleets=fleets.list,
            metrics=metrics,
            list_seconds=own.list_seconds,
            stale_seconds=own.stale_seconds,
            monotonic=time.monotonic,
        )
        runner = web.AppRunner(application(loops, metrics), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, own.listen_host, own.listen_port).start()
            # kopf looks for the resource once, at its start, and one watch that is refused ends it.
            watched = await fleets.answering()
            loops.start()
            await kopf.operator(
                standalone=True,
                clusterwide=not own.namespaces,
                namespaces=watched,
                memo=kopf.Memo(loops=loops, silence_seconds=own.silence_seconds),
            )
        finally:
            await loops.stop()
            await runner.cleanup()


def run() -> None:
    """Entry point."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for chatty in ("kopf", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        own = settings.from_environment(os.environ)
    except Refused as refusal:
        sys.exit(str(refusal))
    for name in settings.unread(os.environ):
        _log.warning("%s is set, but the operator does not read it", name)
    assert main  # its import registers kopf's handlers
    _log.info(
        "warmup-fleet operator %s serves %s",
        settings.VERSION,
        ", ".join(own.namespaces) or "the whole cluster",
    )
    try:
        asyncio.run(serve(own))
    except NoCluster as missing:
        sys.exit(
            f"The operator cannot start: {missing} The chart installs it: helm install warmup ./helm/warmup-fleet"
        )


if __name__ == "__main__":
    run()
