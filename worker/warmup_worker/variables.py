"""Reads single environment variables and collects every fault, so that a person hears of all of them at once.

A variable set to nothing counts as not set. ``Reader`` never raises for what it reads: a fault is noted in ``faults``, a hint in
``notices``, and the default comes back. No fault repeats the content of a secret.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from warmup_core.types import Refused
from warmup_worker.mounted import Mounted

T = TypeVar("T")


class Reader:
    """One reading of an environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = {name: value for name, value in environ.items() if value != ""}
        self.faults: list[str] = []
        self.notices: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self.environ

    def whole(self, name: str, low: int, high: int, default: int | None = None, hint: str = "") -> int | None:
        """A whole number in [low, high]."""
        raw = self.environ.get(name)
        if raw is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", raw):
            self.faults.append(f"{name}={raw!r} is not a whole number.{hint}")
        elif not low <= int(raw) <= high:
            self.faults.append(f"{name}={raw} must lie between {low} and {high}.")
        else:
            return int(raw)
        return default

    def parsed(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """``parse`` raises Refused or ValueError with words for a person."""
        if name not in self.environ:
            return default
        try:
            return parse(self.environ[name])
        except (Refused, ValueError) as fault:
            self.faults.append(str(fault) if str(fault).startswith(name) else f"{name}: {fault}")
            return default

    def value_or_file(self, name: str, parse: Callable[[str], T]) -> Callable[[], T] | None:
        """``NAME`` itself, or the file that ``NAME_FILE`` names, read again when it changes."""
        plain, path = self.environ.get(name), self.environ.get(f"{name}_FILE")
        if (plain is None) == (path is None):
            either = f"{name} or {name}_FILE"
            self.faults.append(
                f"{either} is required." if plain is None else f"{either}: give one, not both."
            )
            return None
        try:
            if path is not None:
                return Mounted(Path(path), f"{name}_FILE", parse).current
            value = parse(plain or "")
            return lambda: value
        except Refused as refused:
            self.faults.append(f"{name}: {refused}" if plain is not None else str(refused))
            return None


def one_of(text: str, words: Sequence[str]) -> str:
    """The word as it is written in the manifest, whatever its case here. Raises ValueError."""
    for word in words:
        if text.strip().lower() == word.lower():
            return word
    raise ValueError(f"{text!r} is none of {', '.join(words)}")


def yes_or_no(text: str) -> bool:
    """``true`` or ``false``. Raises ValueError."""
    return one_of(text, ("true", "false")) == "true"
