"""The worker's HTTP side: liveness, readiness, Prometheus metrics, today's account as JSON, the day of one mailbox.

``/healthz`` fails only when a loop stopped coming round: an outage of the database is nothing that a restart would mend.
``/readyz`` says why in one sentence, also when it is ready. Nothing here names a mailbox that was not asked for, and nothing a
credential. What a scrape costs is bounded by ``exposition``, a question for one mailbox by ``one_mailbox``; neither keeps
``/healthz`` from answering.
Fails: a question that makes no sense is answered with 400 and the sentence that says why.
"""

import logging
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from warmup_core.replies import Scope
from warmup_worker.exposition import Exposition, Form, as_json
from warmup_worker.metrics import Metrics
from warmup_worker.one_mailbox import OneMailbox
from warmup_worker.report import Report

log = logging.getLogger(__name__)

_SHOWN_PAUSES: Final = 20


class Telemetry:
    """The server. Port 0 takes a free one; ``port`` tells which."""

    def __init__(
        self, report: Report, metrics: Metrics, one_mailbox: OneMailbox, host: str, port: int
    ) -> None:
        self._report, self._one_mailbox = report, one_mailbox
        self._exposition = Exposition(report, metrics)
        self._host, self.port = host, port
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/api/warmup/metrics", self._api_metrics)
        application.router.add_get("/api/warmup/quota", self._api_quota)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)

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
        return _response(self._exposition.prometheus(request.headers.get("Accept", "")))

    async def _api_metrics(self, request: web.Request) -> web.Response:
        accept = request.headers.get("Accept", "")
        if _wants_exposition(accept):
            return _response(self._exposition.prometheus(accept))
        return _response(self._exposition.figures())

    async def _api_quota(self, request: web.Request) -> web.Response:
        asked = request.query.getall("mailbox", [])
        if set(request.query) - {"mailbox"} or len(asked) > 1:
            error = "Ask for ?mailbox=ID or ?mailbox=ADDRESS, once, or for nothing: the whole account."
            return _response(as_json({"error": error}), 400)
        if asked:
            status, day = await self._one_mailbox.day(asked[0])
            return _response(as_json(day), status)
        return _response(self._exposition.fresh("quota", lambda: as_json(self.account())))

    def account(self) -> dict[str, object]:
        """Today's account of this worker, as /api/warmup/quota gives it."""
        account, orders = self._report.account(), self._report.orders
        full = self._report.full_number
        return {
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
            "emails_per_mailbox_per_day": full,
            "mailboxes_sent_at_least": account.sent_at_least(full),
            "behind": account.behind,
            "reasons": account.reasons,
            "limit": self._report.limit,
            "in_the_way": list(self._report.in_the_way),
            "pauses": self._pauses(),
            "paused_recipients": self._report.pauses.counts(self._report.now)[Scope.RECIPIENT],
        }

    def _pauses(self) -> list[dict[str, object]]:
        """The latest pauses, without those of recipients: their keys are mailboxes, so they are only counted."""
        in_force = self._report.pauses.in_force(self._report.now)
        shown = [it for it in in_force if it.scope is not Scope.RECIPIENT]
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


def _wants_exposition(accept: str) -> bool:
    """Whether the type a client likes best is Prometheus' text or OpenMetrics; with nothing said, JSON is."""

    def weight(item: str) -> float:
        try:
            return float(item.partition("q=")[2].partition(";")[0] or 1)
        except ValueError:
            return 0.0

    best = max(accept.lower().replace(" ", "").split(","), key=weight)
    return weight(best) > 0 and best.startswith(("text/plain", "application/openmetrics-text"))


def _response(form: Form, status: int = 200) -> web.Response:
    body, content_type = form
    return web.Response(body=body, status=status, headers={"Content-Type": content_type})
