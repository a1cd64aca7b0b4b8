"""The worker's Prometheus metrics: `warmup_worker_*`, never with a label for a mailbox, an address or a host.

Counters are raised where the thing happens; gauges that are sums over the shard are set by functions that cost the same
however many mailboxes there are.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from warmup_core import __version__
from warmup_core.types import MailState

PHASES = ("claim", "connect", "tls", "auth", "mail", "rcpt", "data", "body", "dot")


class Metrics:
    """One worker's metrics in a registry of their own."""

    def __init__(self, number: int) -> None:
        self.registry = CollectorRegistry()
        self.mails = Counter(
            "warmup_worker_mails", "Mails settled, by final state.", ["state"], registry=self.registry
        )
        self.failures = Counter(
            "warmup_worker_failures",
            "Mails not sent, and connections that led to none, by the phase that failed.",
            ["phase"],
            registry=self.registry,
        )
        self.refused = Counter(
            "warmup_worker_claims_refused",
            "Claims not granted, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.swept = Counter(
            "warmup_worker_swept",
            "Open intents of dead workers that this worker put in doubt.",
            registry=self.registry,
        )
        self.pauses = Counter(
            "warmup_worker_pauses_begun",
            "Pauses beyond one mailbox that servers' replies to this worker began, by scope and rule.",
            ["scope", "rule"],
            registry=self.registry,
        )
        self.errors = Counter(
            "warmup_worker_errors",
            "Things that must not happen: rows the database rejects, unexpected exceptions of a send.",
            ["where"],
            registry=self.registry,
        )
        self.batch_seconds = Histogram(
            "warmup_worker_batch_seconds",
            "Seconds of one batch at the database.",
            ["batch"],
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0),
            registry=self.registry,
        )
        build = Gauge(
            "warmup_worker_build_info",
            "The worker's number and version.",
            ["number", "version"],
            registry=self.registry,
        )
        build.labels(str(number), __version__).set(1)
        for state in (MailState.SENT, MailState.FAILED, MailState.IN_DOUBT):
            self.mails.labels(state.value)
        for phase in PHASES:
            self.failures.labels(phase)
        for batch in ("claim", "settle"):
            self.batch_seconds.labels(batch)
