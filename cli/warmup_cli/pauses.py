"""``warmup pauses``: what servers' replies made pause beyond one mailbox, and ending such a pause."""

import asyncio
from typing import Annotated

import typer

from warmup_cli import tables
from warmup_cli.connection import Source, transaction
from warmup_core import pauses
from warmup_core.pauses import Shown
from warmup_core.types import Refused

app = typer.Typer(no_args_is_help=True, help="Recipients, users, domains and providers that pause.")


@app.command("list")
def list_(context: typer.Context) -> None:
    """List every pause in force: who, until when, and what the server said."""
    shown = asyncio.run(_list(context.obj))
    if not shown:
        typer.echo("Nothing pauses. Mailboxes that are held by themselves: `warmup mailboxes list`.")
        return
    table = tables.table("SCOPE", "KEY", "WHO", "UNTIL", "WHY", folds="WHY")
    for pause in shown:
        table.add_row(pause.scope, pause.key, pause.who, _until(pause), f"{pause.rule}: {pause.reason}")
    tables.show(table)


def _until(pause: Shown) -> str:
    until = "a person ends it" if pause.until is None else f"{pause.until:%Y-%m-%d %H:%M} UTC"
    return f"{until} ({pause.per_minute} a minute)" if pause.per_minute else until


async def _list(source: Source) -> list[Shown]:
    async with transaction(source) as connection:
        return await pauses.in_force(connection)


@app.command()
def end(
    context: typer.Context,
    scope: Annotated[str, typer.Argument(help="As `warmup pauses list` shows it.")],
    key: Annotated[str, typer.Argument(help="As `warmup pauses list` shows it.")],
) -> None:
    """End a pause because what was wrong is mended. Running workers hear of it within seconds."""
    if not asyncio.run(_end(context.obj, scope, key)):
        raise Refused(f"No pause of {scope} {key} is in force; `warmup pauses list` shows which are.")
    typer.echo(f"The pause of {scope} {key} is ended.")


async def _end(source: Source, scope: str, key: str) -> bool:
    async with transaction(source, writes=True) as connection:
        return await pauses.end(connection, scope, key)
