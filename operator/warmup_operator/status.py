"""What a fleet's status says: the closed set of reasons, the conditions, the columns' figures. Pure builders of plain dicts.

Invariants: each reason has one sentence (``SENTENCES``); a condition's ``lastTransitionTime`` moves only when its status turns;
whatever does not send is not Ready, and the message says what to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from warmup_core.spec_status import (
    Condition,
    MailboxesStatus,
    SizingStatus,
    TodayStatus,
    WarmupFleetStatus,
    WorkersStatus,
)

Json = dict[str, Any]


class Reason(StrEnum):
    """Why a condition is what it is."""

    RUNNING = "Running"
    REACHABLE = "Reachable"
    STARTING = "Starting"
    GROWING = "Growing"
    GROWTH_FAILED = "GrowthFailed"
    SHRINKING = "Shrinking"
    SETTLED = "Settled"
    ROLLING_OUT = "RollingOut"
    WORKERS_DOWN = "WorkersDown"
    MAILBOXES_HELD = "MailboxesHeld"
    CRD_OUTDATED = "CrdOutdated"
    HEALTHY = "Healthy"
    SENDING = "Sending"
    NO_MAILBOXES = "NoMailboxes"
    MAILBOXES_TOO_FEW = "MailboxesTooFew"
    QUOTA_FITS = "QuotaFits"
    LIMIT_TOO_LOW = "LimitTooLow"
    WORKERS_TOO_FEW = "WorkersTooFew"
    WINDOW_TOO_SHORT = "WindowTooShort"
    WINDOW_SKIPPED = "WindowSkipped"
    PROVIDER_LIMIT = "ProviderLimit"
    PAUSED = "Paused"
    STOPPED = "Stopped"
    SPEC_INVALID = "SpecInvalid"
    TIME_ZONE_UNKNOWN = "TimeZoneUnknown"
    SECRET_MISSING = "SecretMissing"  # noqa: S105
    SECRET_KEY_MISSING = "SecretKeyMissing"  # noqa: S105
    CONFIG_MAP_MISSING = "ConfigMapMissing"
    TEMPLATES_INVALID = "TemplatesInvalid"
    OAUTH_APPLICATIONS_INVALID = "OAuthApplicationsInvalid"
    ENCRYPTION_KEYS_INVALID = "EncryptionKeysInvalid"
    ENCRYPTION_KEY_UNKNOWN = "EncryptionKeyUnknown"
    DATABASE_URL_INVALID = "DatabaseUrlInvalid"
    DATABASE_URLS_DIFFER = "DatabaseUrlsDiffer"
    DATABASE_IN_USE = "DatabaseInUse"
    DATABASE_UNREACHABLE = "DatabaseUnreachable"
    DATABASE_TIMEOUT = "DatabaseTimeout"
    DATABASE_CERTIFICATE_REFUSED = "DatabaseCertificateRefused"
    DATABASE_PASSWORD_WRONG = "DatabasePasswordWrong"  # noqa: S105
    DATABASE_LOGIN_REFUSED = "DatabaseLoginRefused"
    DATABASE_MISSING = "DatabaseMissing"
    DATABASE_CONNECTIONS_EXHAUSTED = "DatabaseConnectionsExhausted"
    DATABASE_PERMISSION_DENIED = "DatabasePermissionDenied"
    DATABASE_READ_ONLY = "DatabaseReadOnly"
    DATABASE_ERROR = "DatabaseError"
    SCHEMA_MISSING = "SchemaMissing"
    SCHEMA_OUTDATED = "SchemaOutdated"
    SCHEMA_TOO_NEW = "SchemaTooNew"
    SCHEMA_BUSY = "SchemaBusy"
    SCHEMA_MIGRATING = "SchemaMigrating"
    NAME_TAKEN = "NameTaken"
    KUBERNETES_REFUSED = "KubernetesRefused"
    UNKNOWN = "Unknown"


SENTENCES: Mapping[Reason, str] = {
    Reason.RUNNING: "Every worker is live and every mailbox has its owner.",
    Reason.REACHABLE: "The database answers, is this fleet's and has this release's schema.",
    Reason.STARTING: "The first workers are on their way; sending begins when all of them are live.",
    Reason.GROWING: "More workers are on their way; the present ones go on sending until all new ones are live.",
    Reason.GROWTH_FAILED: "More workers are wanted and could not be had; the present ones send on until it is tried again.",
    Reason.SHRINKING: "Workers that own no mailboxes any more end what they have in flight and leave.",
    Reason.SETTLED: "There are as many workers as wanted.",
    Reason.ROLLING_OUT: "Pods are replaced one after the other; the mailboxes of the one that is away wait for it.",
    Reason.WORKERS_DOWN: "A worker that owns mailboxes is not live; its mailboxes wait for it, the others send.",
    Reason.MAILBOXES_HELD: "One active mailbox in a hundred or more waits, and where all do nothing is sent;"
    " status.mailboxes.topReasons says for what.",
    Reason.CRD_OUTDATED: "The CRD that is served lacks fields of this release; the message names them.",
    Reason.HEALTHY: "Nothing is wrong that keeps mail from going out.",
    Reason.SENDING: "spec.paused is false.",
    Reason.NO_MAILBOXES: "No mailbox is active; the message is the command that imports some.",
    Reason.MAILBOXES_TOO_FEW: "A single mailbox is active and has nobody to write to; the fleet needs a second one.",
    Reason.QUOTA_FITS: "Every mailbox can send its full number in its window.",
    Reason.LIMIT_TOO_LOW: "A limit of the fleet lets fewer mails through than all full numbers ask for; the message has the value"
    " that would do.",
    Reason.WORKERS_TOO_FEW: "workers.max or workers.replicas allows fewer workers than all full numbers need.",
    Reason.WINDOW_TOO_SHORT: "A window is too short for a mailbox's full number: by cooldown, time of a send, or interval.",
    Reason.WINDOW_SKIPPED: "The clock skips the fleet's window today.",
    Reason.PROVIDER_LIMIT: "A provider admits fewer mails in 24 hours than a mailbox is asked for; it sends what is admitted.",
    Reason.PAUSED: "spec.paused is true: nothing is sent, the pods stay.",
    Reason.STOPPED: "spec.workers.replicas is 0: there are no workers.",
    Reason.SPEC_INVALID: "This operator cannot read the spec: the CRD and the operator are of different releases.",
    Reason.TIME_ZONE_UNKNOWN: "spec.timeZone is no IANA time zone that the operator and the database both know.",
    Reason.SECRET_MISSING: "A Secret that the spec names does not exist.",
    Reason.SECRET_KEY_MISSING: "A Secret or ConfigMap that the spec names lacks the key.",
    Reason.CONFIG_MAP_MISSING: "A ConfigMap that the spec names does not exist.",
    Reason.TEMPLATES_INVALID: "Templates cannot be used; the message lists each fault, running workers keep the last good ones.",
    Reason.OAUTH_APPLICATIONS_INVALID: "The OAuth applications cannot be read; the message lists each fault.",
    Reason.ENCRYPTION_KEYS_INVALID: "The encryption keys cannot be read; the message lists each faulty line.",
    Reason.ENCRYPTION_KEY_UNKNOWN: "Stored credentials are under a key that the keys Secret does not hold.",
    Reason.DATABASE_URL_INVALID: "The database URL cannot be read.",
    Reason.DATABASE_URLS_DIFFER: "The owner's URL and the workers' URL lead to different databases.",
    Reason.DATABASE_IN_USE: "The database belongs to another fleet, which the message names.",
    Reason.DATABASE_UNREACHABLE: "The database server cannot be reached.",
    Reason.DATABASE_TIMEOUT: "The database did not answer in time.",
    Reason.DATABASE_CERTIFICATE_REFUSED: "The database server's certificate is not trusted, or is another host's.",
    Reason.DATABASE_PASSWORD_WRONG: "The database refuses the password.",
    Reason.DATABASE_LOGIN_REFUSED: "The database refuses the user.",
    Reason.DATABASE_MISSING: "The server has no database of that name.",
    Reason.DATABASE_CONNECTIONS_EXHAUSTED: "The server has no connection left.",
    Reason.DATABASE_PERMISSION_DENIED: "The database user lacks a privilege.",
    Reason.DATABASE_READ_ONLY: "The server is read-only: a standby, or in the middle of a failover.",
    Reason.DATABASE_ERROR: "The database answered with an error.",
    Reason.SCHEMA_MISSING: "A table is missing.",
    Reason.SCHEMA_OUTDATED: "database.migrations is Manual and the schema is not this release's.",
    Reason.SCHEMA_TOO_NEW: "The schema is newer than this release.",
    Reason.SCHEMA_BUSY: "Another migration holds the schema's lock.",
    Reason.SCHEMA_MIGRATING: "The operator brings the schema to this release's version.",
    Reason.NAME_TAKEN: "An object of a name that the fleet needs exists and is not the fleet's.",
    Reason.KUBERNETES_REFUSED: "The API server refuses an object of the fleet.",
    Reason.UNKNOWN: "It could not be looked at; another condition says why.",
}
"""One sentence a reason, for people; docs/reference.md lists them."""

DATABASE_REASONS = frozenset(reason for reason in Reason if reason.value.startswith(("Database", "Schema")))
"""The reasons that speak of the database itself."""


class Problem(Exception):
    """Something that the user has to mend: a reason and a sentence that names the object, the key and the cure."""

    def __init__(self, reason: Reason, message: str, *, database: bool = False) -> None:
        self.reason = reason
        self.message = message
        self.database = database or reason in DATABASE_REASONS
        """Whether the database cannot be used because of it."""
        super().__init__(message)


@dataclass(frozen=True)
class Verdict:
    """One condition's answer, before it is compared with the last one."""

    holds: bool | None
    reason: Reason
    message: str


