"""``warmup mailboxes verify``: can these mailboxes log in, and if not, where does it end and what helps.

Runs where a worker runs: its network and its files are the worker's. Exit code 1 when a mailbox cannot log in.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from warmup_cli.connection import Source, Unavailable, transaction
from warmup_core import addresses, fleet, mailbox_day
from warmup_core.types import Refused

if TYPE_CHECKING:
    from warmup_worker.logins import Logins
    from warmup_worker.network import Network
    from warmup_worker.verification import Candidate, Trial

_PAGE = 1000
_STATEMENT_SECONDS = 10.0
"""A person waits longer for the database than a claim may."""


def verify(
    context: typer.Context,
    mailbox: Annotated[
        str | None, typer.Argument(help="Its address in any spelling, or its id.", show_default=False)
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every mailbox, active or not; tells of those that cannot log in.")
    ] = False,
) -> None:
    """Connect and log in as a worker would, send nothing, and tell phase by phase what was seen.

    Run it where a worker runs: kubectl exec -n NAMESPACE FLEET-1 -- warmup mailboxes verify ADDRESS
    """
    if (mailbox is None) is not every:
        raise Refused("Give one mailbox, or --all.")
    try:
        import warmup_worker.verification  # noqa: F401 - only to see that its packages are here
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"The worker's packages are not here ({error.name}). Run it where a worker runs: "
            "kubectl exec -n NAMESPACE FLEET-1 -- warmup mailboxes verify ..."
        ) from None
    if not asyncio.run(_all(context.obj) if mailbox is None else _one(context.obj, mailbox)):
        raise typer.Exit(1)


async def _one(source: Source, mailbox: str) -> bool:
    from warmup_worker import verification

    try:
        who = mailbox_day.parse(mailbox)
    except ValueError as error:
        raise Refused(f"{mailbox!r} is neither an id nor an address: {error}.") from None
    async with transaction(source) as connection:
        mailbox_id = await mailbox_day.find(connection, who)
        found = [] if mailbox_id is None else await verification.candidates(connection, mailbox_id)
    if not found:
        raise Refused(f"{mailbox} is not enrolled; `warmup mailboxes list` shows who is.")
    async with _logins(source) as (logins, allowed):
        trial = await verification.tried(found[0], logins, allowed)
    _tell(trial)
    return trial.failure is None


async def _all(source: Source) -> bool:
    from warmup_worker import verification

    tried = failed = last = 0
    async with _logins(source) as (logins, allowed):
        while page := await _page(source, last):
            last = page[-1].id
            async for trial in verification.tried_all(page, logins, allowed):
                tried += 1
                if trial.failure is not None:
                    failed += 1
                    _tell(trial)
    if not tried:
        typer.echo("No mailbox is enrolled; `warmup mailboxes import FILE` enrols some.")
        return True
    typer.echo(f"{tried - failed} of {tried} mailboxes can log in, {failed} cannot; nothing was sent.")
    return not failed


async def _page(source: Source, after: int) -> "list[Candidate]":
    from warmup_worker import verification

    async with transaction(source) as connection:
        return await verification.candidates(connection, after=after, most=_PAGE)


@asynccontextmanager
async def _logins(source: Source) -> "AsyncIterator[tuple[Logins, tuple[Network, ...]]]":
    """What logs in, with the fleet's keys, authorities and OAuth applications; and the networks that the fleet allows."""
    from prometheus_client import Counter

    from warmup_worker import trust
    from warmup_worker.connection import Database
    from warmup_worker.logins import Logins
    from warmup_worker.network import local_hostname, parse_networks
    from warmup_worker.timing import Timing, parse_timing
    from warmup_worker.tokens import TokenSource

    url, keys = await source.url(), await source.keys()
    applications, context = await source.applications(), trust.context(await source.authorities())
    timing = parse_timing(given) if (given := source.environ.get("WARMUP_TIMING")) else Timing()
    async with transaction(source) as connection:
        row = await fleet.read(connection)
    allowed = source.environ.get("WARMUP_SMTP_ALLOWED_NETWORKS", "").split(",")
    database = Database(lambda: url, _STATEMENT_SECONDS)
    tokens = TokenSource(
        database,
        lambda: context,
        timing,
        keys=lambda: keys,
        applications=lambda: applications,
        waits=lambda _: False,
        outcomes=Counter("warmup_cli_token_refreshes", "Unused.", ["outcome"], registry=None),
    )
    try:
        logins = Logins(lambda: keys, tokens, lambda: context, timing, local_hostname())
        yield logins, parse_networks(row.settings.smtp_allowed_networks if row else allowed)
    finally:
        await tokens.finish()
        await tokens.close()
        await database.close()


def _tell(trial: "Trial") -> None:
    box = trial.candidate
    typer.echo(f"{addresses.readable(box.address)}  {box.smtp_host}:{box.smtp_port}, {box.smtp_security}")
    for phase, words in trial.steps:
        typer.echo(f"  {phase:11}{words}")
    if trial.failure is not None:
        phase, words = trial.failure
        typer.echo(f"  {phase:11}FAILED: {words}")
    else:
        typer.echo(f"  {'ok':11}it can log in; nothing was sent")
    if not box.active:
        typer.echo(f"  {'note':11}it is paused, so workers send nothing from it")
    if box.hold_reason:
        typer.echo(f"  {'note':11}workers hold it since an earlier failure: {box.hold_reason}")
        if trial.failure is None:
            typer.echo(f"  {'':11}`warmup mailboxes release {box.address}` ends that")
