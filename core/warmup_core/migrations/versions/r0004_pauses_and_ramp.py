"""Pauses of whoever a server's reply concerns, beyond one mailbox; and how far each mailbox is on its ramp.

``pauses.since`` moves with every change, so that workers read what is new. Only adds: workers of the release before go on.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATEMENTS = [
    """
    CREATE TABLE pauses (
        scope       text NOT NULL
            CONSTRAINT pauses_scope CHECK (scope IN ('recipient', 'tenant', 'domain', 'provider', 'egress')),
        key         text NOT NULL,
        until       timestamptz,
        per_minute  integer CONSTRAINT pauses_per_minute CHECK (per_minute > 0),
        attempt     integer NOT NULL DEFAULT 0,
        rule        text NOT NULL,
        reason      text NOT NULL,
        since       timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (scope, key)
    )
    """,
    "CREATE INDEX pauses_since ON pauses (since)",
    """
    ALTER TABLE mailboxes
        ADD COLUMN ramp_day integer NOT NULL DEFAULT 0 CONSTRAINT mailboxes_ramp_day CHECK (ramp_day >= 0),
        ADD COLUMN ramp_on date,
        ADD COLUMN quota_override integer CONSTRAINT mailboxes_quota_override CHECK (quota_override >= 0),
        ADD COLUMN strikes integer NOT NULL DEFAULT 0
    """,
]


def upgrade() -> None:
    """Apply."""
    for statement in _STATEMENTS:
        op.execute(statement)
