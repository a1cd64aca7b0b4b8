"""The tables of one fleet, as SQLAlchemy metadata: the names and types that queries are built from.

The migrations make the schema; a test holds the two equal. What the database itself promises:

- ``mails.state`` is one of four words, and ``mails`` has one open intent a mailbox and day (unique partial index);
- ``mailboxes.in_flight`` holds at most one mail, across days;
- ``0 <= sent + in_doubt <= spent <= quota`` for every mailbox and day.

``mails`` and ``quotas`` are partitioned by day. Every instant is written by the database's clock.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

incarnations = Sequence("incarnations", metadata=metadata)
mail_ids = Sequence("mail_ids", metadata=metadata)


def readable(column: str) -> str:
    """SQL: the end of a rest or a pause, but none that Python has no date for. The database has such years, and rows may hold
    what a server once asked for. NULL stays NULL, which ``least`` would not let it."""
    latest = "timestamptz '3000-01-01 00:00:00+00'"
    return f"CASE WHEN {column} > {latest} THEN {latest} ELSE {column} END"


_instant = DateTime(timezone=True)

fleet = Table(
    "fleet",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default=text("1"), autoincrement=False),
    Column("owner_cluster", Text, nullable=False),
    Column("owner_namespace", Text, nullable=False),
    Column("owner_name", Text, nullable=False),
    Column("owner_uid", Text, nullable=False),
    Column("generation", BigInteger, nullable=False, server_default=text("0")),
    Column("token", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False, server_default=text("1")),
    Column("worker_count", Integer, nullable=False, server_default=text("0")),
    Column("settings", JSONB, nullable=False),
    Column("settings_version", BigInteger, nullable=False, server_default=text("1")),
    Column("paused", Boolean, nullable=False, server_default=text("false")),
    Column("deleted", Boolean, nullable=False, server_default=text("false")),
    Column("time_zone", Text, nullable=False, server_default=text("'UTC'")),
    Column("next_time_zone", Text),
    Column("next_time_zone_at", _instant),
    Column("resized_at", _instant),
    Column("growing_since", _instant),
    Column("failed_target", Integer),
    Column("retry_after", _instant),
    Column("failed_attempts", Integer, nullable=False, server_default=text("0")),
    Column("failed_reason", Text, nullable=False, server_default=text("''")),
    CheckConstraint("id = 1", name="fleet_one_row"),
    CheckConstraint("worker_count >= 0", name="fleet_worker_count"),
    CheckConstraint("(next_time_zone IS NULL) = (next_time_zone_at IS NULL)", name="fleet_next_time_zone"),
)

workers = Table(
    "workers",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("incarnation", BigInteger, nullable=False),
    Column("lease_until", _instant, nullable=False),
    Column("started_at", _instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("host", Text, nullable=False, server_default=text("''")),
    Column("version", Text, nullable=False, server_default=text("''")),
    Column("send_seconds", Double),
    Column("sends_per_second", Double),
    Column("wanted_count", Integer),
    CheckConstraint("number >= 1", name="workers_number"),
)

users = Table(
    "users",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
)

mailboxes = Table(
    "mailboxes",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    Column("address", Text, nullable=False, unique=True),
    Column("display_name", Text, nullable=False, server_default=text("''")),
    Column("smtp_host", Text, nullable=False),
    Column("smtp_port", Integer, nullable=False),
    Column("smtp_security", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("in_flight", BigInteger),
    Column("not_before", _instant, nullable=False, server_default=text("'-infinity'")),
    Column("hold_reason", Text),
    Column("changed_at", _instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("enrolled_at", _instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("ramp_day", Integer, nullable=False, server_default=text("0")),
    Column("ramp_on", Date),
    Column("quota_override", Integer),
    Column("strikes", Integer, nullable=False, server_default=text("0")),
    Column("window_from", Integer),
    Column("window_to", Integer),
    Column("time_zone", Text),
    Column("days", Text),
    CheckConstraint("smtp_security IN ('starttls', 'tls')", name="mailboxes_smtp_security"),
    CheckConstraint("smtp_port BETWEEN 1 AND 65535", name="mailboxes_smtp_port"),
    CheckConstraint("ramp_day >= 0", name="mailboxes_ramp_day"),
    CheckConstraint("quota_override >= 0", name="mailboxes_quota_override"),
    CheckConstraint(
        "time_zone IS NULL OR (timestamptz '2000-01-01 00:00:00Z' AT TIME ZONE time_zone) IS NOT NULL",
        name="mailboxes_time_zone",
    ),
    CheckConstraint(
        "days ~ '^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)(,(Mon|Tue|Wed|Thu|Fri|Sat|Sun)){0,6}$'", name="mailboxes_days"
    ),
    CheckConstraint(
        "(window_from IS NULL) = (window_to IS NULL)"
        " AND window_from BETWEEN 0 AND 86399 AND window_to BETWEEN 1 AND 86400",
        name="mailboxes_window",
    ),
    Index("mailboxes_changed_at", "changed_at"),
    Index(
        "mailboxes_own_hours",
        "window_from",
        "window_to",
        "time_zone",
        "days",
        postgresql_where=text("num_nonnulls(window_from, time_zone, days) > 0"),
    ),
)

credentials = Table(
    "credentials",
    metadata,
    Column("mailbox_id", BigInteger, ForeignKey("mailboxes.id", ondelete="CASCADE"), primary_key=True),
    Column("username", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    CheckConstraint("octet_length(nonce) = 12", name="credentials_nonce"),
    UniqueConstraint("key_id", "nonce", name="credentials_nonce_once"),
)

oauth_tokens = Table(
    "oauth_tokens",
    metadata,
    Column("mailbox_id", BigInteger, ForeignKey("mailboxes.id", ondelete="CASCADE"), primary_key=True),
    Column("username", Text, nullable=False),
    Column("application", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("access_until", _instant),
    Column("refresh_until", _instant),
    CheckConstraint("octet_length(nonce) = 12", name="oauth_tokens_nonce"),
    UniqueConstraint("key_id", "nonce", name="oauth_tokens_nonce_once"),
)

quotas = Table(
    "quotas",
    metadata,
    Column("day", Date, primary_key=True),
    Column("mailbox_id", BigInteger, primary_key=True, autoincrement=False),
    Column("quota", Integer, nullable=False),
    Column("spent", Integer, nullable=False, server_default=text("0")),
    Column("sent", Integer, nullable=False, server_default=text("0")),
    Column("in_doubt", Integer, nullable=False, server_default=text("0")),
    Column("failed", Integer, nullable=False, server_default=text("0")),
    Column("missed", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("spent BETWEEN 0 AND quota", name="quotas_not_exceeded"),
    CheckConstraint("missed >= 0", name="quotas_missed"),
    CheckConstraint("sent >= 0 AND in_doubt >= 0 AND sent + in_doubt <= spent", name="quotas_add_up"),
    postgresql_partition_by="RANGE (day)",
)

mails = Table(
    "mails",
    metadata,
    Column("day", Date, primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("mailbox_id", BigInteger, nullable=False),
    Column("recipient_id", BigInteger, nullable=False),
    Column("k", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("incarnation", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("claimed_at", _instant, nullable=False),
    Column("dot_at", _instant),
    Column("settled_at", _instant),
    Column("phase", Text),
    Column("reply", Text),
    Column("thread_id", BigInteger),
    Column("answers_id", BigInteger),
    Column("turn", SmallInteger),
    CheckConstraint("state IN ('intent', 'sent', 'failed', 'in_doubt')", name="mails_state"),
    CheckConstraint("(state = 'intent') = (settled_at IS NULL)", name="mails_settled"),
    CheckConstraint(
        "num_nulls(thread_id, answers_id, turn) IN (0, 3) AND turn > 0",
        name="mails_thread",
    ),
    Index("mails_one_open", "day", "mailbox_id", unique=True, postgresql_where=text("state = 'intent'")),
    Index("mails_open_since", "claimed_at", postgresql_where=text("state = 'intent'")),
    Index("mails_settled_at", "settled_at"),
    Index("mails_of_mailbox", "mailbox_id", "claimed_at"),
    postgresql_partition_by="RANGE (day)",
)

rate_limits = Table(
    "rate_limits",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("tat", _instant, nullable=False, server_default=text("'-infinity'")),
)

pauses = Table(
    "pauses",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("until", _instant),
    Column("per_minute", Integer),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("rule", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", _instant, nullable=False, server_default=text("clock_timestamp()")),
    CheckConstraint(
        "scope IN ('recipient', 'tenant', 'domain', 'provider', 'egress', 'application')", name="pauses_scope"
    ),
    CheckConstraint("per_minute > 0", name="pauses_per_minute"),
    Index("pauses_since", "since"),
)
