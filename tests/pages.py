"""The shell blocks of a page, in their order, and which of them no test runs. Pure.

A block that is not run says why in a comment on the line above it: ``<!-- not run: REASON -->``.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(?:^<!-- not run: (.*?) -->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A shell block as it stands in the page. ``reason``: why it is not run."""

    text: str
    reason: str | None = None


def blocks(page: str) -> list[Block]:
    """All shell blocks of a page."""
    return [Block(text, reason or None) for reason, text in _BLOCK.findall((ROOT / page).read_text())]


def run(page: str) -> list[str]:
    """Those that have to be run."""
    return [it.text for it in blocks(page) if not it.reason]
