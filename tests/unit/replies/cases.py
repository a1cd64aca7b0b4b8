"""The literal replies of this folder: corpus.jsonl, gathered with their sources, and cases.jsonl, which generalise it."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """A reply and what it means. ``retry_after_hint``: the seconds that its text names, or None."""

    id: str
    provider: str
    phase: str
    reply: str
    scope: str
    reaction: str
    retry_after_hint: int | None
    counts_against_mailbox_health: bool


def load(name: str) -> list[Case]:
    """The cases of a file beside this one."""
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    fields = Case.__dataclass_fields__
    return [
        Case(**{key: value for key, value in json.loads(line).items() if key in fields}) for line in lines
    ]


CORPUS = load("corpus.jsonl")
CASES = load("cases.jsonl")
EVERYTHING = CORPUS + CASES
REFUSALS = [case for case in EVERYTHING if case.reply[:1] in ("4", "5")]
