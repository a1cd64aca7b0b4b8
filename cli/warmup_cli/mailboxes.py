"""``warmup mailboxes``: enrol mailboxes from a file, and show what is enrolled."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from warmup_cli import given
from warmup_cli.connection import Source, transaction
from warmup_core import addresses, enrolment, mailboxes
from warmup_core.enrolment import EnrolmentFile, Plan
from warmup_core.mailboxes import Shown
from warmup_core.types import Refused

app = typer.Typer(no_args_is_help=True, help="The fleet's mailboxes.")

_LISTED = 20
"""Addresses that a dry run lists of each kind before it only counts."""


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="CSV with headers; - reads standard input.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change and write nothing.")
    ] = False,
    encoding: Annotated[
        str | None, typer.Option(help="Of the file, where it is not UTF-8; such as windows-1252.")
    ] = None,
) -> None:
    """Enrol the mailboxes of a CSV file, or change those that are enrolled, all or none.

    Columns: email, user, smtp_host, smtp_port (587), smtp_security (starttls or tls), username (the address), password,
    display_name. For a mailbox that is enrolled, only the columns present and not empty change.
    """
    parsed = enrolment.parse(given.read(file), encoding)
    asyncio.run(_import(context.obj, parsed, dry_run))


async def _import(source: Source, file: EnrolmentFile, dry_run: bool) -> None:
    keys = await source.keys()
    async with transaction(source, writes=not dry_run) as connection:
        changes = await mailboxes.enrol(connection, file, keys, dry_run=dry_run)
    if file.ignored:
        typer.echo(f"Columns without meaning here, not read: {', '.join(file.ignored)}", err=True)
    if dry_run:
        _list(changes)
    verb = "would be " if dry_run else ""
    typer.echo(
        f"{len(changes.added)} {verb}added, {len(changes.changed)} {verb}changed, {len(changes.untouched)} untouched."
    )


def _list(changes: Plan) -> None:
    kinds = {
        "added": [addresses.readable(mailbox.email) for mailbox in changes.added],
        "changed": [
            f"{addresses.readable(change.mailbox.email)} ({', '.join(change.columns)})"
            for change in changes.changed
        ],
        "untouched": [addresses.readable(email) for email in changes.untouched],
    }
    for kind, lines in kinds.items():
        for line in lines[:_LISTED]:
            typer.echo(f"{kind:10}{line}")
        if len(lines) > _LISTED:
            typer.echo(f"{kind:10}... and {len(lines) - _LISTED} more")


@app.command("list")
def list_(context: typer.Context) -> None:
    """List every mailbox with today's account."""
    rows = asyncio.run(_show(context.obj, None))
    if not rows:
        typer.echo("No mailbox is enrolled; `warmup mailboxes import FILE` enrols some.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("ID", "ADDRESS", "USER", "HOST", "TODAY", "STATE"):
        table.add_column(heading, no_wrap=True)
    for box in rows:
        host = f"{box.smtp_host}:{box.smtp_port}"
        table.add_row(str(box.id), addresses.readable(box.address), box.user, host, _today(box), _state(box))
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 500
    console.print(table)


@app.command()
def show(context: typer.Context, address: Annotated[str, typer.Argument(help="In any spelling.")]) -> None:
    """Show one mailbox."""
    try:
        stored = addresses.canonical(address)
    except ValueError as error:
        raise Refused(f"{address!r} is not an address: {error}.") from None
    rows = asyncio.run(_show(context.obj, stored))
    if not rows:
        raise Refused(f"{addresses.readable(stored)} is not enrolled; `warmup mailboxes list` shows who is.")
    [box] = rows
    readable = addresses.readable(box.address)
    lines = {
        "address": box.address if readable == box.address else f"{readable} ({box.address} on the wire)",
        "id": box.id,
        "user": box.user,
        "display name": box.display_name or "-",
        "server": f"{box.smtp_host}:{box.smtp_port}, {box.smtp_security}",
        "username": box.username or "-",
        "password": f"stored under key {box.key_id}" if box.key_id else "none",
        "state": _state(box),
        "today": _today(box),
        "enrolled": f"{box.enrolled_at:%Y-%m-%d %H:%M:%S %Z}",
        "changed": f"{box.changed_at:%Y-%m-%d %H:%M:%S %Z}",
    }
    for name, value in lines.items():
        typer.echo(f"{name:14}{value}")


async def _show(source: Source, address: str | None) -> list[Shown]:
    async with transaction(source) as connection:
        return await mailboxes.show(connection, address)


def _today(box: Shown) -> str:
    if box.quota is None:
        return "no quota yet"
    return f"{box.sent}/{box.quota} sent" + (f", {box.in_doubt} in doubt" if box.in_doubt else "")


def _state(box: Shown) -> str:
    state = "active" if box.active else "paused"
    return f"{state}, held: {box.hold_reason}" if box.hold_reason else state
