"""Alembic's entry: runs migrations on the connection that `Database.migrate` passes in."""

from alembic import context

from kos.server.core.db.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
