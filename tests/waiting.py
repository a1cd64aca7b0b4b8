"""Waiting for what a test expects, with a deadline, instead of sleeping for luck."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

T = TypeVar("T")


async def until(condition: Callable[[], T | Awaitable[T]], what: str, within: float = 20.0) -> T:
    """The first true answer of `condition`, asked every 50 ms; fails with `what` and the last answer after `within` s."""
    deadline = time.monotonic() + within
    while True:
        asked = condition()
        answer = cast("T", await asked if inspect.isawaitable(asked) else asked)
        if answer:
            return answer
        assert time.monotonic() < deadline, (
            f"not within {within:.0f} s: {what}; the last answer was {answer!r}"
        )
        await asyncio.sleep(0.05)