@dataclass(frozen=True)
class Turn:
    """A condition that turned: what the Kubernetes event says."""

    warning: bool
    reason: str
    message: str


_WRONG_WHEN = {"Ready": False, "QuotaFeasible": False, "DatabaseReachable": False, "Degraded": True}
"""The answer of a condition that is worth a warning; of the others neither is."""
_TOLD_AT_FIRST = frozenset({"Ready", "DatabaseReachable"})
"""What a new fleet tells of although nothing is wrong."""


def conditions(
    verdicts: Mapping[str, Verdict], before: Sequence[Json], generation: int, now: datetime
) -> tuple[list[Json], list[Turn]]:
    """The conditions as they go into status, and those of them whose status or reason is another than before."""
    last = {condition["type"]: condition for condition in before}
    answers: list[Json] = []
    turns: list[Turn] = []
    for kind, verdict in verdicts.items():
        status = {True: "True", False: "False", None: "Unknown"}[verdict.holds]
        old = last.get(kind, {})
        since = old["lastTransitionTime"] if old.get("status") == status else f"{now:%Y-%m-%dT%H:%M:%SZ}"
        condition = Condition(
            type=kind,
            status=status,
            reason=verdict.reason,
            message=verdict.message,
            last_transition_time=since,
            observed_generation=generation,
        )
        answers.append(condition.model_dump(by_alias=True))
        if (old.get("status"), old.get("reason")) != (status, verdict.reason.value):
            wrong = kind in _WRONG_WHEN and verdict.holds is _WRONG_WHEN[kind]
            if old or wrong or kind in _TOLD_AT_FIRST:
                turns.append(Turn(wrong, verdict.reason, f"{kind}: {verdict.message}"))
    return answers, turns


