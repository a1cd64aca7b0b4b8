"""``warmup database``: bring the schema up to date, and say what the database holds."""

import asyncio
from typing import Annotated

import typer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_cli.connection import Source, Unavailable, engine_on
from warmup_core import fleet, partitions, schema
from warmup_core.database import sqlstate
from warmup_core.schema import SchemaVersion

app = typer.Typer(no_args_is_help=True, help="The fleet's database.")

_UNDEFINED_OBJECT = "42704"
_KEEP_ALL_DAYS = 36_500
"""Partitions are dropped by the fleet, which knows its retention."""


@app.command()
def upgrade(
    context: typer.Context,
    worker_role: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE", help="Grant this role, which must exist, what a worker needs and no more."
        ),
    ] = None,
) -> None:
    """Bring the schema to this release's version and make the next days' partitions. Safe to run again, and while workers run."""
    asyncio.run(_upgrade(context.obj, worker_role))


async def _upgrade(source: Source, worker_role: str | None) -> None:
    async with engine_on(await source.url()) as engine:
        before = await schema.upgrade(engine)
        if before.current:
            typer.echo(f"The schema is at {before.wanted}; there is nothing to do.")
        else:
            typer.echo(f"The schema was at {before.found or 'none'} and is at {before.wanted} now.")
        async with engine.connect() as connection:
            today = await connection.scalar(text("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date"))
        await partitions.upkeep(engine.begin, today, _KEEP_ALL_DAYS)
        if worker_role is None:
            return
        async with engine.begin() as connection:
            try:
                await schema.grant_worker(connection, worker_role)
            except Exception as error:
                if sqlstate(error) == _UNDEFINED_OBJECT:
                    raise Unavailable(
                        f"There is no role {worker_role!r}; make it first: CREATE ROLE {worker_role} LOGIN PASSWORD '...'"
                    ) from None
                raise
        typer.echo(f"The role {worker_role} has what a worker needs.")


@app.command()
def status(context: typer.Context) -> None:
    """Say which schema the database has, whose it is, and how many mailboxes and workers it knows. Exit code 1 if outdated."""
    asyncio.run(_status(context.obj))


async def _status(source: Source) -> None:
    async with engine_on(await source.url()) as engine, engine.connect() as connection:
        version = await schema.version(connection)
        typer.echo(f"schema     {version.found or 'none'} ({_verdict(version)})")
        if version.found is not None:
            await _tell_contents(connection)
        if not version.current:
            raise typer.Exit(1)


def _verdict(version: SchemaVersion) -> str:
    if version.current:
        return "up to date"
    if not version.known:
        return f"newer than this release, which knows {version.wanted}"
    return f"this release needs {version.wanted}: run `warmup database upgrade`"


async def _tell_contents(connection: AsyncConnection) -> None:
    row = await fleet.read(connection)
    if row is None:
        typer.echo("fleet      none yet: nobody owns this database")
    else:
        typer.echo(f"fleet      {row.owner}, epoch {row.epoch}{', paused' if row.paused else ''}")
        typer.echo(f"workers    {len(await fleet.live_workers(connection))} live of {row.worker_count}")
    counts = (
        await connection.execute(
            text("SELECT count(*) AS boxes, count(DISTINCT user_id) AS users FROM mailboxes")
        )
    ).one()
    typer.echo(f"mailboxes  {counts.boxes} of {counts.users} users")
