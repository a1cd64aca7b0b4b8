"""Rate limits: a bucket a scope, and an index that counts what a mailbox claimed in the last 24 hours.

A row of ``rate_limits`` is the theoretical arrival time of the generic cell rate algorithm. It changes with every reservation,
so pages keep room for its new versions. Only adds: workers of the release before go on.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STATEMENTS = [
    """
    CREATE TABLE rate_limits (
        scope  text PRIMARY KEY,
        tat    timestamptz NOT NULL DEFAULT '-infinity'
    ) WITH (fillfactor = 50)
    """,
    "CREATE INDEX mails_of_mailbox ON mails (mailbox_id, claimed_at)",
]


def upgrade() -> None:
    """Apply."""
    for statement in _STATEMENTS:
        op.execute(statement)
