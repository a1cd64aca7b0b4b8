"""The worker's counters and histograms: `warmup_worker_*`, never with a label for a mailbox, an address or a host.

They are raised where the thing happens; the gauges, sums over the shard, are read by ``exposition`` when somebody asks. What is
raised more than once a mail has its labels looked up here, once.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from warmup_core import __version__
from warmup_core.types import MailState
from warmup_worker.clock import boottime
from warmup_worker.last_hour import LastHour
from warmup_worker.tokens import OUTCOMES

PHASES = ("claim", "token", "connect", "tls", "auth", "mail", "rcpt", "data", "body", "dot")
TIMED = ("connect", "tls", "auth", "claim", "mail", "data", "dot")
"""The stretches of a send: ``claim`` is the wait between login and MAIL, ``mail`` holds RCPT too, ``data`` the body, ``dot`` is
the wait for the reply to it."""


class Metrics:
    """One worker's metrics in a registry of their own."""

    def __init__(self, number: int) -> None:
        self.registry = CollectorRegistry()
        self.mails = Counter(
            "warmup_worker_mails", "Mails settled, by final state.", ["state"], registry=self.registry
        )
        self.provider_mails = Counter(
            "warmup_worker_provider_mails",
            "Mails by the provider of their mail host and by how they ended, those handed back not counted. The provider is one"
            " of those known by their hosts' names, or other.",
            ["provider", "state"],
            registry=self.registry,
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
        self.token_refreshes = Counter(
            "warmup_worker_token_refreshes",
            "Refreshes of OAuth access tokens, by how they ended.",
            ["outcome"],
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
        send_seconds = Histogram(
            "warmup_worker_send_seconds",
            "Seconds of a send by phase, however the phase ended; mail holds RCPT, data the body, dot the wait for its reply.",
            ["phase"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0),
            registry=self.registry,
        )
        self.sent_last_hour = LastHour(boottime)
        self._timed = {phase: send_seconds.labels(phase) for phase in TIMED}
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
        for outcome in OUTCOMES:
            self.token_refreshes.labels(outcome)
        for batch in ("claim", "settle"):
            self.batch_seconds.labels(batch)

    def timed(self, phase: str, seconds: float) -> None:
        """A phase of ``TIMED`` ended after so many seconds."""
        self._timed[phase].observe(seconds)
