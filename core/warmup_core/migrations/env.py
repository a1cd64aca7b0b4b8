"""Alembic's entry: runs the migrations on the connection that ``schema.upgrade`` hands over, inside its transaction.

There is no offline mode and no URL here: who may migrate, under which lock and until when is decided in ``schema``.
"""

from alembic import context

from warmup_core.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
