"""The mails that a part of a quota day lacked when it was over: the day does not make them up. Only adds.

Nothing is claimed by it; it tells the operator what will not come any more while another part of the day is still open.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_STATEMENTS = [
    "ALTER TABLE quotas ADD COLUMN missed integer NOT NULL DEFAULT 0 CONSTRAINT quotas_missed CHECK (missed >= 0)",
]


def upgrade() -> None:
    """Apply."""
    for statement in _STATEMENTS:
        op.execute(statement)
