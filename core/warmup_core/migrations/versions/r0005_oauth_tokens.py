"""OAuth mailboxes: their tokens, sealed; and pauses of an OAuth application.

A table of their own, because workers write it (providers rotate refresh tokens) and must not write passwords. ``nonce`` is new
with each writing, so it names the version that a compare-and-set asks for. ``access_until``: when the access token ends;
``refresh_until``: until when somebody refreshes. Only adds: workers of the release before find no password and wait.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATEMENTS = [
    """
    CREATE TABLE oauth_tokens (
        mailbox_id     bigint PRIMARY KEY REFERENCES mailboxes (id) ON DELETE CASCADE,
        username       text NOT NULL,
        application    text NOT NULL,
        key_id         text NOT NULL,
        nonce          bytea NOT NULL CONSTRAINT oauth_tokens_nonce CHECK (octet_length(nonce) = 12),
        ciphertext     bytea NOT NULL,
        access_until   timestamptz,
        refresh_until  timestamptz,
        CONSTRAINT oauth_tokens_nonce_once UNIQUE (key_id, nonce)
    )
    """,
    """
    ALTER TABLE pauses
        DROP CONSTRAINT pauses_scope,
        ADD CONSTRAINT pauses_scope
            CHECK (scope IN ('recipient', 'tenant', 'domain', 'provider', 'egress', 'application'))
    """,
]


def upgrade() -> None:
    """Apply."""
    for statement in _STATEMENTS:
        op.execute(statement)
