"""The page on sizing shows what the command prints, to the letter. ``python -m tests.unit.docs.test_sizing`` writes it anew."""

import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from warmup_cli.main import app

PAGE = Path(__file__).parents[3] / "docs" / "sizing.md"
_EXAMPLE = re.compile(r"```console\n\$ warmup (?P<command>.*)\n(?P<output>(?:.*\n)*?)```\n")


def printed(command: str) -> str:
    return CliRunner().invoke(app, shlex.split(command)).stdout


def rewritten(page: str) -> str:
    return _EXAMPLE.sub(
        lambda found: f"```console\n$ warmup {found['command']}\n{printed(found['command'])}```\n", page
    )


def test_the_page_shows_what_the_command_prints() -> None:
    page = PAGE.read_text()
    assert len(_EXAMPLE.findall(page)) == 2
    assert rewritten(page) == page


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
