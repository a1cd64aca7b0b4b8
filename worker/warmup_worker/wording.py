"""Where templates come from: the built-in ones in ``texts/``, or a folder that a person mounted in their place.

A folder is looked at every few seconds (Kubernetes swaps a symbolic link, an editor renames). One with a fault is logged once,
with every file and line, and the last good set stays in use; at start it is refused.
"""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from warmup_core import templates
from warmup_core.templates import Template
from warmup_core.types import Refused
from warmup_worker.clock import boottime
from warmup_worker.mounted import read_text

log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
_BUILT_IN = Path(__file__).parent / "texts"
Stamp = tuple[tuple[str, int, int, int], ...]


@lru_cache(maxsize=1)
def built_in() -> Sequence[Template]:
    """The templates that come with the worker."""
    return read_folder(_BUILT_IN)


def read_folder(folder: Path) -> Sequence[Template]:
    """The templates of a folder's ``.txt`` files. Raises Refused with every fault."""
    files, faults = {}, []
    for path in _files(folder):
        try:
            files[path.name] = read_text(path, path.name)
        except Refused as refused:
            faults.append(refused.summary)
    if faults:
        raise Refused(f"The templates in {folder} cannot be used.", faults)
    return templates.parse(files)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".txt" and path.is_file())
    except OSError as error:
        raise Refused(f"The folder {folder} cannot be read: {error.strerror or error}.") from None


class TemplateFolder:
    """The templates of a folder of a person's own. Raises Refused when they cannot be used at start."""

    def __init__(self, folder: Path, look_seconds: float = _LOOK_SECONDS) -> None:
        self._folder, self._look_seconds = folder, look_seconds
        self._stamp = self._look()
        self._looked_at = boottime()
        self._good = read_folder(folder)

    def _look(self) -> Stamp | None:
        try:
            stats = [(path.name, path.stat()) for path in _files(self._folder)]
        except (OSError, Refused):
            return None
        return tuple((name, it.st_ino, it.st_mtime_ns, it.st_size) for name, it in stats)

    def current(self) -> Sequence[Template]:
        """The templates as the folder has them now, or the last good ones."""
        if boottime() - self._looked_at >= self._look_seconds:
            self._looked_at = boottime()
            if (stamp := self._look()) != self._stamp:
                self._stamp = stamp
                self._read_again()
        return self._good

    def _read_again(self) -> None:
        try:
            self._good = read_folder(self._folder)
            log.info("WARMUP_TEMPLATES_DIR: read again from %s", self._folder)
        except Refused as refused:
            faults = "; ".join([refused.summary, *refused.faults])
            log.error("WARMUP_TEMPLATES_DIR: %s; the last good templates stay in use", faults)
