"""What the fleet is sized by: what each worker measured of its sends, and when the count last changed.

Only adds: workers of the release before go on, and leave the new columns empty.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_STATEMENTS = [
    """
    ALTER TABLE workers
        ADD COLUMN send_seconds double precision,
        ADD COLUMN sends_per_second double precision
    """,
    "ALTER TABLE fleet ADD COLUMN resized_at timestamptz",
]


def upgrade() -> None:
    """Apply."""
    for statement in _STATEMENTS:
        op.execute(statement)
