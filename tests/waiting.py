"""Waiting for what a test expects, with a deadline, instead of sleeping for luck."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def until(condition: Callable[[], Awaitable[T | None]], what: str, within: float = 20.0) -> T: ...
@overload
async def until(condition: Callable[[], T | None], what: str, within: float = 20.0) -> T: ...
async def until(condition: Callable[[], Any], what: str, within: float = 20.0) -> Any:
    """The first true answer of `condition`, asked every 50 ms; fails with `what` and the last answer after `within` s."""
    deadline = time.monotonic() + within
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, (
            f"not within {within:.0f} s: {what}; the last answer was {answer!r}"
        )
        await asyncio.sleep(0.05)
