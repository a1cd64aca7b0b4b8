"""What Docker would give each container of deploy/: its command and its environment, read from the files themselves. Pure.

A container here is a process, so ``at`` puts this machine's paths and addresses in the place of those inside a container, and
nothing else. ``block`` finds a page's shell block, as lines of words.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
MOUNTED = "/run/secrets/"
SLOT = "{{.Task.Slot}}"


def read(name: str) -> dict[str, Any]:
    """A file of deploy/, with its YAML merged."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return found


def image(line: str, dockerfile: str = "Dockerfile.worker") -> list[str]:
    """``ENTRYPOINT`` or ``CMD`` of an image; nothing where it has none."""
    said = re.search(rf"^{line} (\[.*\])$", (ROOT / dockerfile).read_text(), re.MULTILINE)
    words: list[str] = json.loads(said[1]) if said else []
    return words


@dataclass(frozen=True)
class Container:
    """One container of the worker's image: what it runs, and with what."""

    command: tuple[str, ...]
    environment: Mapping[str, str]

    def at(self, secrets: Path, **beside: str) -> dict[str, str]:
        """Its environment where the secrets lie in a folder. ``beside``: variables that it does not have."""
        assert not self.environment.keys() & beside.keys()
        here = {name: it.replace(MOUNTED, f"{secrets}/") for name, it in self.environment.items()}
        return here | beside


def container(service: Mapping[str, Any]) -> Container:
    """The container of a service of the worker's image."""
    command = image("ENTRYPOINT") + service.get("command", image("CMD"))
    return Container(tuple(command), service["environment"])


def replicas(service: Mapping[str, Any]) -> list[Container]:
    """The containers of a Swarm service, each with its slot's number."""
    it = container(service)
    return [
        Container(
            it.command, {name: value.replace(SLOT, str(slot)) for name, value in it.environment.items()}
        )
        for slot in range(1, service["deploy"]["replicas"] + 1)
    ]


def seconds(duration: str) -> int:
    """``100s`` as a number."""
    assert duration.endswith("s")
    return int(duration[:-1])


def block(page: str, first: str) -> str:
    """The shell block of a page that begins with these words."""
    for found in re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL):
        if found.startswith(first):
            return str(found)
    raise AssertionError(f"{page} has no shell block that begins with {first!r}")


def commands(text: str) -> Iterator[list[str]]:
    """The words of each line, without comments."""
    for line in text.splitlines():
        if words := shlex.split(line, comments=True):
            yield words
