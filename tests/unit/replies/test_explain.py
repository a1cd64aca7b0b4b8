"""``warmup replies explain``: a table for a person, JSON lines for a program, refusals that name every line."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.unit.replies.cases import CORPUS
from warmup_cli import replies
from warmup_core.types import Refused

warmup = typer.Typer()
warmup.add_typer(replies.app, name="replies")


def explain(*arguments: str, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(warmup, ["replies", "explain", *arguments], input=text, env={"COLUMNS": "200"})


def test_a_person_reads_what_happens_to_whom_and_until_when() -> None:
    result = explain(
        "550 5.4.5 Daily user sending limit exceeded", "--phase", "after_dot", "--provider", "gmail"
    )
    assert result.exit_code == 0
    rows = dict(
        line.split(maxsplit=1)
        for line in result.output.splitlines()
        if not line.startswith(("scope", "who", "the"))
    )
    assert rows["rule"].strip() == "quota-of-a-period"
    assert "support.google.com" in rows["source"]
    assert rows["until"].startswith("24 h")
    assert rows["health"].strip() == "does not count"
    assert "mailbox, pause_mailbox" in result.output
    assert "the mailbox that sent" in result.output


def test_a_person_may_give_several_lines() -> None:
    result = explain(
        r"550-Requested action not taken: mailbox unavailable\r\n550 Failure sending mail. Try again later"
    )
    assert "pause_mailbox" in result.output


def test_what_waits_for_a_person_says_so() -> None:
    result = explain("535 5.7.8 Username and Password not accepted", "--phase", "auth")
    assert "a person has acted" in result.output
    assert "warmup mailboxes release --reason bad-credentials" in " ".join(result.output.split())
    assert "counts against the mailbox" in result.output
    listed = explain("554 5.7.1 Client host [192.0.2.1] blocked using Spamhaus")
    assert "warmup pauses end egress KEY" in " ".join(listed.output.split())


def test_the_corpus_goes_through_line_by_line(tmp_path: Path) -> None:
    file = Path(__file__).with_name("corpus.jsonl")
    result = explain("--jsonl", str(file))
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.output.splitlines()]
    assert [list(line) for line in lines] == [
        ["id", "rule", "scope", "reaction", "retry_after", "counts_against_mailbox_health"]
    ] * len(CORPUS)
    assert [(line["id"], line["scope"], line["reaction"]) for line in lines] == [
        (case.id, case.scope, case.reaction) for case in CORPUS
    ]


def test_standard_input_is_a_file_too() -> None:
    line = {"id": 7, "phase": "rcpt", "reply": "550 Postfach voll"}
    result = explain("--jsonl", "-", text=json.dumps(line) + "\n\n")
    assert json.loads(result.output)["reaction"] == "suppress_recipient"
    assert json.loads(result.output)["id"] == 7


def test_bad_lines_are_refused_together_and_nothing_is_explained() -> None:
    lines = [
        '{"id": "a", "phase": "rcpt", "reply": "250 ok", "provider": null}',
        "{",
        "[]",
        '{"id": null, "phase": "lunch", "reply": 5, "provider": 1}',
    ]
    result = explain("--jsonl", "-", text="\n".join(lines))
    assert result.output == ""
    assert isinstance(result.exception, Refused)
    assert [fault.partition(":")[0] for fault in result.exception.faults] == ["line 2", "line 3", "line 4"]
    for word in ("reply", "id", "provider", "lunch"):
        assert word in result.exception.faults[2]


@pytest.mark.parametrize("arguments", [(), ("250 ok", "--jsonl", "-"), ("--jsonl", "/nowhere/at/all")])
def test_what_cannot_be_read_is_refused(arguments: tuple[str, ...]) -> None:
    assert isinstance(explain(*arguments).exception, Refused)
