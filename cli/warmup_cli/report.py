"""``warmup report``: the fleet's day, worker by worker, with every reason for which a mailbox waits.

What ``kubectl describe`` shows of it ends at ten reasons; here is the rest, also where there is no Kubernetes.
"""

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.table import Table

from warmup_cli import tables
from warmup_cli.connection import Source, Unavailable, transaction
from warmup_core import fleet, worker_days
from warmup_core.fleet import FleetRow
from warmup_core.spec_status import HeldReason, MailboxesStatus, TodayStatus
from warmup_core.worker_days import WorkerDay

_ALL = 10_000
_MENDED = (
    "Once it is mended: `warmup mailboxes release --reason REASON` for mailboxes held by themselves,\n"
    "`warmup pauses end SCOPE KEY` for those that a pause holds (`warmup pauses list`)."
)


@dataclass(frozen=True)
class Report:
    """A day as the rows have it at one instant."""

    row: FleetRow
    mailboxes: MailboxesStatus
    today: TodayStatus
    yesterday: str | None
    workers: list[WorkerDay]
    reasons: list[HeldReason]


def command(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="The same for a program.")] = False,
) -> None:
    """Say how the fleet's day stands: mails, workers, and why what does not send does not."""
    report = asyncio.run(_read(context.obj))
    if as_json:
        typer.echo(json.dumps(_plain(report), indent=2, ensure_ascii=False))
        return
    for name, value in _lines(report).items():
        typer.echo(f"{name:14}{value}")
    typer.echo()
    tables.show(_workers(report.workers))
    if report.reasons:
        typer.echo()
        tables.show(_reasons(report.reasons))
        typer.echo(f"\n{_MENDED}")


async def _read(source: Source) -> Report:
    from warmup_operator import demand, reasons

    async with transaction(source) as connection:
        row = await fleet.read(connection)
        if row is None:
            raise Unavailable(
                "Nobody owns this database yet: a fleet's operator, or worker 1 where there is none, writes the fleet's row."
            )
        found = await demand.read(connection, row)
        return Report(
            row,
            found.mailboxes.model_copy(update={"unowned": await fleet.unowned(connection)}),
            found.today,
            found.yesterday,
            await worker_days.read(connection, row.worker_count, demand.today(row)),
            await reasons.held(connection, row.at, most=_ALL),
        )


def _lines(report: Report) -> dict[str, str]:
    row, boxes, today = report.row, report.mailboxes, report.today
    share = f" ({today.sent * 100 // today.due}%)" if today.due else ""
    return {
        "fleet": f"{row.owner}, epoch {row.epoch}{', paused' if row.paused else ''}",
        "day": f"{today.day}, {row.time_zone}",
        "mailboxes": f"{boxes.total} enrolled, {boxes.active} active, {boxes.paused} held, {boxes.unowned} without a live owner",
        "due": str(today.due),
        "sent": f"{today.sent}{share}",
        "in doubt": str(today.in_doubt),
        "in flight": str(today.in_flight),
        "scheduled": str(today.scheduled),
        "deferred": str(today.deferred),
        "skipped": str(today.skipped),
        "behind": str(today.behind),
        "yesterday": report.yesterday or "nothing was due",
    }


def _workers(workers: list[WorkerDay]) -> Table:
    table = tables.table(
        "WORKER", "STATE", "HOST", "VERSION", "MAILBOXES", "DUE", "SENT", "IN-DOUBT", "IN-FLIGHT"
    )
    for it in workers:
        counts = (it.mailboxes, it.due, it.sent, it.in_doubt, it.in_flight)
        table.add_row(str(it.number), _state(it), it.host or "-", it.version or "-", *map(str, counts))
    return table


def _state(worker: WorkerDay) -> str:
    if worker.live:
        return "live"
    return "never seen" if worker.silent is None else f"silent for {worker.silent:.0f} s"


def _reasons(reasons: list[HeldReason]) -> Table:
    table = tables.table("HELD", "REASON", "WORDS", folds="WORDS")
    for it in reasons:
        table.add_row(str(it.mailboxes), it.reason, it.words)
    return table


def _plain(report: Report) -> dict[str, Any]:
    return {
        "fleet": str(report.row.owner),
        "epoch": report.row.epoch,
        "paused": report.row.paused,
        "timeZone": report.row.time_zone,
        "mailboxes": report.mailboxes.model_dump(by_alias=True, exclude={"top_reasons"}),
        "today": report.today.model_dump(by_alias=True),
        "yesterday": report.yesterday,
        "workers": [{**asdict(it), "live": it.live} for it in report.workers],
        "reasons": [it.model_dump(by_alias=True) for it in report.reasons],
    }
