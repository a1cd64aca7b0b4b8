"""How a plan looks: tables for a person, one JSON document for a program. Decides nothing.

In the document names are camelCase as in the manifest, durations are seconds, money is a number in ``currency``.
"""

import io
import re
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from warmup_cli.plan_subject import Subject
from warmup_core.feasibility import words
from warmup_core.plan import Plan, Staying
from warmup_core.shortfalls import Shortfall

Json = dict[str, Any]


def text(
    width: int, subject: Subject, plan: Plan, shortfalls: Sequence[Shortfall], notes: Sequence[str]
) -> str:
    """The tables, and at the end whether it fits, in lines of at most ``width``."""
    limits = [
        (it.name, f"{it.value:,}", f"{it.needed:,}", "enough" if it.ok else "too low") for it in plan.limits
    ]
    bill = [
        (
            it.name,
            _grouped(it.basis),
            _money(it.least) + ("" if it.most == it.least else f" to {_money(it.most)}"),
        )
        for it in plan.costs
    ]
    parts = [
        f"Plan for {subject.title}, on a working day on which every ramp is over.",
        _table(width, ("", ""), _figures(subject, plan)),
        _table(width, ("LIMIT", "VALUE>", "NEEDED>", ""), limits),
        _table(width, ("COSTS", "", f"{plan.currency} A MONTH>"), bill),
        "\n".join(f"Note: {_grouped(note)}" for note in notes),
    ]
    if shortfalls:
        parts.append("\n  ".join(["It does not fit:", *(f"{_grouped(it.reason)}." for it in shortfalls)]))
    else:
        parts.append("It fits: every quota can be met, and no limit is too low.")
    return "\n\n".join(part for part in parts if part)


def _figures(subject: Subject, plan: Plan) -> list[tuple[str, str]]:
    """The first table, a line a figure."""
    mails, worker, fleet, inbox = plan.mails, plan.worker, plan.fleet, plan.inbox
    users = f" of {len(plan.enrolled.users):,} users" if plan.enrolled.users else ""
    lines = [
        ("mailboxes", f"{plan.enrolled.mailboxes:,}{users}, {mails.most:,} mails a day each"),
        (
            "mails",
            f"{mails.per_day:,} a day, {mails.per_hour:,} an hour, {mails.per_second:.3g} a second;"
            f" the window is {words(mails.window)}",
        ),
        ("one worker", f"{worker.capacity.mails:,} mails a day: {_grouped(worker.capacity.reason)}"),
        ("", f"room for {worker.mailboxes:,} mailboxes; a send takes {words(worker.send)} ({subject.told})"),
    ]
    if worker.run is not None:
        sends, delays = worker.run
        run = f"a run takes {_seconds(sends)} of sends + {_seconds(delays)} of delay = {_seconds(sends + delays)}"
        lines.append(("", f"{worker.runs:,} runs a day; {run}"))
    lines += [
        ("workers", f"{fleet.sizing.wanted:,}, sized by {fleet.sizing.by}"),
        *(("", _grouped(part)) for part in fleet.sizing.reason.split("; ")),
        ("", f"the mails alone want {fleet.by_mails:,}, without headroom {fleet.without_headroom:,}"),
        (
            "the fleet",
            f"{fleet.per_day:,} mails a day, {fleet.per_hour:,} an hour; room for {fleet.mailboxes:,} mailboxes",
        ),
        (
            "must stay",
            f"inside a user: {_staying(plan.inside_user)}; inside a domain: {_staying(plan.inside_domain)}",
        ),
        (
            "an inbox",
            f"receives {inbox.mails_per_day:,} mails a day: {_bytes(inbox.bytes_per_day)} a day,"
            f" {_bytes(inbox.bytes_per_month)} in 30 days, {_bytes(inbox.bytes_per_year)} a year; nobody removes them",
        ),
    ]
    return lines