@dataclass(frozen=True)
class Figures:
    """What the status counts. ``None`` where it could not be read this time: the last figures stay."""

    epoch: int | None = None
    workers: WorkersStatus | None = None
    sizing: SizingStatus | None = None
    mailboxes: MailboxesStatus | None = None
    today: TodayStatus | None = None
    yesterday: str | None = None


def build(figures: Figures, answers: list[Json], before: Json, generation: int, selector: str) -> Json:
    """The whole status. Figures that could not be read are kept from ``before``."""
    figured = {"epoch", "workers", "sizing", "mailboxes", "today", "yesterday"}
    kept = {name: value for name, value in before.items() if name in figured}
    ready = next(answer for answer in answers if answer["type"] == "Ready")
    fresh = WarmupFleetStatus(
        observed_generation=generation,
        selector=selector,
        message=ready["message"],
        **{name: value for name, value in asdict(figures).items() if value is not None},
    ).model_dump(by_alias=True, exclude_none=True)
    return {**kept, **fresh, "conditions": answers}


def differs(status: Json, before: Json, *, counts: bool) -> bool:
    """Whether ``status`` has to be written. Without ``counts`` a change of figures alone is no reason."""
    if counts:
        return status != before

    def essence(whole: Json) -> Json:
        sizing = whole.get("sizing", {})  # its figures move with every mail that workers measure
        settled = {
            name: value
            for name, value in whole.items()
            if name not in {"today", "mailboxes", "sizing", "yesterday"}
        }
        return {**settled, "sizing": (sizing.get("by"), sizing.get("wanted"))}

    return essence(status) != essence(before)
