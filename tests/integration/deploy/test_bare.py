"""An image started with nothing says what it needs, and ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.deploy.services import image


@pytest.mark.parametrize(
    ("dockerfile", "code", "wants"),
    [
        (
            "Dockerfile.worker",
            2,
            [
                "WARMUP_WORKER_ID is required: the worker's number, from 1.",
                "DATABASE_URL or DATABASE_URL_FILE is required.",
                "WARMUP_ENCRYPTION_KEYS or WARMUP_ENCRYPTION_KEYS_FILE is required.",
            ],
        ),
        ("Dockerfile.operator", 1, ["no cluster is configured here", "helm install"]),
    ],
)
def test_started_bare_it_says_what_it_needs(
    dockerfile: str, code: int, wants: list[str], tmp_path: Path
) -> None:
    command = image("ENTRYPOINT", dockerfile) + image("CMD", dockerfile)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(tmp_path),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    for words in wants:
        assert words in done.stderr
