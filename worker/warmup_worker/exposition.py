"""The worker's figures as Prometheus, OpenMetrics and JSON read them, made from sums that are kept anyway.

Every figure is about this worker alone, so that summing over workers is right; what is true of the whole fleet comes from the
operator, or where there is none from worker 1. No label names a mailbox, an address or a host: each comes from a closed set.
Invariant: each form is made at most once a second and then given out as it is, so a crowd of scrapes costs what one does, and
none costs more for more mailboxes.
"""

import json
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from warmup_core import __version__
from warmup_worker.clock import boottime
from warmup_worker.metrics import Metrics
from warmup_worker.report import Report

_FRESH_SECONDS: Final = 1.0

Form = tuple[bytes, str]
"""A body and its content type."""


class _Account(Collector):
    """Today's account as gauges, read once a scrape."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterable[Metric]:
        report = self._report
        account = report.account()
        for name, text, value in (
            ("in_flight", "Mails claimed and not settled, by this process.", report.in_flight),
            ("mailboxes", "Mailboxes this worker owns.", account.mailboxes),
            ("mailboxes_met", "Mailboxes that met today's quota.", account.met),
            (
                "mailboxes_sent_at_least",
                "Mailboxes that sent the fleet's emailsPerMailboxPerDay today, or more.",
                account.sent_at_least(report.full_number),
            ),
            ("due", "Mails that today's quotas ask for.", account.due),
            ("sent", "Mails sent today.", account.sent),
            ("in_doubt", "Mails of today whose fate the ledger cannot tell.", account.in_doubt),
            ("scheduled", "Mails still to come today.", account.scheduled),
            (
                "deferred",
                "Mails of today held back by a fault, a pause or a server's word.",
                account.deferred,
            ),
            ("skipped", "Mails that today will not see.", account.skipped),
            ("behind", "Mails whose time of today has passed unsent.", account.behind),
            ("heartbeat_age_seconds", "Seconds since the last heartbeat arrived.", report.heartbeat_age),
        ):
            yield GaugeMetricFamily(f"warmup_worker_{name}", text, value)
        standing = GaugeMetricFamily(
            "warmup_worker_mailboxes_standing",
            "Mailboxes by the reason why they send nothing now.",
            labels=["reason"],
        )
        for reason, mailboxes in account.reasons.items():
            standing.add_metric([reason], mailboxes)
        yield standing
        if report.unowned is not None:
            yield GaugeMetricFamily(
                "warmup_fleet_mailboxes_unowned", "Active mailboxes without a live owner.", report.unowned
            )


class Exposition:
    """All forms of one worker's figures."""

    def __init__(self, report: Report, metrics: Metrics, clock: Callable[[], float] = boottime) -> None:
        self._report, self._registry, self._clock = report, metrics.registry, clock
        self._sent_last_hour = metrics.sent_last_hour
        self._made: dict[object, tuple[float, Form]] = {}
        self._registry.register(_Account(report))

    def prometheus(self, accept: str) -> Form:
        """The text format, or OpenMetrics where ``accept`` asks for it."""
        encode, content_type = choose_encoder(accept)
        return self.fresh(content_type, lambda: (encode(self._registry), content_type))

    def figures(self) -> Form:
        """JSON, one ``warmup_*`` key a line: readable by jq and by grep."""
        return self.fresh("figures", lambda: as_json(self._figures()))

    def fresh(self, name: str, make: Callable[[], Form]) -> Form:
        """The form of this name as it was made less than a second ago, else a new one."""
        now = self._clock()
        at, form = self._made.get(name, (-float("inf"), (b"", "")))
        if now - at >= _FRESH_SECONDS:
            form = make()
            self._made[name] = (now, form)
        return form

    def _figures(self) -> dict[str, object]:
        report = self._report
        account, orders = report.account(), report.orders
        figures: dict[str, object] = {
            "warmup_version": __version__,
            "warmup_worker": report.number,
            "warmup_workers": orders.worker_count if orders else 0,
            "warmup_epoch": orders.epoch if orders else 0,
            "warmup_paused": orders.paused if orders else False,
            "warmup_ready": report.readiness().ready,
            "warmup_emails_per_mailbox_per_day": report.full_number,
            "warmup_mailboxes": account.mailboxes,
            "warmup_mailboxes_met": account.met,
            "warmup_mailboxes_sent_at_least": account.sent_at_least(report.full_number),
            "warmup_mails_due": account.due,
            "warmup_mails_sent": account.sent,
            "warmup_mails_sent_last_hour": self._sent_last_hour.count(),
            "warmup_mails_failed": account.failed,
            "warmup_mails_in_doubt": account.in_doubt,
            "warmup_mails_in_flight": account.in_flight,
            "warmup_mails_scheduled": account.scheduled,
            "warmup_mails_deferred": account.deferred,
            "warmup_mails_skipped": account.skipped,
            "warmup_mails_behind": account.behind,
            "warmup_heartbeat_age_seconds": round(min(report.heartbeat_age, 1e9), 3),
        }
        for metric in self._registry.collect():
            for sample in metric.samples:
                if sample.name.endswith("_total"):
                    label = "_".join(sample.labels.values()).replace("-", "_")
                    name = "_".join(filter(None, [sample.name.removesuffix("_total"), label, "total"]))
                    figures[name] = int(sample.value)
        return figures


def as_json(figures: dict[str, object]) -> Form:
    """Indented, one key a line."""
    return (json.dumps(figures, indent=2) + "\n").encode(), "application/json"
