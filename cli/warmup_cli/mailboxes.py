"""``warmup mailboxes``: enrol mailboxes from a file, show what is enrolled, see whether it can log in (``verify``), end holds
(``release``)."""

import asyncio
from typing import Annotated

import typer

from warmup_cli import given, one_day, release, tables, verify
from warmup_cli.connection import Source, transaction
from warmup_core import addresses, enrolment, fleet, mailbox_day, mailboxes
from warmup_core.enrolment import EnrolmentFile, Plan
from warmup_core.fleet import FleetRow
from warmup_core.mailbox_day import MailboxDay
from warmup_core.mailboxes import Shown
from warmup_core.types import Refused

app = typer.Typer(no_args_is_help=True, help="The fleet's mailboxes.")
app.command("verify")(verify.verify)
app.command("release")(release.release)

_LISTED = 20
"""Addresses that a dry run lists of each kind before it only counts."""


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="CSV with headers, or JSON lines; - reads standard input.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change and write nothing.")
    ] = False,
    encoding: Annotated[
        str | None, typer.Option(help="Of the file, where it is not UTF-8; such as windows-1252.")
    ] = None,
) -> None:
    """Enrol the mailboxes of a file, or change those that are enrolled, all or none.

    A CSV file with headers, or JSON lines. Columns: email, user, smtp_host, smtp_port (587), smtp_security (starttls or tls),
    username (the address), display_name; and password, or oauth_application and refresh_token (access_token). For a mailbox
    that is enrolled, only the columns present and not empty change.
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
    rows = asyncio.run(_show(context.obj))
    if not rows:
        typer.echo("No mailbox is enrolled; `warmup mailboxes import FILE` enrols some.")
        return
    table = tables.table("ID", "ADDRESS", "USER", "HOST", "TODAY", "STATE")
    for box in rows:
        host = f"{box.smtp_host}:{box.smtp_port}"
        table.add_row(str(box.id), addresses.readable(box.address), box.user, host, _today(box), _state(box))
    tables.show(table)


@app.command()
def show(
    context: typer.Context,
    mailbox: Annotated[str, typer.Argument(help="Its address in any spelling, or its id.")],
) -> None:
    """Show one mailbox and its day: the account, what holds it and until when, how its latest mails ended."""
    try:
        who = mailbox_day.parse(mailbox)
    except ValueError as error:
        raise Refused(f"{mailbox!r} is neither an id nor an address: {error}.") from None
    found = asyncio.run(_one(context.obj, who))
    if found is None:
        name = f"Mailbox {who}" if isinstance(who, int) else addresses.readable(who)
        raise Refused(f"{name} is not enrolled; `warmup mailboxes list` shows who is.")
    box, day, fleet_row = found
    readable = addresses.readable(box.address)
    lines = {
        "address": box.address if readable == box.address else f"{readable} ({box.address} on the wire)",
        "id": box.id,
        "user": box.user,
        "display name": box.display_name or "-",
        "server": f"{box.smtp_host}:{box.smtp_port}, {box.smtp_security}",
        "username": box.username or "-",
        "login": _login(box),
        "state": _state(box),
        **one_day.lines(day, fleet_row),
        "enrolled": f"{box.enrolled_at:%Y-%m-%d %H:%M:%S %Z}",
        "changed": f"{box.changed_at:%Y-%m-%d %H:%M:%S %Z}",
    }
    for name, value in lines.items():
        typer.echo(f"{name:14}{value}")
    for line in one_day.outcomes(day):
        typer.echo(line)


def _login(box: Shown) -> str:
    if box.key_id is None:
        return "none"
    what = f"tokens of the OAuth application {box.oauth_application}" if box.oauth_application else "password"
    return f"{what}, stored under key {box.key_id}"


async def _one(source: Source, who: int | str) -> tuple[Shown, MailboxDay, FleetRow | None] | None:
    async with transaction(source) as connection:
        mailbox_id = await mailbox_day.find(connection, who)
        day = None if mailbox_id is None else await mailbox_day.read(connection, mailbox_id)
        if day is None:
            return None
        [shown] = await mailboxes.show(connection, day.address)
        return shown, day, await fleet.read(connection)


async def _show(source: Source) -> list[Shown]:
    async with transaction(source) as connection:
        return await mailboxes.show(connection)


def _today(box: Shown) -> str:
    if box.quota is None:
        return "no quota yet"
    return f"{box.sent}/{box.quota} sent" + (f", {box.in_doubt} in doubt" if box.in_doubt else "")


def _state(box: Shown) -> str:
    state = "active" if box.active else "paused"
    return f"{state}, held: {box.hold_reason}" if box.hold_reason else state
