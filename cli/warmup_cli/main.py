"""The command ``warmup``: arguments in, sentences out.

Owns the top of the command tree and the exit codes: 0 done, 1 it could not be done (now), 2 the input is wrong, 3 a plan does
not fit. A known error is one sentence on stderr, what is wrong, where and what to do, never a traceback; a secret is in none.
"""

import sys
from typing import Annotated, Never

import typer

import warmup_core
from warmup_cli import database, keys, mailboxes, pauses, plan, replies, report, worker
from warmup_cli.connection import Source, Unavailable
from warmup_core.database import Unreachable
from warmup_core.fleet import DatabaseInUse, SettingsUnreadable
from warmup_core.mailboxes import EnrolmentBusy
from warmup_core.restored import StillLive
from warmup_core.schema import SchemaBusy
from warmup_core.types import Refused

app = typer.Typer(
    name="warmup",
    help="Keeps fleets of mailboxes warm, every mail accounted for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(database.app, name="database")
app.add_typer(keys.app, name="keys")
app.add_typer(mailboxes.app, name="mailboxes")
app.add_typer(pauses.app, name="pauses")
app.add_typer(replies.app, name="replies")
app.command("plan")(plan.command)
app.command("report")(report.command)
app.command("worker")(worker.worker)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"warmup {warmup_core.__version__}")
        raise typer.Exit


@app.callback()
def top(
    context: typer.Context,
    fleet: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME",
            help="The WarmupFleet whose database and keys to use, read from the cluster; else DATABASE_URL[_FILE] and "
            "WARMUP_ENCRYPTION_KEYS[_FILE] are.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Keeps fleets of mailboxes warm, every mail accounted for."""
    context.obj = Source(fleet)


def fail(message: str, code: int) -> Never:
    """End with a message on stderr."""
    print(f"warmup: {message}", file=sys.stderr)
    sys.exit(code)


def run() -> None:
    """Entry point of the command."""
    try:
        app()
    except Refused as refusal:
        fail(str(refusal), 2)
    except (
        Unreachable,
        Unavailable,
        DatabaseInUse,
        SettingsUnreadable,
        EnrolmentBusy,
        SchemaBusy,
        StillLive,
    ) as error:
        fail(str(error), 1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
