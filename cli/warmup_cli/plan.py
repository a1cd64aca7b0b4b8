"""``warmup plan``: how many workers, which limits, what money; before anything is applied, or for the fleet that runs.

Exit codes: 0 the plan fits, 3 a quota cannot be met or a limit is too low, 2 bad input, 1 the fleet could not be looked at.
"""

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from warmup_cli import given, plan_shown, plan_subject
from warmup_core import costs, feasibility, plan, shortfalls
from warmup_core.costs import PriceList

DOES_NOT_FIT = 3
_YEAR_DAYS = 366

_PRICES = Path(__file__).parent / "costs.yaml"
_FLEET, _PACE, _COUNT, _LIMITS = "Mailboxes", "Pacing", "Workers", "Limits"


def command(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", "-f", metavar="FILE|-", help="A manifest with one WarmupFleet; - reads standard input."
        ),
    ] = None,
    mailboxes: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=_FLEET, help="How many; else those of the running fleet."),
    ] = None,
    users: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=_FLEET, help="Users that they belong to, evenly.")
    ] = None,
    domains: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=_FLEET, help="Domains of their addresses, evenly.")
    ] = None,
    hosts: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=_FLEET, help="Mail hosts that they submit to, evenly."),
    ] = None,
    mails: Annotated[
        int | None, typer.Option(rich_help_panel=_FLEET, help="Mails a mailbox and day.")
    ] = None,
    mail_bytes: Annotated[
        int, typer.Option(min=1, rich_help_panel=_FLEET, help="Size of a mail as it is received.")
    ] = plan.MAIL_BYTES,
    window: Annotated[
        str | None, typer.Option(metavar="FROM-TO", rich_help_panel=_PACE, help="Such as 08:00-18:00.")
    ] = None,
    cooldown_min: Annotated[
        str | None, typer.Option(metavar="DURATION", rich_help_panel=_PACE, help="Such as 2m.")
    ] = None,
    cooldown_max: Annotated[
        str | None, typer.Option(metavar="DURATION", rich_help_panel=_PACE, help="Such as 5m.")
    ] = None,
    send: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            rich_help_panel=_PACE,
            help="Time of a send; else as workers measured it, else 8s.",
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="Continuous|Interval",
            rich_help_panel=_PACE,
            help="Interval where an option of it is given.",
        ),
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="DURATION", rich_help_panel=_PACE, help="Interval: from run to run.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(rich_help_panel=_PACE, help="Interval: mailboxes of a run.")
    ] = None,
    batch_delay: Annotated[
        str | None,
        typer.Option(metavar="DURATION", rich_help_panel=_PACE, help="Interval: pause after each group."),
    ] = None,
    stagger_min: Annotated[
        str | None, typer.Option(metavar="DURATION", rich_help_panel=_PACE, help="Interval: least stagger.")
    ] = None,
    stagger_max: Annotated[
        str | None, typer.Option(metavar="DURATION", rich_help_panel=_PACE, help="Interval: most stagger.")
    ] = None,
    concurrent: Annotated[
        int | None, typer.Option(rich_help_panel=_COUNT, help="Mails that a worker has in flight at a time.")
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(metavar="N|none", rich_help_panel=_COUNT, help="A fixed count; none is sized."),
    ] = None,
    min_workers: Annotated[
        int | None, typer.Option("--min", rich_help_panel=_COUNT, help="Fewest of a sized fleet.")
    ] = None,
    max_workers: Annotated[
        int | None, typer.Option("--max", rich_help_panel=_COUNT, help="Most of a sized fleet.")
    ] = None,
    max_mailboxes_per_worker: Annotated[
        str | None, typer.Option(metavar="N|none", rich_help_panel=_COUNT, help="none sizes by mails alone.")
    ] = None,
    headroom: Annotated[
        int | None, typer.Option(metavar="PERCENT", rich_help_panel=_COUNT, help="Above the mails of a day.")
    ] = None,
    per_minute: Annotated[
        str | None, typer.Option(metavar="N|none", rich_help_panel=_LIMITS, help="Of the whole fleet.")
    ] = None,
    per_hour: Annotated[
        str | None, typer.Option(metavar="N|none", rich_help_panel=_LIMITS, help="Of the whole fleet.")
    ] = None,
    per_worker_per_hour: Annotated[
        str | None, typer.Option(metavar="N|none", rich_help_panel=_LIMITS, help="Of each worker.")
    ] = None,
    per_user_per_hour: Annotated[
        str | None, typer.Option(metavar="N|none", rich_help_panel=_LIMITS, help="Of each user.")
    ] = None,
    per_domain_per_day: Annotated[
        str | None, typer.Option(metavar="N|none", rich_help_panel=_LIMITS, help="Of each domain of senders.")
    ] = None,
    prices: Annotated[
        str | None,
        typer.Option("--costs", metavar="FILE", help="A price list in the form of the built-in one."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Say how many workers a fleet needs, which limits stand in its way, and what it costs.

    For a manifest (-f), for options alone (--mailboxes N ...), or for the running fleet (--fleet, or DATABASE_URL). Options
    change what a manifest or the running fleet says. Exit code 0: it fits; 3: it does not; 2: bad input; 1: not looked at.
    """
    options = {name: value for name, value in context.params.items() if value is not None}
    text = None if file is None else given.read(file).decode("utf-8", errors="replace")
    listed = _prices(prices)
    subject = asyncio.run(plan_subject.find(context.obj, text, options))
    made = plan.make(
        subject.settings, subject.rules, subject.enrolled, listed, send=subject.send, mail_bytes=mail_bytes
    )
    missing = shortfalls.find(made, subject.settings, subject.rules)
    hours = subject.settings.hours(subject.zone)
    changes = feasibility.clock_changes(datetime.now(hours.zone).date(), _YEAR_DAYS, hours)
    notes = (*shortfalls.notes(made, subject.rules), *(f"{it}." for it in changes))
    if as_json:
        typer.echo(json.dumps(plan_shown.document(subject, made, missing, notes), indent=2))
    else:
        width = Console().width if sys.stdout.isatty() else 2000
        typer.echo(plan_shown.text(width, subject, made, missing, notes))
    raise typer.Exit(DOES_NOT_FIT if missing else 0)


def _prices(file: str | None) -> PriceList:
    if file is None:
        return costs.parse(_PRICES.read_text(encoding="utf-8"), "The built-in price list")
    return costs.parse(given.read(file).decode("utf-8", errors="replace"), file)
