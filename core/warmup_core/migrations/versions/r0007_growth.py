"""What the fleet remembers of a growth that takes long or failed, and the count that a worker's own environment asks for.

A growth stands in the row, so that an operator that starts anew knows since when it lasts and what not to try again.
``workers.wanted_count`` is WARMUP_WORKER_COUNT where there is no operator. Only adds: workers of the release before go on.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_STATEMENTS = [
    """
    ALTER TABLE fleet
        ADD COLUMN growing_since timestamptz,
        ADD COLUMN failed_target integer,
        ADD COLUMN retry_after timestamptz,
        ADD COLUMN failed_attempts integer NOT NULL DEFAULT 0,
        ADD COLUMN failed_reason text NOT NULL DEFAULT ''
    """,
    "ALTER TABLE workers ADD COLUMN wanted_count integer",
]


def upgrade() -> None:
    """Apply."""
    for statement in _STATEMENTS:
        op.execute(statement)
