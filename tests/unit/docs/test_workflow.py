"""The workflow of GitHub is what GitHub's schema takes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_schema_of_workflows_takes_ours() -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run(
        [*checker, ROOT / ".github/workflows/ci.yaml"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout
