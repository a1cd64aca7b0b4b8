"""Reads ``WARMUP_TIMING``, which exists for tests: time constants made small, as a JSON object of seconds by name.

The constants themselves stand in ``types``; worker and operator each have a dataclass of those they use. Pure.
"""

import dataclasses
import json
from typing import Any, TypeVar

from warmup_core.types import Refused

T = TypeVar("T")


def parse(text: str, kind: type[T]) -> T:
    """The ``kind`` (a dataclass of seconds) with what is given in place of its defaults. Raises Refused with every fault."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    try:
        given: Any = json.loads(text)
    except ValueError as error:
        raise Refused(f"WARMUP_TIMING is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise Refused("WARMUP_TIMING is not a JSON object of seconds by name.")
    faults = [f"{name!r} is none of {sorted(names)}" for name in given if name not in names]
    faults += [
        f"{name} is not a positive number of seconds: {seconds!r}"
        for name, seconds in given.items()
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or seconds <= 0
    ]
    if faults:
        raise Refused("WARMUP_TIMING cannot be used.", faults)
    return kind(**{name: float(seconds) for name, seconds in given.items()})
