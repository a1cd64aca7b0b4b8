"""The reference page says what the CRD and the operator say: it is generated, and nobody forgot to."""

from pathlib import Path

from docs import reference

PAGE = Path(__file__).parents[3] / "docs" / "reference.md"


def test_the_page_is_what_make_crd_writes() -> None:
    assert PAGE.read_text() == reference.render(), "run `make crd`"
