"""The spec of a WarmupFleet as pydantic models: the one place where its fields, bounds, defaults and sentences stand.

The CRD in ``crds/`` is generated from these models (``warmup_core.crd``), so every field has one sentence for
``kubectl explain``. Rules that one field alone cannot say stand in ``warmup_core.spec_rules``. Integers, no floats. Pure.
Fails: pydantic's ValidationError, each fault with its path.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints

from warmup_core.connections import APART
from warmup_core.spec_model import Model as _Model
from warmup_core.spec_model import ObjectName
from warmup_core.spec_pods import PodSettings
from warmup_core.threads import MOST_PERCENT
from warmup_core.types import (
    DURATION_PATTERN,
    MOST_CONCURRENT_SENDS,
    MOST_CONNECTIONS,
    MOST_MAILBOXES_PER_WORKER,
    PROVIDER_PATTERN,
    START_PATTERN,
    TIME_OF_DAY_PATTERN,
)

Duration = Annotated[str, StringConstraints(pattern=DURATION_PATTERN, max_length=12)]
StartOfWindow = Annotated[str, StringConstraints(pattern=START_PATTERN, max_length=8)]
EndOfWindow = Annotated[str, StringConstraints(pattern=TIME_OF_DAY_PATTERN, max_length=8)]
DayOfWeek = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
MailsADay = Annotated[int, Field(ge=1, le=2000)]
DataKey = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]
ProviderName = Annotated[str, StringConstraints(pattern=PROVIDER_PATTERN, max_length=253)]
Cidr = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", max_length=49)]


class DatabaseUrlRef(_Model):
    """A key of a Secret that holds a PostgreSQL URL."""

    name: ObjectName = Field(description="Name of the Secret, in the fleet's namespace.")
    key: DataKey = Field("url", description="Key inside the Secret that holds the PostgreSQL URL.")


class KeysRef(_Model):
    """A key of a Secret that holds the encryption keys."""

    name: ObjectName = Field(description="Name of the Secret, in the fleet's namespace.")
    key: DataKey = Field(
        "keys", description="Key inside the Secret that holds lines of ID:BASE64, the active key first."
    )


class ApplicationsRef(_Model):
    """A key of a Secret that holds OAuth applications."""

    name: ObjectName = Field(description="Name of the Secret, in the fleet's namespace.")
    key: DataKey = Field(
        "applications.json",
        description="Key inside the Secret that holds a JSON object of applications by name.",
    )


class CaBundleRef(_Model):
    """A key of a ConfigMap that holds certificates."""

    name: ObjectName = Field(description="Name of the ConfigMap, in the fleet's namespace.")
    key: DataKey = Field("ca.crt", description="Key inside the ConfigMap that holds PEM certificates.")


class Ramp(_Model):
    """How a new mailbox comes to its full number of mails."""

    type: Literal["Linear", "Steps", "None"] = Field(
        "Linear",
        description="Linear adds step a day, Steps lists a number a day, None is the full number at once.",
    )
    start: int = Field(2, ge=1, le=2000, description="Mails of the first day of a Linear ramp.")
    step: int = Field(2, ge=0, le=2000, description="Mails that each further day of a Linear ramp adds.")
    steps: list[MailsADay] = Field(
        default_factory=list,
        max_length=366,
        description="Mails of each day of a Steps ramp, never falling; the last number stays.",
    )


class Schedule(_Model):
    """When in its week and its day a mailbox may send."""

    days: list[DayOfWeek] = Field(
        ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
        min_length=1,
        max_length=7,
        description="Days in spec.timeZone on which a window opens; on the others none does and the ramp waits.",
    )
    from_: StartOfWindow = Field(
        "00:00",
        alias="from",
        description="Start of the daily sending window, HH:MM or HH:MM:SS in spec.timeZone.",
    )
    to: EndOfWindow = Field(
        "24:00",
        description="End of the daily sending window, 24:00 is midnight; one not after from is the next day's: 22:00 to 06:00.",
    )


class Workers(PodSettings):
    """How many workers there are and how each runs."""

    replicas: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="Fixes the number of workers (kubectl scale writes it); unset, the fleet sizes itself; 0 stops it.",
    )
    min: int = Field(1, ge=1, le=1000, description="Fewest workers the fleet sizes itself to.")
    max: int = Field(100, ge=1, le=1000, description="Most workers the fleet sizes itself to.")
    max_mailboxes_per_worker: int | None = Field(
        2000,
        ge=1,
        le=MOST_MAILBOXES_PER_WORKER,
        description="Most mailboxes one worker owns; null sizes without this term.",
    )
    headroom_percent: int = Field(
        20, ge=0, le=1000, description="How much more than today's mails the workers should be able to send."
    )
    resize_cooldown: Duration = Field(
        "10m",
        description="Shortest time from a resize to the next that can wait; growth that the mails need does not wait.",
    )
    sizing: Literal["Auto", "Recommend"] = Field(
        "Auto",
        description="Auto makes the count what it should be; Recommend only says in the status what that is.",
    )
    max_concurrent_sends: int = Field(
        50, ge=1, le=MOST_CONCURRENT_SENDS, description="Most mails one worker has in flight at a time."
    )
    image: str = Field(
        "",
        max_length=512,
        description="Image of the workers; empty means the one released with the operator.",
    )
    termination_grace_period_seconds: int = Field(
        90,
        ge=70,
        le=1800,
        description="Seconds a leaving worker has to finish what is in flight; at least 70, the life of a claim and 10.",
    )


class Cooldown(_Model):
    """The pause of one mailbox from claim to claim."""

    min: Duration = Field("2m", description="Shortest pause of one mailbox from one mail to its next.")
    max: Duration = Field("5m", description="Longest pause drawn between two mails of one mailbox.")


class Stagger(_Model):
    """By how much the starts of a group are moved apart."""

    min: Duration = Field("500ms", description="Least by which the start of a mail is moved.")
    max: Duration = Field("2s", description="Most by which the start of a mail is moved.")


class Interval(_Model):
    """The runs of mode Interval: every so often a batch, in groups of workers.maxConcurrentSends."""

    every: Duration = Field(
        "10m",
        description="From one run of a worker to its next; the workers of a fleet take turns within it.",
    )
    batch_size: int = Field(
        200, ge=1, le=100_000, description="Most mailboxes that one run sends a mail from."
    )
    batch_delay: Duration = Field("2s", description="Pause after each group of workers.maxConcurrentSends.")
    stagger: Stagger = Field(
        default_factory=Stagger,
        description="The start of each mail of a group is moved by min to max, drawn.",
    )


class Pacing(_Model):
    """How a day's mails are spread."""

    mode: Literal["Continuous", "Interval"] = Field(
        "Continuous",
        description="Continuous gives each mail its own instant in the window; Interval sends a batch every interval.",
    )
    cooldown: Cooldown = Field(
        default_factory=Cooldown,
        description="Pause of one mailbox from claim to claim, drawn between min and max.",
    )
    interval: Interval = Field(
        default_factory=Interval, description="The runs of mode Interval; Continuous does not look at it."
    )


