"""What a command is given to read: a file by name, or standard input as ``-``. Fails: ``Refused`` with the system's reason."""

import sys
from pathlib import Path

from warmup_core.types import Refused


def read(file: str) -> bytes:
    """The whole of it. Raises Refused."""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}.") from None
