"""The page on mailboxes shows files that are taken, every column, and reasons that there are."""

import re
from pathlib import Path

from warmup_core.enrolment import COLUMNS, parse, plan
from warmup_core.oauth import parse_applications
from warmup_core.replies import RULES
from warmup_worker import reactions
from warmup_worker.tokens import OUTCOMES

PAGE = (Path(__file__).parents[3] / "docs" / "mailboxes.md").read_text()
BLOCKS = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


def test_the_files_it_shows_are_taken() -> None:
    [mailbox, applications] = BLOCKS
    [added] = plan(parse(mailbox.encode()), {}).added
    read = parse_applications(applications)
    assert added.oauth_application in read
    assert set(read) == {"google", "contoso"}


def test_it_names_every_column() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE.partition("| column |")[2].partition("\n\n")[0]))
    assert set(COLUMNS) <= named


def test_the_reasons_it_explains_are_those_that_there_are() -> None:
    table = PAGE.partition("| reason |")[2].partition("\n\n")[0]
    explained = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", table))
    source = Path(reactions.__file__).read_text()
    ours = set(re.findall(r'"(oauth-[a-z]+)', source))
    assert ours <= explained
    assert explained - ours <= {rule.name for rule in RULES}
    assert all(f"`{outcome}`" in PAGE for outcome in OUTCOMES)
