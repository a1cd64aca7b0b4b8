"""What the Grafana dashboard shows: rows of panels with their queries. ``docs.dashboard`` lays them out. Data only.

Figures of the whole fleet come from the operator (``max``: a second scrape of it changes nothing), figures of workers are summed
or stand in a row a worker.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FLEET = '{namespace="$namespace",name="$fleet"}'
WORKERS = 'namespace="$namespace",app_kubernetes_io_instance="$fleet"'


@dataclass(frozen=True)
class Query:
    """One expression and how its series are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """``kind``: Grafana's panel type; ``unit``: one of Grafana's units; ``width`` of 24 columns."""

    title: str
    about: str
    queries: Sequence[Query]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 12
    stacked: bool = False


def of_fleet(name: str) -> str:
    """A figure of the fleet, as the operator has it."""
    return f"max(warmup_fleet_{name}{FLEET})"


def by_label(name: str, label: str) -> str:
    """A gauge of workers, summed by one label."""
    return f"sum by ({label}) (warmup_worker_{name}{{{WORKERS}}})"


def a_minute(counter: str, labels: str) -> str:
    """A counter of workers as a rate a minute, summed by labels."""
    return f"60 * sum by ({labels}) (rate(warmup_worker_{counter}_total{{{WORKERS}}}[$__rate_interval]))"


def quantile(share: float, histogram: str, label: str) -> str:
    """A quantile over all workers' observations, by one label."""
    buckets = f"rate(warmup_worker_{histogram}_bucket{{{WORKERS}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (le, {label}) ({buckets}))"


_PARTS = ("sent", "in_doubt", "in_flight", "scheduled", "deferred", "skipped")
_COLUMNS = ("mailboxes", "due", "sent", "behind", "in_flight", "in_doubt", "heartbeat_age_seconds")

