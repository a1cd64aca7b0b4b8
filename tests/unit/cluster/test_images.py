"""What an image is made of: the files that its Dockerfile copies, and no others, decide whether it is built again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import images

DOCKERFILE = """\
FROM base AS stage
COPY requirements/worker.txt /requirements/
COPY pyproject.toml README.md ./
COPY core core
FROM base
COPY --from=stage /installed /opt
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    files = {
        "Dockerfile": DOCKERFILE,
        "pyproject.toml": "",
        "README.md": "",
        "requirements/worker.txt": "",
        "requirements/operator.txt": "",
        "core/shards.py": "",
        "core/deeper/pacing.py": "",
        "core/__pycache__/shards.pyc": "",
        "docs/architecture.md": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_it_is_made_of_what_its_dockerfile_copies(checkout: Path) -> None:
    assert [str(file) for file in images.copied(Path("Dockerfile"), checkout)] == [
        "requirements/worker.txt",
        "pyproject.toml",
        "README.md",
        "core/deeper/pacing.py",
        "core/shards.py",
    ]


def test_a_file_that_is_not_there_is_named(checkout: Path) -> None:
    (checkout / "README.md").unlink()
    with pytest.raises(images.ImageError, match=r"Dockerfile copies README\.md, which does not exist"):
        images.copied(Path("Dockerfile"), checkout)


@pytest.mark.parametrize("name", images.DOCKERFILES)
def test_what_the_real_dockerfiles_copy_reaches_the_build(name: str) -> None:
    """The .dockerignore lets in named paths only; one that it forgets would fail the build, minutes later."""
    lines = (images.CHECKOUT / ".dockerignore").read_text().splitlines()
    let_in = [Path(line[1:]) for line in lines if line.startswith("!")]
    copied = images.copied(images.DOCKERFILES[name], images.CHECKOUT)
    assert copied
    assert [file for file in copied if not any(file.is_relative_to(path) for path in let_in)] == []


@pytest.mark.parametrize("module", ["tests.submission.__main__", "demo.postgres"])
def test_the_demos_image_has_every_module_that_its_programs_import(module: str, tmp_path: Path) -> None:
    for file in images.copied(images.DOCKERFILES["warmup-demo"], images.CHECKOUT):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(images.CHECKOUT / file, tmp_path / file)
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", images.DOCKERFILES)
def test_hadolint_has_nothing_to_say(name: str) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [linter, images.CHECKOUT / images.DOCKERFILES[name]], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_no_image_carries_the_dependencies_of_another() -> None:
    for name, dockerfile in images.DOCKERFILES.items():
        copied = {str(file) for file in images.copied(dockerfile, images.CHECKOUT)}
        own = f"requirements/{name.removeprefix('warmup-')}.txt"
        assert {file for file in copied if file.startswith("requirements/")} <= {
            own,
            "requirements/build.txt",
        }
        assert own in copied
