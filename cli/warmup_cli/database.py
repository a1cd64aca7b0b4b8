"""``warmup database``: bring the schema up to date, make a restored one safe, and say what the database holds."""

import asyncio
import secrets
from typing import Annotated

import typer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_cli.connection import Source, Unavailable, engine_on, transaction
from warmup_core import fleet, partitions, schema
from warmup_core import restored as restoring
from warmup_core.database import explain, sessions, sqlstate
from warmup_core.restored import Done
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
    # However long a migration or a move of rows takes: whoever asked for it waits for it.
    async with engine_on(await source.url(), statement_seconds=None) as engine:
        before = await schema.upgrade(engine)
        if before.current:
            typer.echo(f"The schema is at {before.wanted}; there is nothing to do.")
        else:
            typer.echo(f"The schema was at {before.found or 'none'} and is at {before.wanted} now.")
        async with engine.connect() as connection:
            today = await connection.scalar(text("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date"))
        kept = await partitions.upkeep(engine.begin, today, _KEEP_ALL_DAYS)
        for name, error in kept.failed.items():
            typer.echo(f"The partition {name} was not made: {explain(error, engine.url)}", err=True)
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
    """Say which schema the database has, whose it is, what it holds and how many sessions it has. Exit code 1 if outdated."""
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
        used = await sessions(connection)
        typer.echo(f"sessions   {used} of {row.settings.max_connections} that the fleet may use")
    counts = (
        await connection.execute(
            text("SELECT count(*) AS boxes, count(DISTINCT user_id) AS users FROM mailboxes")
        )
    ).one()
    typer.echo(f"mailboxes  {counts.boxes} of {counts.users} users")


@app.command()
def restored(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """After a restore from a backup, before any worker starts: count what may have been sent since the backup as sent.

    The rest of the quotas of today (and of yesterday, where the backup is of yesterday or older) counts as in doubt, the fleet
    gets a new token and a new epoch, and nothing is sent until its day is over.
    """
    done = asyncio.run(_restored(context.obj, dry_run))
    if done is None:
        typer.echo("Nobody owns this database; there is nothing to do.")
        return
    if dry_run:
        typer.echo("Nothing is changed; without --dry-run this is done:")
    since = done.unknown.since
    known = (
        "nothing was ever sent"
        if since is None
        else f"a worker was last heard of at {since:%Y-%m-%d %H:%M:%S} UTC"
    )
    typer.echo(f"backup     {known}; what was sent after that is unknown")
    for day, (mails, boxes) in done.doubted.items():
        typer.echo(f"{day} {mails} mails of {boxes} mailboxes count as in doubt")
    typer.echo(f"fleet      epoch {done.epoch} and a new token; what ran before is replaced")
    typer.echo(
        f"pause      {', '.join(done.hosts) or 'no mail host'} until {done.unknown.resumes:%Y-%m-%d %H:%M} UTC"
    )


async def _restored(source: Source, dry_run: bool) -> Done | None:
    async with transaction(source, writes=True) as connection:
        trial = await connection.begin_nested()
        done = await restoring.make_safe(connection, secrets.token_hex(4))
        if dry_run:
            await trial.rollback()
        return done
