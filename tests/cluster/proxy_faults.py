"""One tiny function per way for an API server, or the way to it, to misbehave. ``proxy.faults.append(answer(500))``.

A fault answers for the API server, or returns None to go on as usual, after whatever it did meanwhile; see ``proxy.Fault``.
``struck`` counts, so that a test can see that its fault was not only set but met.
"""

import asyncio
import json
import time
from collections.abc import Callable
from http import HTTPStatus

from tests.cluster.proxy import Cut, Exchange, Fault, Json, Reply, Request


def answer(status: int, retry_after: int | None = None) -> Fault:
    """Refuse as the API server does, before it has seen anything."""
    meaning = HTTPStatus(status)
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "said by the proxy",
        "reason": meaning.phrase.title().replace(" ", ""),
        "code": status,
    }
    headers = {"Content-Type": "application/json"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)

    async def fault(_: Exchange) -> Reply:
        return Reply(status, json.dumps(body).encode(), headers)

    return fault


async def cut(_: Exchange) -> Reply | None:
    """Reset the connection."""
    raise Cut


async def silence(_: Exchange) -> Reply | None:
    """Never answer; ends when the client goes away."""
    await asyncio.Event().wait()
    return None


def delay(seconds: float) -> Fault:
    """Pass on as usual, later."""

    async def fault(_: Exchange) -> Reply | None:
        await asyncio.sleep(seconds)
        return None

    return fault


def taken_then(then: Fault) -> Fault:
    """The API server takes the request; only its answer is lost to ``then``."""

    async def fault(exchange: Exchange) -> Reply | None:
        await exchange.taken()
        return await then(exchange)

    return fault


async def too_old(exchange: Exchange) -> Reply | None:
    """Have a watch begin at a version long compacted: the API server itself answers 410 Gone."""
    exchange.change(resourceVersion="1")
    return None


class Struck:
    """A fault for every n-th of the requests wanted, ``most`` times in all, and a count of them."""

    def __init__(
        self, fault: Fault, wanted: Callable[[Request], bool], every: int = 1, most: int | None = None
    ) -> None:
        self._fault, self._wanted, self._every, self._most = fault, wanted, every, most
        self._met = 0
        self.struck = 0

    def more(self) -> None:
        """Once more than ``most``."""
        self._most = (self._most or 0) + 1

    async def __call__(self, exchange: Exchange) -> Reply | None:
        if not self._wanted(exchange.request):
            return None
        self._met += 1
        if self._met % self._every or (self._most is not None and self.struck >= self._most):
            return None
        self.struck += 1
        return await self._fault(exchange)


class OldView:
    """Single reads and lists are answered from an old view while ``replaying``, and remembered otherwise.

    What was never asked before is answered truly, and every write goes through.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Reply] = {}
        self.replaying = False
        self.struck = 0

    async def __call__(self, exchange: Exchange) -> Reply | None:
        request = exchange.request
        if request.write or request.watch:
            return None
        key = (request.path, str(sorted(request.query.items())))
        if not self.replaying:
            self._seen[key] = await exchange.taken()
        elif key in self._seen:
            self.struck += 1
            return self._seen[key]
        return None


class Watches:
    """What becomes of the events of the watches wanted."""

    def __init__(self, wanted: Callable[[Request], bool]) -> None:
        self._wanted = wanted
        self._silent_before = float("-inf")
        self._lose = 0
        self._instead: Json | None = None
        self.struck = 0

    def silence(self) -> None:
        """The watches that are open bring nothing any more; new ones do."""
        self._silent_before = time.monotonic()

    def lose(self, events: int = 1) -> None:
        """The next events are lost, and nobody knows."""
        self._lose = events

    def error(self, status: int) -> None:
        """The next event is an ERROR instead."""
        said = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": status,
            "message": "said by the proxy",
        }
        self._instead = {"type": "ERROR", "object": said}

    async def __call__(self, request: Request, event: Json) -> Json | None:
        if not self._wanted(request):
            return event
        if request.began < self._silent_before:
            self.struck += 1
            await asyncio.Event().wait()
        if self._lose:
            self._lose -= 1
            self.struck += 1
            return None
        if self._instead is not None:
            self.struck += 1
            instead, self._instead = self._instead, None
            return instead
        return event