class ProviderLimit(_Model):
    """What one mailbox at a provider may send."""

    name: ProviderName = Field(
        description="Name of the provider, such as gmail or microsoft365, or the name of a mail host."
    )
    per_mailbox_per_day: int = Field(
        ge=1, le=100_000, description="Most mails that one mailbox there sends in any 24 hours."
    )


class Limits(_Model):
    """How many mails may be sent in a rolling stretch of time."""

    per_minute: int | None = Field(
        2500, ge=1, le=1_000_000, description="Most mails of the whole fleet in any minute; null is no limit."
    )
    per_hour: int | None = Field(
        150_000,
        ge=1,
        le=60_000_000,
        description="Most mails of the whole fleet in any hour; null is no limit.",
    )
    per_user_per_hour: int | None = Field(
        None,
        ge=1,
        le=60_000_000,
        description="Most mails of one user's mailboxes in any hour; null is no limit.",
    )
    per_worker_per_hour: int | None = Field(
        None,
        ge=1,
        le=60_000_000,
        description="Most mails that one worker sends in any hour; null is no limit.",
    )
    per_domain_per_day: int | None = Field(
        None,
        ge=1,
        le=1_000_000_000,
        description="Most mails from addresses of one domain in any 24 hours; null is no limit.",
    )
    providers: list[ProviderLimit] = Field(
        [ProviderLimit(name="gmail", per_mailbox_per_day=500)],
        max_length=32,
        description="Most mails of one mailbox in any 24 hours, by the provider of its mail host.",
    )


class Recipients(_Model):
    """Whom the mailboxes write to."""

    reply_percent: int = Field(
        30,
        ge=0,
        le=MOST_PERCENT,
        description="How many of 100 mails answer one that the mailbox received; a thread ends after four mails.",
    )


