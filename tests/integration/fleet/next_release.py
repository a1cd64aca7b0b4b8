"""The next release, made up out of this one: a copy of the core with a migration, a field of spec and status, and a setting more.

There is one release so far, so what an upgrade meets is built here: every kind of thing that a release may add, each in the
place where this one keeps its own. What a worker or an operator is made of otherwise is this tree's.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

import warmup_core
from warmup_core import schema

REVISION = f"{int(schema.REVISIONS[-1]) + 1:04}"
COURTESY = 5
"""The default of the new field ``spec.recipients.courtesy``."""

_MIGRATION = f'''
"""What the release after this one may need. Only adds."""

from alembic import op

revision = "{REVISION}"
down_revision = "{schema.REVISIONS[-1]}"
branch_labels = None
depends_on = None

_STATEMENTS = [
    "ALTER TABLE fleet ADD COLUMN courtesy integer",
    "ALTER TABLE workers ADD COLUMN zone text NOT NULL DEFAULT ''",
    "ALTER TABLE mailboxes ADD COLUMN courtesy integer NOT NULL DEFAULT 0 CHECK (courtesy >= 0)",
    "ALTER TABLE quotas ADD COLUMN bounced integer NOT NULL DEFAULT 0",
    "ALTER TABLE mails ADD COLUMN folder text, DROP CONSTRAINT mails_state, ADD CONSTRAINT mails_state"
    " CHECK (state IN ('intent', 'sent', 'failed', 'in_doubt', 'bounced'))",
    "CREATE TABLE bounces (id bigint PRIMARY KEY, words text NOT NULL)",
    "CREATE INDEX mailboxes_courtesy ON mailboxes (courtesy)",
]


def upgrade() -> None:
    """Apply."""
    for statement in _STATEMENTS:
        op.execute(statement)
'''

_INSERTIONS = {
    "spec.py": [
        (
            '    """Whom the mailboxes write to."""\n',
            f'\n    courtesy: int = Field({COURTESY}, ge=0, description="What is new.")',
        )
    ],
    "settings.py": [
        ("    reply_percent: int = Field(30, ge=0, le=MOST_PERCENT)\n", "    courtesy: int = 0\n"),
        (
            "        reply_percent=spec.recipients.reply_percent,\n",
            "        courtesy=spec.recipients.courtesy,\n",
        ),
    ],
    "spec_status.py": [
        (
            '    """How many workers the fleet should have, and why."""\n',
            '\n    courtesy: str = Field(default_factory=lambda: "kept", description="What is new.")',
        )
    ],
}
"""By module: after which line something is added, and what."""


def build(directory: Path) -> Path:
    """Make it; the folder that a process of the next release has first on its PYTHONPATH."""
    package = directory / "warmup_core"
    shutil.copytree(Path(warmup_core.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "migrations" / "versions" / f"r{REVISION}_next.py").write_text(_MIGRATION.lstrip())
    for module, insertions in _INSERTIONS.items():
        path = package / module
        code = path.read_text()
        for line, more in insertions:
            assert code.count(line) == 1, (
                f"{module} has changed: {line!r} is where the next release adds {more!r}"
            )
            code = code.replace(line, line + more)
        path.write_text(code)
    return directory


def definition(python_path: str) -> dict[str, Any]:
    """The CustomResourceDefinition of the release whose core comes first on this PYTHONPATH."""
    done = subprocess.run(
        [sys.executable, "-m", "warmup_core.crd"],
        env={"PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        check=True,
    )
    crd: dict[str, Any] = yaml.safe_load(done.stdout)
    return crd
