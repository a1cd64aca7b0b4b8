"""Threads: which mail of the same day a mail answers, the first of its thread, and how many came before.

Null for mails that begin a thread, where they take no room. Only adds: workers of the release before go on.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATEMENTS = [
    """
    ALTER TABLE mails ADD COLUMN thread_id bigint, ADD COLUMN answers_id bigint, ADD COLUMN turn smallint,
        ADD CONSTRAINT mails_thread CHECK (num_nulls(thread_id, answers_id, turn) IN (0, 3) AND turn > 0)
    """,
]


def upgrade() -> None:
    """Apply."""
    for statement in _STATEMENTS:
        op.execute(statement)
