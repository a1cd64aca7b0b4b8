"""What a fleet's status says: the closed set of reasons, the conditions, the columns' figures. Pure builders of plain dicts.

Invariants: each reason has one sentence (``SENTENCES``); a condition's ``lastTransitionTime`` moves only when its status turns;
whatever does not send is not Ready, and the message says what to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from warmup_core.spec import Condition, MailboxesStatus, TodayStatus, WarmupFleetStatus, WorkersStatus

Json = dict[str, Any]


class Reason(StrEnum):
    """Why a condition is what it is."""

    RUNNING = "Running"
    REACHABLE = "Reachable"
    STARTING = "Starting"
    GROWING = "Growing"
    WORKERS_DOWN = "WorkersDown"
    NO_MAILBOXES = "NoMailboxes"
    PAUSED = "Paused"
    STOPPED = "Stopped"
    SPEC_INVALID = "SpecInvalid"
    TIME_ZONE_UNKNOWN = "TimeZoneUnknown"
    SECRET_MISSING = "SecretMissing"  # noqa: S105
    SECRET_KEY_MISSING = "SecretKeyMissing"  # noqa: S105
    CONFIG_MAP_MISSING = "ConfigMapMissing"
    TEMPLATES_INVALID = "TemplatesInvalid"
    ENCRYPTION_KEYS_INVALID = "EncryptionKeysInvalid"
    ENCRYPTION_KEY_UNKNOWN = "EncryptionKeyUnknown"
    DATABASE_URL_INVALID = "DatabaseUrlInvalid"
    DATABASE_URLS_DIFFER = "DatabaseUrlsDiffer"
    DATABASE_IN_USE = "DatabaseInUse"
    DATABASE_UNREACHABLE = "DatabaseUnreachable"
    DATABASE_TIMEOUT = "DatabaseTimeout"
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
    NAME_TAKEN = "NameTaken"
    KUBERNETES_REFUSED = "KubernetesRefused"
    UNKNOWN = "Unknown"


SENTENCES: Mapping[Reason, str] = {
    Reason.RUNNING: "Every worker is live and every mailbox has its owner.",
    Reason.REACHABLE: "The database answers, is this fleet's and has this release's schema.",
    Reason.STARTING: "The first workers are on their way; sending begins when all of them are live.",
    Reason.GROWING: "More workers are on their way; the present ones go on sending until all new ones are live.",
    Reason.WORKERS_DOWN: "A worker that owns mailboxes is not live; its mailboxes wait for it, the others send.",
    Reason.NO_MAILBOXES: "No mailbox is active; the message is the command that imports some.",
    Reason.PAUSED: "spec.paused is true: nothing is sent, the pods stay.",
    Reason.STOPPED: "spec.workers.replicas is 0: there are no workers.",
    Reason.SPEC_INVALID: "This operator cannot read the spec: the CRD and the operator are of different releases.",
    Reason.TIME_ZONE_UNKNOWN: "spec.timeZone is no IANA time zone that the operator and the database both know.",
    Reason.SECRET_MISSING: "A Secret that the spec names does not exist.",
    Reason.SECRET_KEY_MISSING: "A Secret or ConfigMap that the spec names lacks the key.",
    Reason.CONFIG_MAP_MISSING: "A ConfigMap that the spec names does not exist.",
    Reason.TEMPLATES_INVALID: "Templates cannot be used; the message lists each fault, running workers keep the last good ones.",
    Reason.ENCRYPTION_KEYS_INVALID: "The encryption keys cannot be read; the message lists each faulty line.",
    Reason.ENCRYPTION_KEY_UNKNOWN: "Stored credentials are under a key that the keys Secret does not hold.",
    Reason.DATABASE_URL_INVALID: "The database URL cannot be read.",
    Reason.DATABASE_URLS_DIFFER: "The owner's URL and the workers' URL lead to different databases.",
    Reason.DATABASE_IN_USE: "The database belongs to another fleet, which the message names.",
    Reason.DATABASE_UNREACHABLE: "The database server cannot be reached.",
    Reason.DATABASE_TIMEOUT: "The database did not answer in time.",
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
            turns.append(Turn(verdict.holds is False, verdict.reason, f"{kind}: {verdict.message}"))
    return answers, turns


@dataclass(frozen=True)
class Figures:
    """What the status counts. ``None`` where it could not be read this time: the last figures stay."""

    epoch: int | None = None
    workers: WorkersStatus | None = None
    mailboxes: MailboxesStatus | None = None
    today: TodayStatus | None = None


def build(figures: Figures, answers: list[Json], before: Json, generation: int, selector: str) -> Json:
    """The whole status. Figures that could not be read are kept from ``before``."""
    kept = {
        name: value for name, value in before.items() if name in {"epoch", "workers", "mailboxes", "today"}
    }
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
        return {name: value for name, value in whole.items() if name not in {"today", "mailboxes"}}

    return essence(status) != essence(before)
