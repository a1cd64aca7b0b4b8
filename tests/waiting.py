"""Waiting for what a test expects, with a deadline, instead of sleeping for luck; not at all where nobody is left to do it."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar, overload

T = TypeVar("T")

PATIENCE: Final = 240.0
"""Seconds that a test waits for what it expects: many times what an idle machine needs for the longest of it. A bound costs
nothing where the answer comes, so there is one for all, and only a real fault comes to it."""

_minded: list[Callable[[], str | None]] = []


@contextmanager
def minding(fault: Callable[[], str | None]) -> Iterator[None]:
    """In this block every ``until`` fails at once with what ``fault`` answers, if it answers anything.

    For those whose deeds a test waits for: a process that has ended does nothing more, and its last words say why.
    """
    _minded.append(fault)
    try:
        yield
    finally:
        _minded.remove(fault)


def broken(*tasks: "asyncio.Task[Any]") -> str | None:
    """What a task has failed with, as a ``fault`` to mind; None while all run, or have ended well."""
    failed = (it.exception() for it in tasks if it.done() and not it.cancelled())
    return next((f"a task has failed: {error!r}" for error in failed if error), None)


async def cancelled(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel what runs for ever, and raise what one of them had failed with before."""
    for task in tasks:
        task.cancel()
    for end in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(end, Exception):
            raise end


@overload
async def until(
    condition: Callable[[], Awaitable[T | None]], what: str, within: float = PATIENCE, *, pause: float = 0.05
) -> T: ...
@overload
async def until(
    condition: Callable[[], T | None], what: str, within: float = PATIENCE, *, pause: float = 0.05
) -> T: ...
async def until(
    condition: Callable[[], Any], what: str, within: float = PATIENCE, *, pause: float = 0.05
) -> Any:
    """The first true answer of `condition`, asked every `pause` s; fails with `what` and the last answer after `within` s.

    The last answer is one that was asked for when the time was over: whoever was not let run meanwhile still looks once.
    """
    deadline = time.monotonic() + within
    while True:
        late = time.monotonic() >= deadline
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        for fault in _minded:
            words = fault()
            assert not words, f"in vain: {what}; {words}"
        assert not late, f"not within {within:.0f} s: {what}; the last answer was {answer!r}"
        await asyncio.sleep(pause)
