"""Hours of a mailbox's own: window, time zone, working days. Null: as the fleet. Only adds: workers of the release before go on.

Those send such a mailbox's mails in the fleet's window until they are replaced.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_STATEMENTS = [
    """
    ALTER TABLE mailboxes
        ADD COLUMN window_from integer,
        ADD COLUMN window_to integer,
        ADD COLUMN time_zone text CONSTRAINT mailboxes_time_zone
            CHECK (time_zone IS NULL OR (timestamptz '2000-01-01 00:00:00Z' AT TIME ZONE time_zone) IS NOT NULL),
        ADD COLUMN days text CONSTRAINT mailboxes_days
            CHECK (days ~ '^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)(,(Mon|Tue|Wed|Thu|Fri|Sat|Sun)){0,6}$'),
        ADD CONSTRAINT mailboxes_window CHECK (
            (window_from IS NULL) = (window_to IS NULL)
            AND window_from BETWEEN 0 AND 86399 AND window_to BETWEEN 1 AND 86400)
    """,
]


def upgrade() -> None:
    """Apply."""
    for statement in _STATEMENTS:
        op.execute(statement)
