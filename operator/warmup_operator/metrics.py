"""What Prometheus reads of the operator: its own work, and each fleet's figures as its status has them.

Names: ``warmup_operator_*`` and ``warmup_fleet_*``; the labels namespace and name are a fleet's.
A fleet that is gone leaves no series.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from warmup_operator.postgres import View
from warmup_operator.settings import VERSION
from warmup_operator.status import Figures, Verdict

_FLEET = ["namespace", "name"]


class Metrics:
    """One registry; make one a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def gauge(name: str, text: str, labels: list[str] = _FLEET) -> Gauge:
            return Gauge(f"warmup_fleet_{name}", text, labels, registry=self.registry)

        self.seconds = Histogram(
            "warmup_operator_reconcile_seconds", "Time of one look at one fleet.", registry=self.registry
        )
        self.errors = Counter(
            "warmup_operator_reconcile_errors",
            "Looks that ended with an error, by its kind.",
            ["reason"],
            registry=self.registry,
        )
        self.writes = Counter(
            "warmup_operator_api_writes",
            "Writes sent to the Kubernetes API.",
            ["kind", "verb"],
            registry=self.registry,
        )
        self.fleets = Gauge("warmup_operator_fleets", "Fleets served.", registry=self.registry)
        Info("warmup_operator_build", "The operator's release.", registry=self.registry).info(
            {"version": VERSION}
        )
        self._ready = gauge("ready", "1 while the condition Ready is true.", [*_FLEET, "reason"])
        self._gauges: dict[str, Gauge] = {
            "epoch": gauge("epoch", "Epoch of the ownership."),
            "wanted": gauge("workers_wanted", "Workers the fleet should have."),
            "live": gauge("workers_live", "Workers whose lease runs."),
            "total": gauge("mailboxes", "Mailboxes enrolled."),
            "active": gauge("mailboxes_active", "Mailboxes that take part."),
            "due": gauge("mails_due", "Mails that today's quotas ask for."),
            "sent": gauge("mails_sent", "Mails sent today."),
            "in_doubt": gauge("mails_in_doubt", "Mails of today whose fate the ledger cannot tell."),
            "in_flight": gauge("mails_in_flight", "Mails claimed and not settled."),
            "scheduled": gauge("mails_scheduled", "Mails still to come today."),
            "deferred": gauge("mails_deferred", "Mails held back by a fault that the mailbox names."),
            "skipped": gauge("mails_skipped", "Mails that today will not see."),
            "behind": gauge("mails_behind", "Mails that should have been sent by now and were not."),
        }

    def show(self, namespace: str, name: str, figures: Figures, ready: Verdict, view: View | None) -> None:
        """Put a fleet's figures up; those that could not be read keep their last value."""
        self._ready.remove_by_labels({"namespace": namespace, "name": name})
        self._ready.labels(namespace, name, ready.reason).set(1 if ready.holds else 0)
        values: dict[str, int | None] = {"epoch": figures.epoch}
        if figures.workers and view:
            values |= {"wanted": figures.workers.wanted, "live": len(view.live)}
        for part in (figures.mailboxes, figures.today):
            if part:
                values |= {key: value for key, value in part.model_dump().items() if isinstance(value, int)}
        for key, value in values.items():
            if value is not None:
                self._gauges[key].labels(namespace, name).set(value)

    def forget(self, namespace: str, name: str) -> None:
        """Take a fleet's series away."""
        for gauge in (self._ready, *self._gauges.values()):
            gauge.remove_by_labels({"namespace": namespace, "name": name})

    def render(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)
