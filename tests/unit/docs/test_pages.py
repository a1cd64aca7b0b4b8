"""The pages hold together: links lead somewhere, commands and options exist, every module has its place in the architecture."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from warmup_cli.main import app

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    page
    for place in (".", "deploy", "docs", "docs/runbooks", "helm/warmup-fleet")
    for page in (ROOT / place).glob("*.md")
)
ROOMS = ("core/warmup_core", "operator/warmup_operator", "worker/warmup_worker")
COMMAND = re.compile(r"\bwarmup (?:--fleet \S+ )?([a-z]+ ?[a-z]*)([^`\n]*)")
WORDS = {"reads the"}
"""What only looks like a command."""


def commands(command: Any, name: str = "") -> dict[str, set[str]]:
    """Every command without ``warmup`` before it, with its options."""
    found = {name: {option for parameter in command.params for option in parameter.opts}}
    for child, it in getattr(command, "commands", {}).items():
        found |= commands(it, f"{name} {child}".strip())
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_another_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_every_command_of_the_pages_exists_and_takes_the_options() -> None:
    known = commands(typer.main.get_command(app))
    for page in PAGES:
        for said, rest in COMMAND.findall(page.read_text()):
            name = said.strip() if said.strip() in known else said.split()[0]
            assert name in known or said in WORDS, f"{page.name}: warmup {said}"
            for option in re.findall(r"(?<=\s)--[a-z-]+", rest):
                assert option in known[name], f"{page.name}: warmup {said} {option}"


def test_the_architecture_names_every_module() -> None:
    named = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "architecture.md").read_text()))
    modules = {path.stem for room in ROOMS for path in (ROOT / room).glob("[a-z]*.py")}
    assert sorted(modules - named) == []
