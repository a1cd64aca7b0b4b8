"""What Prometheus reads of the operator: its own work, and each fleet's figures as its status has them.

Names: ``warmup_operator_*`` and ``warmup_fleet_*``; the labels namespace and name are a fleet's. Figures that could not be read
keep their last value: ``warmup_fleet_looked_at_seconds`` says how old they may be. A fleet that is gone leaves no series.
"""

from collections.abc import Mapping

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
            "Looks and lists of fleets that ended with an error, by what it was.",
            ["reason"],
            registry=self.registry,
        )
        self.requests = Counter(
            "warmup_operator_api_requests",
            "Requests to the Kubernetes API beside the watches: get and list read, the others write.",
            ["verb", "kind", "code"],
            registry=self.registry,
        )
        self.fleets = Gauge("warmup_operator_fleets", "Fleets served.", registry=self.registry)
        Info("warmup_operator_build", "The operator's release.", registry=self.registry).info(
            {"version": VERSION}
        )
        self._condition = gauge(
            "condition",
            "1 while the condition holds: Ready, QuotaFeasible, DatabaseReachable, Resizing, Paused, Degraded.",
            [*_FLEET, "condition"],
        )
        self._sizing = gauge("sizing_workers", "Workers by the term that decides.", [*_FLEET, "by"])
        self._ready = gauge("ready", "1 while the condition Ready is true.", [*_FLEET, "reason"])
        self._several = (self._ready, self._condition, self._sizing)
        """Those whose labels say more than whose they are."""
        self._gauges: dict[str, Gauge] = {
            "looked_at": gauge(
                "looked_at_seconds",
                "When the last look at the fleet that ended well ended, in Unix time; 0: none yet.",
            ),
            "epoch": gauge("epoch", "Epoch of the ownership."),
            "wanted": gauge("workers_wanted", "Workers the fleet should have."),
            "live": gauge("workers_live", "Workers whose lease runs."),
            "total": gauge("mailboxes", "Mailboxes enrolled."),
            "active": gauge("mailboxes_active", "Mailboxes that take part."),
            "paused": gauge("mailboxes_held", "Active mailboxes that wait for a reason the status names."),
            "unowned": gauge("mailboxes_unowned", "Active mailboxes without a live owner."),
            "once": gauge(
                "mailboxes_owned_once", "Active mailboxes with a live owner and nobody else's mail in flight."
            ),
            "twice": gauge(
                "mailboxes_owned_twice",
                "Active mailboxes with a live owner and a mail in flight at another process, as for moments after a resize.",
            ),
            "due": gauge("mails_due", "Mails that today's quotas ask for."),
            "sent": gauge("mails_sent", "Mails sent today."),
            "in_doubt": gauge("mails_in_doubt", "Mails of today whose fate the ledger cannot tell."),
            "in_flight": gauge("mails_in_flight", "Mails claimed and not settled."),
            "scheduled": gauge("mails_scheduled", "Mails still to come today."),
            "deferred": gauge("mails_deferred", "Mails held back by a fault that the mailbox names."),
            "skipped": gauge("mails_skipped", "Mails that today will not see."),
            "behind": gauge("mails_behind", "Mails that should have been sent by now and were not."),
            "yesterday": gauge("attainment_yesterday_ratio", "Sent of due yesterday, 0 to 1, rounded down."),
            "left": gauge(
                "sending_seconds_left", "Seconds of the fleet's sending hours still to come today."
            ),
            "demand": gauge("sizing_mails_demanded", "Mails of today's quotas that the sizing counts with."),
            "capacity": gauge("sizing_mails_per_worker", "Mails that one worker can send a day."),
            "connections": gauge("database_connections", "Sessions at the fleet's database."),
            "budget": gauge("database_connections_budget", "Connections that the fleet may use."),
            "unpartitioned": gauge(
                "database_rows_without_partition", "Rows of the ledger whose day has no partition."
            ),
        }

    def begin(self, namespace: str, name: str) -> None:
        """A fleet is served from now on: one that no look ever succeeds at is known by that, too."""
        self._gauges["looked_at"].labels(namespace, name).set(0)

    def looked(self, namespace: str, name: str) -> None:
        """A look at a fleet ended well, just now."""
        self._gauges["looked_at"].labels(namespace, name).set_to_current_time()

    def show(
        self,
        namespace: str,
        name: str,
        figures: Figures,
        verdicts: Mapping[str, Verdict],
        view: View | None,
    ) -> None:
        """Put a fleet's figures up; those that could not be read keep their last value."""
        fleet = {"namespace": namespace, "name": name}
        self._ready.remove_by_labels(fleet)
        self._ready.labels(namespace, name, verdicts["Ready"].reason).set(bool(verdicts["Ready"].holds))
        for condition, verdict in verdicts.items():
            self._condition.labels(namespace, name, condition).set(bool(verdict.holds))
        values: dict[str, float | None] = {"epoch": figures.epoch}
        if figures.workers and view:
            values |= {"wanted": figures.workers.wanted, "live": len(view.live)}
        if figures.sizing:
            self._sizing.remove_by_labels(fleet)
            self._sizing.labels(namespace, name, figures.sizing.by).set(figures.sizing.wanted)
            values |= {
                "demand": figures.sizing.demand_per_day,
                "capacity": figures.sizing.capacity_per_worker,
            }
        if view:
            self._gauges["yesterday"].remove_by_labels(fleet)  # a day without quotas has none
            values |= _of_view(view)
        if figures.mailboxes and view:
            values["twice"] = view.twice
            values["once"] = max(0, figures.mailboxes.active - view.unowned - view.twice)
        for part in (figures.mailboxes, figures.today):
            if part:
                values |= {key: value for key, value in part.model_dump().items() if isinstance(value, int)}
        for key, value in values.items():
            if value is not None:
                self._gauges[key].labels(namespace, name).set(value)

    def forget(self, namespace: str, name: str) -> None:
        """Take a fleet's series away."""
        for gauge in (*self._several, *self._gauges.values()):
            gauge.remove_by_labels({"namespace": namespace, "name": name})

    def render(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)


def _of_view(view: View) -> dict[str, float | None]:
    """What the database alone tells, and its budget."""
    yesterday = view.demand.yesterday
    values: dict[str, float | None] = {
        "yesterday": None if yesterday is None else float(yesterday.rstrip("%")) / 100,
        "left": view.demand.left.total_seconds(),
        "budget": view.row.settings.max_connections,
    }
    if view.strain:
        values |= {"connections": view.strain.connections, "unpartitioned": view.strain.unpartitioned}
    return values
