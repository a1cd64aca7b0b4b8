"""``warmup keys``: encryption keys for the stored credentials."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from warmup_core.credentials import new_key, parse_keys

app = typer.Typer(no_args_is_help=True, help="Encryption keys for the stored credentials.")


@app.callback()
def top() -> None:
    """Encryption keys for the stored credentials."""


@app.command()
def new(
    key_id: Annotated[
        str | None,
        typer.Option("--id", help="Name of the key beside each ciphertext; default: today's date."),
    ] = None,
) -> None:
    """Print a fresh key as a line for the keys Secret or file. The first line there encrypts, all of them decrypt."""
    line = new_key(key_id or f"{datetime.now(UTC):%Y%m%d}")
    parse_keys(line)
    typer.echo(line)
