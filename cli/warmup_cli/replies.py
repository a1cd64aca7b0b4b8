"""``warmup replies``: what an SMTP reply means, whom it concerns, and what the fleet does about it.

For a person one reply and a table; with ``--jsonl`` one JSON object a line in and out, for whoever checks many. Input that is no
such object is refused whole, every fault with its line.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from warmup_cli import given
from warmup_core.replies import RULES, Phase, Reaction, Scope, Verdict, classify
from warmup_core.types import Refused

app = typer.Typer(no_args_is_help=True, help="What SMTP replies mean to the fleet.")

_DOES: Final = {
    Reaction.OK: "goes on",
    Reaction.RETRY: "counts this mail as failed and gives its quota back; the mailbox's next mail comes later",
    Reaction.RETRY_SLOW: "counts this mail as failed and gives its quota back; sends one at a time and slower",
    Reaction.SLOW_PROVIDER: "counts this mail as failed and gives its quota back; slows down to 10 mails a minute",
    Reaction.OTHER_RECIPIENT: "gives the quota back and writes to another recipient; to this one later",
    Reaction.SUPPRESS_RECIPIENT: "gives the quota back and takes the recipient out of the pool",
    Reaction.PAUSE_MAILBOX: "gives the quota back and pauses the mailbox; no strike",
    Reaction.PAUSE_MAILBOX_UNTIL_FIXED: "gives the quota back and pauses the mailbox until a person has acted",
    Reaction.PAUSE_TENANT: "gives the quota back and pauses all mailboxes of the user at this provider",
    Reaction.STOP_EGRESS: "gives the quota back and sends nothing more from this IP to this provider",
    Reaction.STOP_DOMAIN: "gives the quota back and sends nothing more from this domain",
    Reaction.FAIL_MESSAGE: "counts this mail as failed, gives its quota back and goes on with the next",
    Reaction.IN_DOUBT: "counts this mail as perhaps delivered: its quota stays spent, it is never sent again",
}
_PAUSES: Final = {
    Scope.MESSAGE: "nobody: it concerns this mail",
    Scope.RECIPIENT: "the recipient",
    Scope.MAILBOX: "the mailbox that sent",
    Scope.TENANT: "the user (tenant): all mailboxes of theirs at this provider",
    Scope.DOMAIN: "the sending domain",
    Scope.PROVIDER: "everybody who sends through this provider",
    Scope.EGRESS: "everybody who sends from this IP to this provider",
}
_SOURCES: Final = {rule.name: rule.source for rule in RULES}


@dataclass(frozen=True)
class _Case:
    id: str | int
    phase: str
    reply: str
    provider: str | None


@app.callback()
def top() -> None:
    """What SMTP replies mean to the fleet."""


@app.command()
def explain(
    reply: Annotated[
        str | None,
        typer.Argument(help=r"The reply with its code; \r\n or \n between its lines."),
    ] = None,
    jsonl: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help='Read {"id", "phase", "reply", "provider"} a line instead, and write a verdict a line.',
        ),
    ] = None,
    phase: Annotated[Phase, typer.Option(help="What was answered.")] = Phase.AFTER_DOT,
    provider: Annotated[str | None, typer.Option(help="Such as gmail, microsoft365, ses.")] = None,
) -> None:
    """Say which rule a reply matches and what the fleet will do."""
    if (reply is None) == (jsonl is None):
        raise Refused("Give a reply or --jsonl with a file, one of the two.")
    if jsonl is not None:
        for case in _cases(given.read(jsonl)):
            typer.echo(_line(case))
        return
    lines = (reply or "").replace(r"\r\n", "\n").replace(r"\n", "\n")
    _show(classify(phase, lines, provider))


def _cases(data: bytes) -> list[_Case]:
    cases, faults = [], []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        case = _case(line)
        if isinstance(case, str):
            faults.append(f"line {number}: {case}")
        else:
            cases.append(case)
    if faults:
        raise Refused("The replies cannot be read; none was explained.", faults)
    return cases


def _case(line: bytes) -> _Case | str:
    """The case of one line, or what is wrong with it."""
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"no JSON ({error})"
    if not isinstance(given, dict):
        return "no JSON object"
    wrong = [
        f"{key} is {'missing' if key not in given else 'no text'}"
        for key in ("phase", "reply")
        if not isinstance(given.get(key), str)
    ]
    if not isinstance(given.get("id"), str | int):
        wrong.append("id is missing or neither text nor a number")
    if not isinstance(given.get("provider"), str | None):
        wrong.append("provider is neither text nor null")
    if isinstance(given.get("phase"), str) and given["phase"] not in set(Phase):
        wrong.append(f"phase {given['phase']!r} is none of {', '.join(Phase)}")
    return "; ".join(wrong) or _Case(given["id"], given["phase"], given["reply"], given.get("provider"))


def _line(case: _Case) -> str:
    verdict = classify(case.phase, case.reply, case.provider)
    return json.dumps(
        {
            "id": case.id,
            "rule": verdict.rule,
            "scope": verdict.scope,
            "reaction": verdict.reaction,
            "retry_after": verdict.retry_after,
            "counts_against_mailbox_health": verdict.counts_against_mailbox_health,
        }
    )


def _show(verdict: Verdict) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in (
        ("rule", verdict.rule),
        ("source", _SOURCES[verdict.rule]),
        ("meaning", verdict.reason),
        ("scope, reaction", f"{verdict.scope}, {verdict.reaction}"),
        ("the fleet", _DOES[verdict.reaction]),
        ("who pauses", _PAUSES[verdict.scope]),
        ("until", _until(verdict)),
        (
            "health",
            "counts against the mailbox" if verdict.counts_against_mailbox_health else "does not count",
        ),
        ("alert", "a person is told" if verdict.alert else "none"),
    ):
        table.add_row(name, value)
    Console(markup=False, highlight=False, emoji=False).print(table)


def _until(verdict: Verdict) -> str:
    if verdict.wait is None:
        return f"a person has acted; then {_ends(verdict)}"
    if not verdict.wait:
        return "at once"
    source = "the server's words" if verdict.retry_after is not None else "our schedule, the first time"
    return f"{_duration(verdict.wait)} from the reply on ({source})"


def _ends(verdict: Verdict) -> str:
    if verdict.scope is Scope.MAILBOX:
        return f"`warmup mailboxes release --reason {verdict.rule}`, or an import of another login or server"
    return f"`warmup pauses end {verdict.scope} KEY`"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or seconds == size < 86_400:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
