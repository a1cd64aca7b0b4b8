"""The migrations stand in one line: two that were written side by side must not both follow the same one."""

import importlib
import re
from pathlib import Path

from warmup_core import migrations

VERSIONS = Path(migrations.__file__).parent / "versions"


def test_each_migration_follows_the_one_before() -> None:
    before = None
    for at, path in enumerate(sorted(VERSIONS.glob("r*.py")), 1):
        module = importlib.import_module(f"warmup_core.migrations.versions.{path.stem}")
        number = re.match(r"r(\d{4})_", path.name)
        assert number is not None, path.name
        assert (module.revision, module.down_revision) == (number[1], before) == (f"{at:04}", before), (
            path.name
        )
        before = module.revision