ROWS: Sequence[tuple[str, Sequence[Panel]]] = (
    (
        "Today",
        (
            Panel(
                "Attainment today",
                "Sent of due. It reaches 100 % at the end of the day's hours.",
                [Query(f"{of_fleet('mails_sent')} / {of_fleet('mails_due')}")],
                kind="stat",
                unit="percentunit",
                width=6,
            ),
            Panel(
                "Attainment yesterday",
                "Sent of due, rounded down.",
                [Query(of_fleet("attainment_yesterday_ratio"))],
                kind="stat",
                unit="percentunit",
                width=6,
            ),
            Panel(
                "Behind",
                "Mails that should have been sent by now and were not.",
                [Query(of_fleet("mails_behind"))],
                kind="stat",
                width=6,
            ),
            Panel(
                "In doubt",
                "Mails of today whose fate the ledger cannot tell; never sent again.",
                [Query(of_fleet("mails_in_doubt"))],
                kind="stat",
                width=6,
            ),
            Panel(
                "Mails per hour against the number needed",
                "Needed: what is left of the day's mails over what is left of the fleet's hours.",
                [
                    Query(
                        f'3600 * sum(rate(warmup_worker_mails_total{{{WORKERS},state="sent"}}[$__rate_interval]))',
                        "sent per hour",
                    ),
                    Query(
                        f"3600 * ({of_fleet('mails_scheduled')} + {of_fleet('mails_deferred')})"
                        f" / ({of_fleet('sending_seconds_left')} > 0)",
                        "needed per hour",
                    ),
                ],
            ),
            Panel(
                "Account of the day",
                "due = sent + in doubt + in flight + scheduled + deferred + skipped.",
                [Query(of_fleet(f"mails_{part}"), part.replace("_", " ")) for part in _PARTS],
                stacked=True,
            ),
        ),
    ),
    (
        "Workers and owners",
        (
            Panel(
                "Workers",
                "Live: those whose lease runs.",
                [Query(of_fleet("workers_wanted"), "wanted"), Query(of_fleet("workers_live"), "live")],
                width=8,
            ),
            Panel(
                "Owners of active mailboxes",
                "Unowned and owned twice are 0 but for moments after a resize.",
                [
                    Query(of_fleet("mailboxes_owned_once"), "owned once"),
                    Query(of_fleet("mailboxes_owned_twice"), "owned twice"),
                    Query(of_fleet("mailboxes_unowned"), "unowned"),
                    Query(of_fleet("mailboxes_held"), "held"),
                ],
                width=8,
            ),
            Panel(
                "Conditions",
                "1 while it holds.",
                [Query(f"max by (condition) (warmup_fleet_condition{FLEET})", "{{condition}}")],
                width=8,
            ),
            Panel(
                "Sizing: workers by the term that decides",
                "Mailboxes, Mails, Min, Max or Fixed; the status has the reason in words.",
                [Query(f"max by (by) (warmup_fleet_sizing_workers{FLEET})", "{{by}}")],
            ),
            Panel(
                "Sizing: mails asked for, and what the live workers can send",
                "A day's mails. Where more is asked for than can be sent, the day is missed.",
                [
                    Query(of_fleet("sizing_mails_demanded"), "asked for"),
                    Query(
                        f"{of_fleet('sizing_mails_per_worker')} * {of_fleet('workers_live')}", "can be sent"
                    ),
                ],
            ),
        ),
    ),
    (
        "Reasons and replies",
        (
            Panel(
                "Why mailboxes send nothing now",
                "Mailboxes by reason, over all workers.",
                [Query(by_label("mailboxes_standing", "reason"), "{{reason}}")],
                stacked=True,
            ),
            Panel(
                "Claims not granted",
                "A minute, by reason.",
                [Query(a_minute("claims_refused", "reason"), "{{reason}}")],
            ),
            Panel(
                "Mails by provider",
                "A minute, by how they ended. Hosts of no known provider are one: other.",
                [Query(a_minute("provider_mails", "provider, state"), "{{provider}}: {{state}}")],
                width=24,
            ),
            Panel(
                "Failures by phase",
                "A minute: mails not sent, and connections that led to none; sweep: mails of dead workers, put in doubt.",
                [
                    Query(a_minute("failures", "phase"), "{{phase}}"),
                    Query(
                        f"60 * sum(rate(warmup_worker_swept_total{{{WORKERS}}}[$__rate_interval]))", "sweep"
                    ),
                ],
                width=8,
            ),
            Panel(
                "Provider replies that pause more than one mailbox",
                "Pauses begun a minute, by whom they concern and how the reply was read.",
                [Query(a_minute("pauses_begun", "scope, rule"), "{{scope}}: {{rule}}")],
                width=8,
            ),
            Panel(
                "Token refreshes",
                "A minute, by how they ended.",
                [Query(a_minute("token_refreshes", "outcome"), "{{outcome}}")],
                width=8,
            ),
        ),
    ),
    (
        "Latency",
        (
            Panel(
                "Send, median by phase",
                "mail holds RCPT, data the body, dot the wait for its reply.",
                [Query(quantile(0.5, "send_seconds", "phase"), "{{phase}}")],
                unit="s",
                width=8,
            ),
            Panel(
                "Send, 95th percentile by phase",
                "However the phase ended.",
                [Query(quantile(0.95, "send_seconds", "phase"), "{{phase}}")],
                unit="s",
                width=8,
            ),
            Panel(
                "Batches at the database, 95th percentile",
                "Claims and settlements.",
                [Query(quantile(0.95, "batch_seconds", "batch"), "{{batch}}")],
                unit="s",
                width=8,
            ),
        ),
    ),
    (
        "One row a worker",
        (
            Panel(
                "Workers",
                "Each figure is about this worker alone.",
                [Query(f"sum by (pod) (warmup_worker_{column}{{{WORKERS}}})", column) for column in _COLUMNS],
                kind="table",
                width=24,
            ),
        ),
    ),
    (
        "Database and operator",
        (
            Panel(
                "Connections",
                "Sessions at the fleet's database, and database.maxConnections.",
                [
                    Query(of_fleet("database_connections"), "used"),
                    Query(of_fleet("database_connections_budget"), "allowed"),
                ],
                width=6,
            ),
            Panel(
                "Rows without a partition",
                "0 while upkeep works.",
                [Query(of_fleet("database_rows_without_partition"), "rows")],
                width=4,
            ),
            Panel(
                "Since the operator's last good look",
                "About half a minute. What it tells of this fleet may be so old.",
                [Query(f"time() - {of_fleet('looked_at_seconds')}", "seconds")],
                unit="s",
                width=4,
            ),
            Panel(
                "One look of the operator, 95th percentile",
                "Over all its fleets.",
                [
                    Query(
                        "histogram_quantile(0.95, sum by (le)"
                        " (rate(warmup_operator_reconcile_seconds_bucket[$__rate_interval])))",
                        "look",
                    )
                ],
                unit="s",
                width=5,
            ),
            Panel(
                "Errors of the operator",
                "A minute, by what it was.",
                [
                    Query(
                        "60 * sum by (reason) (rate(warmup_operator_reconcile_errors_total[$__rate_interval]))",
                        "{{reason}}",
                    )
                ],
                width=5,
            ),
        ),
    ),
)