class TemplatesRef(_Model):
    """A ConfigMap that holds templates."""

    name: ObjectName = Field(
        description="Name of the ConfigMap, in the fleet's namespace; each key that ends in .txt is a file of templates."
    )


class Content(_Model):
    """What the mails say."""

    templates_config_map_ref: TemplatesRef | None = Field(
        None,
        description="ConfigMap with templates of your own; unset, the built-in ones in eight languages serve.",
    )


class Smtp(_Model):
    """What the workers may connect to and trust."""

    allowed_networks: list[Cidr] = Field(
        default_factory=list,
        max_length=64,
        description="Networks that a mail host may resolve to although they are private or loopback, such as 10.0.0.0/8.",
    )
    ca_config_map_ref: CaBundleRef | None = Field(
        None,
        description="ConfigMap with further authorities that sign the certificates of mail hosts and OAuth token endpoints.",
    )


class Database(_Model):
    """The PostgreSQL database that holds the fleet."""

    url_secret_ref: DatabaseUrlRef = Field(
        description="Secret with the workers' URL and, where they are private, the server's authorities in its key ca.crt."
    )
    owner_url_secret_ref: DatabaseUrlRef | None = Field(
        None,
        description="Secret with the URL of the schema's owner (and ca.crt), for the operator; unset, the workers' URL serves.",
    )
    migrations: Literal["Auto", "Manual"] = Field(
        "Auto",
        description="Auto lets the operator bring the schema up to date; Manual waits for warmup database upgrade.",
    )
    max_connections: int = Field(
        150,
        ge=1 + APART,
        le=MOST_CONNECTIONS,
        description="Most connections of the whole fleet to the database; a worker shares what there is, 3 at most.",
    )
    retention_days: int = Field(
        90, ge=2, le=3650, description="Days the ledger is kept before its partitions are dropped."
    )


class OAuth(_Model):
    """How mailboxes log in that have no password."""

    applications_secret_ref: ApplicationsRef | None = Field(
        None,
        description="Secret with the OAuth applications whose mailboxes log in with tokens; unset, all have passwords.",
    )


class Encryption(_Model):
    """Where the keys for stored credentials come from."""

    keys_secret_ref: KeysRef = Field(
        description="Secret with the keys that the stored credentials are encrypted with."
    )


class WarmupFleetSpec(_Model):
    """What the user wants."""

    emails_per_mailbox_per_day: int = Field(
        30,
        ge=1,
        le=2000,
        description="Most mails that each active mailbox sends a day: all of them when its ramp is over.",
    )
    time_zone: str = Field(
        "UTC",
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_+/-]+$",
        description="IANA time zone of the quota's day and of the schedule; a change takes effect at the later midnight.",
    )
    ramp: Ramp = Field(
        default_factory=Ramp,
        description="How many mails a mailbox sends on its first days, until it has its full number.",
    )
    schedule: Schedule = Field(
        default_factory=Schedule, description="Days and daily window in which mails are sent."
    )
    workers: Workers = Field(default_factory=Workers, description="Number, size and pods of the workers.")
    pacing: Pacing = Field(
        default_factory=Pacing, description="How a day's mails are spread over the window."
    )
    limits: Limits = Field(
        default_factory=Limits,
        description="Most mails in a rolling minute, hour or day, counted when a mail is claimed.",
    )
    recipients: Recipients = Field(
        default_factory=Recipients, description="Whom the mailboxes write to, and how often they answer."
    )
    content: Content = Field(default_factory=Content, description="What the mails say.")
    smtp: Smtp = Field(
        default_factory=Smtp, description="What the workers may connect to and whose certificates they trust."
    )
    database: Database = Field(
        description="PostgreSQL database that holds the mailboxes and the ledger; one fleet each."
    )
    encryption: Encryption = Field(description="Keys for the stored credentials.")
    oauth: OAuth = Field(default_factory=OAuth, description="How mailboxes log in that have no password.")
    paused: bool = Field(False, description="Stops sending within seconds and keeps the pods.")
    deletion_policy: Literal["Retain", "Purge"] = Field(
        "Retain",
        description="Retain leaves the database when the fleet is deleted; Purge empties it: mailboxes, ledger, everything.",
    )

    @classmethod
    def stored(cls, raw: Any) -> Self:
        """The spec as an API server has it. Raises ValidationError.

        What this release does not know is a newer CRD's, and passed over: the CRD is upgraded first and fills in the defaults of
        its new fields, so every fleet would be unreadable until the operator is, too. Mistakes are the API server's to refuse.
        """
        return cls.model_validate(raw, extra="ignore")
