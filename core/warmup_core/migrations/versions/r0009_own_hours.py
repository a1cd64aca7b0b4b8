"""An index on the few mailboxes with hours of their own: the operator asks for theirs at every look. Only adds."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute(
        "CREATE INDEX mailboxes_own_hours ON mailboxes (window_from, window_to, time_zone, days)"
        " WHERE num_nonnulls(window_from, time_zone, days) > 0"
    )
