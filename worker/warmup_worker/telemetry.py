"""The worker's HTTP side: liveness, readiness, Prometheus metrics, and today's account as JSON.

Every answer is made from sums that are kept anyway, so a scrape costs the same for ten mailboxes and for a hundred thousand.
``/healthz`` fails only when a loop stopped coming round: an outage of the database is nothing that a restart would mend.
``/readyz`` says why in one sentence, also when it is ready. Nothing here names a mailbox, an address or a credential.
"""

import json
import logging
from datetime import UTC, datetime
from functools import partial
from typing import Final

from aiohttp import web
from prometheus_client import Gauge
from prometheus_client.exposition import choose_encoder

from warmup_core import __version__
from warmup_core.replies import Scope
from warmup_worker.metrics import Metrics
from warmup_worker.pauses import PAUSING
from warmup_worker.report import Report

log = logging.getLogger(__name__)

_SHOWN_PAUSES: Final = 20


class Telemetry:
    """The server. Port 0 takes a free one; ``port`` tells which."""

    def __init__(self, report: Report, metrics: Metrics, host: str, port: int) -> None:
        self._report, self._registry = report, metrics.registry
        self._host, self.port = host, port
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/api/warmup/metrics", self._api_metrics)
        application.router.add_get("/api/warmup/quota", self._api_quota)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self._gauges()

    def _gauges(self) -> None:
        report = self._report
        for name, text, read in (
            ("in_flight", "Mails claimed and not settled.", lambda: report.in_flight),
            ("mailboxes", "Mailboxes this worker owns.", lambda: report.account().mailboxes),
            ("due", "Mails that today's quotas ask for.", lambda: report.account().due),
            ("sent", "Mails sent today.", lambda: report.account().sent),
            ("behind", "Mails whose time of today has passed unsent.", lambda: report.account().behind),
            (
                "heartbeat_age_seconds",
                "Seconds since the last heartbeat arrived.",
                lambda: report.heartbeat_age,
            ),
        ):
            Gauge(f"warmup_worker_{name}", text, registry=self._registry).set_function(read)

        paused = Gauge(
            "warmup_worker_pauses",
            "Pauses in force beyond one mailbox, by scope.",
            ["scope"],
            registry=self._registry,
        )
        for scope in PAUSING:
            paused.labels(scope).set_function(partial(self._in_force, scope))

    def _in_force(self, scope: Scope) -> float:
        return self._report.pauses.counts(self._report.now)[scope]

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        log.info("telemetry on %s:%d", self._host, self.port)

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        trouble = self._report.dead()
        return web.Response(text=f"{trouble or 'ok'}\n", status=503 if trouble else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        it = self._report.readiness()
        return web.Response(text=f"{it.reason}\n", status=200 if it.ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _api_metrics(self, request: web.Request) -> web.Response:
        accept = request.headers.get("Accept", "")
        if "text/plain" in accept or "openmetrics" in accept:
            return await self._metrics(request)
        account = self._report.account()
        orders = self._report.orders
        figures: dict[str, object] = {
            "warmup_version": __version__,
            "warmup_worker": self._report.number,
            "warmup_workers": orders.worker_count if orders else 0,
            "warmup_epoch": orders.epoch if orders else 0,
            "warmup_paused": orders.paused if orders else False,
            "warmup_ready": self._report.readiness().ready,
            "warmup_mailboxes": account.mailboxes,
            "warmup_mails_due": account.due,
            "warmup_mails_sent": account.sent,
            "warmup_mails_failed": account.failed,
            "warmup_mails_in_doubt": account.in_doubt,
            "warmup_mails_in_flight": account.in_flight,
            "warmup_mails_scheduled": account.scheduled,
            "warmup_mails_deferred": account.deferred,
            "warmup_mails_skipped": account.skipped,
            "warmup_mails_behind": account.behind,
            "warmup_mailboxes_met": account.met,
            "warmup_heartbeat_age_seconds": round(min(self._report.heartbeat_age, 1e9), 3),
        }
        for metric in self._registry.collect():
            for sample in metric.samples:
                if sample.name.endswith("_total"):
                    label = "_".join(sample.labels.values()).replace("-", "_")
                    figures["_".join(filter(None, [sample.name.removesuffix("_total"), label, "total"]))] = (
                        int(sample.value)
                    )
        return _json(figures)

    def _pauses(self) -> list[dict[str, object]]:
        """The latest pauses, without those of recipients: their keys are mailboxes, so they are only counted."""
        shown = [
            it for it in self._report.pauses.in_force(self._report.now) if it.scope is not Scope.RECIPIENT
        ]
        return [
            {
                "scope": it.scope,
                "key": it.key,
                "until": None if it.until is None else datetime.fromtimestamp(it.until, UTC).isoformat(),
                "per_minute": it.per_minute or 0,
                "rule": it.rule,
            }
            for it in shown[:_SHOWN_PAUSES]
        ]

    async def _api_quota(self, _: web.Request) -> web.Response:
        account, orders = self._report.account(), self._report.orders
        return _json(
            {
                "worker": self._report.number,
                "workers": orders.worker_count if orders else 0,
                "day": orders.day.isoformat() if orders else None,
                "paused": orders.paused if orders else False,
                "mailboxes": account.mailboxes,
                "due": account.due,
                "sent": account.sent,
                "failed": account.failed,
                "in_doubt": account.in_doubt,
                "in_flight": account.in_flight,
                "scheduled": account.scheduled,
                "deferred": account.deferred,
                "skipped": account.skipped,
                "met": account.met,
                "behind": account.behind,
                "reasons": account.reasons,
                "limit": self._report.limit,
                "pauses": self._pauses(),
            }
        )


def _json(figures: dict[str, object]) -> web.Response:
    return web.Response(text=json.dumps(figures, indent=2) + "\n", content_type="application/json")
