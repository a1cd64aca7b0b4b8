"""``warmup mailboxes release``: end the holds of mailboxes when what was wrong is mended where no import tells of it."""

import asyncio
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_cli.connection import Source, transaction
from warmup_core import holds, mailbox_day
from warmup_core.holds import Released
from warmup_core.pauses import Shown
from warmup_core.types import Refused


def release(
    context: typer.Context,
    mailboxes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MAILBOX]...", help="Addresses in any spelling, or ids.", show_default=False),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="All that are held by this rule, as `warmup report` names it."),
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="All that are held.")] = False,
) -> None:
    """Let mailboxes go on that are held, because what was wrong is mended. Running workers hear of it within seconds.

    A login or server that was wrong in the file needs no release: its import ends the hold. No cooldown is cut short.
    """
    named = mailboxes or []
    if (bool(named), reason is not None, everyone).count(True) != 1:
        raise Refused("Name mailboxes, or give --reason RULE, or --all: one of the three.")
    done = asyncio.run(_release(context.obj, named, reason))
    typer.echo(
        f"{_mailboxes(done.mailboxes)} released." if done.mailboxes or named else "No mailbox is held."
    )
    if others := len(named) - done.mailboxes if named else 0:
        typer.echo(f"{_mailboxes(others)} not held.")
    for line in _left(done):
        typer.echo(line)


async def _release(source: Source, named: list[str], reason: str | None) -> Released:
    async with transaction(source, writes=True) as connection:
        ids = await (_named(connection, named) if named else _held_by(connection, reason))
        return await holds.release(connection, ids)


async def _named(connection: AsyncConnection, named: list[str]) -> list[int]:
    """The ids of these mailboxes. Refuses all where one is not enrolled."""
    ids, faults = list[int](), list[str]()
    for name in dict.fromkeys(named):
        try:
            found = await mailbox_day.find(connection, mailbox_day.parse(name))
        except ValueError as error:
            faults.append(f"{name!r} is neither an id nor an address: {error}")
            continue
        if found is None or await mailbox_day.read(connection, found) is None:
            faults.append(f"{name} is not enrolled")
        else:
            ids.append(found)
    if faults:
        raise Refused("No mailbox was released; `warmup mailboxes list` shows who is enrolled.", faults)
    return ids


async def _held_by(connection: AsyncConnection, rule: str | None) -> list[int]:
    ids = await holds.of_rule(connection, rule)
    if rule is not None and not ids:
        there = ", ".join(f"{name} ({count})" for name, count in (await holds.rules(connection)).items())
        raise Refused(f"No mailbox is held by {rule!r}; {f'held now: {there}' if there else 'none is held'}.")
    return ids


def _left(done: Released) -> list[str]:
    """What stops them all the same."""
    lines = [f"still paused: {_pause(it)}" for it in done.pauses] if done.mailboxes else []
    if done.inactive:
        lines.append(
            f"{_mailboxes(done.inactive, 'of them are', 'of them is')} not active, so nothing is sent from there."
        )
    if done.fleet_paused:
        lines.append("The fleet is paused: nothing is sent.")
    return lines


def _pause(pause: Shown) -> str:
    until = f"until {pause.until:%Y-%m-%d %H:%M} UTC" if pause.until else "until a person ends it"
    rate = f", {pause.per_minute} a minute" if pause.per_minute else ""
    return f"{pause.scope} {pause.who} {until}{rate}: {pause.rule}; `warmup pauses end {pause.scope} {pause.key}`"


def _mailboxes(count: int, many: str = "mailboxes are", one: str = "mailbox is") -> str:
    return f"{count} {one if count == 1 else many}"