def document(subject: Subject, plan: Plan, shortfalls: Sequence[Shortfall], notes: Sequence[str]) -> Json:
    """The whole plan for a program."""
    mails, worker, fleet, inbox = plan.mails, plan.worker, plan.fleet, plan.inbox
    run = None if worker.run is None else [part.total_seconds() for part in worker.run]
    return {
        "subject": subject.title,
        "fits": not shortfalls,
        "shortfalls": [
            {"name": it.name, "value": it.value, "needed": it.needed, "reason": it.reason}
            for it in shortfalls
        ],
        "notes": list(notes),
        "mailboxes": {
            "total": plan.enrolled.mailboxes,
            "users": len(plan.enrolled.users) or None,
            "domains": len(plan.enrolled.domains) or None,
            "hosts": len(plan.enrolled.hosts) or None,
            "mailsPerDay": mails.most,
        },
        "mails": {
            "perDay": mails.per_day,
            "perHour": mails.per_hour,
            "perSecond": round(mails.per_second, 3),
            "perMonth": mails.per_month,
            "today": mails.today,
            "windowSeconds": mails.window.total_seconds(),
        },
        "worker": {
            "mailsPerDay": worker.capacity.mails,
            "mailboxes": worker.mailboxes,
            "reason": worker.capacity.reason,
            "sendSeconds": worker.send.total_seconds(),
            "sendIs": subject.told,
            "runsPerDay": worker.runs,
            "runSeconds": None if run is None else {"sends": run[0], "delays": run[1], "total": sum(run)},
        },
        "workers": {
            "wanted": fleet.sizing.wanted,
            "by": fleet.sizing.by,
            "reason": fleet.sizing.reason,
            "byMailboxes": fleet.by_mailboxes,
            "byMails": fleet.by_mails,
            "byMailsWithoutHeadroom": fleet.without_headroom,
        },
        "fleet": {"mailsPerDay": fleet.per_day, "mailsPerHour": fleet.per_hour, "mailboxes": fleet.mailboxes},
        "limits": [
            {
                "name": it.name,
                "value": it.value,
                "needed": it.needed,
                "load": it.load,
                "possible": it.possible,
                "ok": it.ok,
            }
            for it in plan.limits
        ],
        "staying": {
            "user": _staying_document(plan.inside_user),
            "domain": _staying_document(plan.inside_domain),
        },
        "inbox": {
            "mailsPerDay": inbox.mails_per_day,
            "bytesPerDay": inbox.bytes_per_day,
            "bytesPerMonth": inbox.bytes_per_month,
            "bytesPerYear": inbox.bytes_per_year,
        },
        "currency": plan.currency,
        "costs": [
            {"name": it.name, "basis": it.basis, "least": _number(it.least), "most": _number(it.most)}
            for it in plan.costs
        ],
    }


def _table(width: int, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A heading that ends with > aligns its column to the right. Nothing where there are no rows."""
    if not rows:
        return ""
    table = Table(box=None, pad_edge=False, show_header=any(headings))
    for number, heading in enumerate(headings):
        table.add_column(
            heading.removesuffix(">"),
            justify="right" if heading.endswith(">") else "left",
            no_wrap=number < len(headings) - 1,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    console = Console(width=width, markup=False, emoji=False, highlight=False, file=io.StringIO())
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _staying(staying: Staying | None) -> str:
    if staying is None:
        return "not known"
    if not staying.percent:
        return "none"
    return f"{staying.percent} % of all mails, {staying.of_largest_percent} % of the largest, with {staying.largest:,}"


def _staying_document(staying: Staying | None) -> Json | None:
    if staying is None:
        return None
    return {
        "percent": staying.percent,
        "largest": staying.largest,
        "ofLargestPercent": staying.of_largest_percent,
    }


def _grouped(sentence: str) -> str:
    """With commas in large numbers, but not in dates."""
    return re.sub(r"(?<![\w.:-])\d{4,}(?![\w:-]|\.\d)", lambda found: f"{int(found[0]):,}", sentence)


def _seconds(length: timedelta) -> str:
    return f"{length.total_seconds():g} s"


def _bytes(count: int) -> str:
    """In powers of 1,000, as disks are sold."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}".removesuffix(".00")


def _number(amount: Decimal) -> int | float:
    return int(amount) if amount == int(amount) else float(amount)
