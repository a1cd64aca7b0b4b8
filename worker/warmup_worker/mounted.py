"""A file mounted from a Secret or a ConfigMap, whose content may change while we run.

Read again when its identity changes (Kubernetes swaps a symbolic link, an editor renames). What cannot be read or parsed
later is logged once and the last good value stays; at start it is refused.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from warmup_core.types import Refused

T = TypeVar("T")
log = logging.getLogger(__name__)


def read_text(path: Path, what: str) -> str:
    """The file's text. Raises Refused naming ``what`` and why; never the content."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Refused(f"{what}: the file {path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise Refused(f"{what}: the file {path} is not text in UTF-8.") from None


class Mounted(Generic[T]):
    """The parsed content of a file. ``what`` names it in messages; ``parse`` raises Refused."""

    def __init__(self, path: Path, what: str, parse: Callable[[str], T]) -> None:
        self._path, self._what, self._parse = path, what, parse
        self._seen = self._identity()
        self._value = parse(read_text(path, what))

    def _identity(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def current(self) -> T:
        """The value as the file has it now, or the last good one."""
        identity = self._identity()
        if identity != self._seen:
            self._seen = identity
            try:
                self._value = self._parse(read_text(self._path, self._what))
                log.info("%s: read again from %s", self._what, self._path)
            except Refused as refused:
                log.error("%s; the last good one stays in use", " ".join(str(refused).split()))
        return self._value
