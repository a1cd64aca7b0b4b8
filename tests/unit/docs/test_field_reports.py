"""Every report from the field has its row, and every test that a row names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
REPORTS = 47


def rows() -> dict[str, str]:
    """What holds each report, by its id."""
    lines = (ROOT / "tests" / "field-reports.md").read_text().splitlines()
    found = [re.split(r" *\| *", line) for line in lines if line.startswith("| field-")]
    return {cells[1]: cells[3] for cells in found}


def test_every_report_is_held_by_a_test_or_a_reason() -> None:
    assert list(rows()) == [f"field-{number:03}" for number in range(1, REPORTS + 1)]
    assert all(rows().values())


def test_every_test_that_holds_one_exists() -> None:
    for held in rows().values():
        for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", held):
            assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), name


def test_no_test_stands_for_a_report_that_is_not_there() -> None:
    named = {
        it for file in (ROOT / "tests").rglob("*.py") for it in re.findall(r"field-\d{3}", file.read_text())
    }
    assert named <= set(rows())
