"""A proxy between a client and the API server: passes everything on, writes down what was written, and misbehaves when told to.

Owns one port on loopback (plain HTTP; TLS towards the API server, whose authority it verifies). A request's token is passed on:
the client keeps its rights. Faults (``proxy_faults``) are asked with each request, or with each event of a watch, and may change
while it runs. It lives on the caller's event loop. What the API server itself refuses or breaks off is passed on as it came.
"""

import json
import socket
import ssl
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml
from aiohttp import web

from tests.cluster.control_plane import ControlPlane

Json = dict[str, Any]

_NOT_OURS = {"host", "connection", "accept-encoding", "content-length", "transfer-encoding"}
"""Headers that belong to one connection. Without accept-encoding every answer comes as plain text."""


class Cut(Exception):
    """Raised by a fault: reset the client's connection without another word."""


@dataclass(frozen=True)
class Request:
    """What the client asked. ``path`` is without the query."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    began: float = field(default_factory=time.monotonic)
    """When it came, on the clock that never goes back."""

    @property
    def resource(self) -> str:
        """The plural of what it is about, such as ``pods``; a subresource counts as its object's."""
        parts = self.path.split("/")
        return parts[parts.index("namespaces") + 2] if "namespaces" in parts[:-2] else parts[-1]

    @property
    def write(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"

    @property
    def watch(self) -> bool:
        """Whether its answer is a stream of events."""
        return self.query.get("watch") == "true"

    @property
    def manifest(self) -> Json:
        """The object it carries; empty where it carries none."""
        found: Json = json.loads(self.body) if self.body else {}
        return found


@dataclass(frozen=True)
class Reply:
    """An answer as a whole."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Exchange:
    """One request, and the way to let the API server have it. ``change`` replaces query parameters before that."""

    def __init__(self, request: Request, ask: Callable[[Request], Awaitable[Reply]]) -> None:
        self.request = request
        self._ask = ask
        self._reply: Reply | None = None

    async def taken(self) -> Reply:
        """The API server's own answer; it is asked once, however often this is called. Not for a watch."""
        if self._reply is None:
            self._reply = await self._ask(self.request)
        return self._reply

    def change(self, **query: str) -> None:
        """Ask something else than the client did."""
        request = self.request
        self.request = replace(request, query={**request.query, **query})


Fault = Callable[[Exchange], Awaitable[Reply | None]]
"""Answers for the API server, or None to go on as usual; may raise ``Cut``. The first answer counts."""
EventFault = Callable[[Request, Json], Awaitable[Json | None]]
"""The event of a watch to pass on, most often the one that came, or None to lose it; may wait, or raise ``Cut``."""


class Proxy:
    """``async with Proxy(control_plane) as proxy:``; then give a client ``proxy.kubeconfig(...)``."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._upstream = control_plane.url
        self._trust = ssl.create_default_context(cafile=str(control_plane.certificate))
        self.faults: list[Fault] = []
        self.event_faults: list[EventFault] = []
        self.writes: list[Request] = []
        """Every write that came from the client, whatever became of it."""
        self.url = ""
        self._watches: dict[int, web.BaseRequest] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(ssl=self._trust, limit=0)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
            self._client = await stack.enter_async_context(
                aiohttp.ClientSession(connector=connector, timeout=timeout)
            )
            # A client that is gone ends what was being done for it.
            server = web.Server(self._serve, handler_cancellation=True, access_log=None)
            runner = web.ServerRunner(server, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0]
            self.url = f"http://{host}:{port}"
            self._leave = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave.aclose()

    def kubeconfig(self, rights: Path, path: Path) -> Path:
        """Write to ``path`` the kubeconfig ``rights`` with this proxy for its server."""
        configuration = yaml.safe_load(rights.read_text())
        for named in configuration["clusters"]:
            named["cluster"] = {"server": self.url}
        path.write_text(yaml.safe_dump(configuration))
        return path

    def reset_watches(self) -> None:
        """Reset every watch that is open, as a network does that forgets its connections."""
        for incoming in list(self._watches.values()):
            _reset(incoming)

    async def _serve(self, incoming: web.BaseRequest) -> web.StreamResponse:
        body = await incoming.read()
        request = Request(incoming.method, incoming.path, dict(incoming.query), body)
        if request.write:
            self.writes.append(request)
        headers = {name: value for name, value in incoming.headers.items() if name.lower() not in _NOT_OURS}
        exchange = Exchange(request, lambda asked: self._ask(asked, headers))
        try:
            for fault in list(self.faults):
                reply = await fault(exchange)
                if reply is not None:
                    return _response(reply)
            if request.watch:
                return await self._stream(incoming, exchange.request, headers)
            return _response(await exchange.taken())
        except Cut:
            return _reset(incoming)
        except (aiohttp.ClientError, OSError):  # the API server is away
            return _reset(incoming)

    async def _ask(self, request: Request, headers: Mapping[str, str]) -> Reply:
        async with self._client.request(
            request.method,
            self._upstream + request.path,
            params=request.query,
            data=request.body or None,
            headers=headers,
        ) as answer:
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name in {"Content-Type", "Retry-After"}
            }
            return Reply(answer.status, await answer.read(), kept)

    async def _stream(
        self, incoming: web.BaseRequest, request: Request, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        async with self._client.get(
            self._upstream + request.path, params=request.query, headers=headers, read_bufsize=2**20
        ) as answer:
            response = web.StreamResponse(
                status=answer.status, headers={"Content-Type": answer.headers["Content-Type"]}
            )
            await response.prepare(incoming)
            self._watches[id(incoming)] = incoming
            try:
                async for line in answer.content:
                    if passed := await self._passed(request, line):
                        await response.write(passed)
            finally:
                del self._watches[id(incoming)]
            await response.write_eof()
            return response

    async def _passed(self, request: Request, line: bytes) -> bytes | None:
        if not self.event_faults:
            return line
        event: Json | None = json.loads(line)
        for fault in list(self.event_faults):
            if event is not None:
                event = await fault(request, event)
        return None if event is None else json.dumps(event).encode() + b"\n"


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))


def _reset(incoming: web.BaseRequest) -> web.Response:
    """Cut the line with a TCP reset; the answer returned goes nowhere."""
    transport = incoming.transport
    if transport is not None:
        opened: socket.socket | None = transport.get_extra_info("socket")
        if opened is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()
