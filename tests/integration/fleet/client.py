"""The API server as the administrator sees it, asked without blocking the event loop and over connections that stay open."""

import json
import ssl
from typing import Any

import aiohttp

from tests.cluster.control_plane import JSON, MERGE_PATCH, ControlPlane

Json = dict[str, Any]

_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ClientError(Exception):
    """The API server refused; ``status`` is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(f"{status}: {text}")


class Client:
    """``async with Client(control_plane) as client``. Paths are whole, with their query."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._url, self._token = control_plane.url, control_plane.token
        self._trust = ssl.create_default_context(cafile=str(control_plane.certificate))

    async def __aenter__(self) -> "Client":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._trust),
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=aiohttp.ClientTimeout(total=300),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str) -> Json:
        """One object, or a list."""
        return await self._request("GET", path)

    async def metadata(self, path: str) -> list[Json]:
        """A list's objects with nothing but their metadata, which is much less."""
        items: list[Json] = (await self._request("GET", path, accept=_METADATA))[
            "items"
        ] or []  # null for none
        return items

    async def post(self, path: str, body: Json) -> Json:
        """Make an object."""
        return await self._request("POST", path, body)

    async def put(self, path: str, body: Json) -> Json:
        """Replace an object."""
        return await self._request("PUT", path, body)

    async def patch(self, path: str, change: Json) -> Json:
        """Change an object; a pod's status too (conditions are replaced as a whole)."""
        return await self._request("PATCH", path, change, MERGE_PATCH)

    async def delete(self, path: str) -> None:
        """Ask for an object's end."""
        await self._request("DELETE", path)

    async def _request(
        self, method: str, path: str, body: Json | None = None, content_type: str = JSON, accept: str = JSON
    ) -> Json:
        data, headers = None if body is None else json.dumps(body), {"Accept": accept}
        if data:
            headers["Content-Type"] = content_type
        async with self._session.request(method, self._url + path, data=data, headers=headers) as answer:
            if answer.status >= 400:
                raise ClientError(answer.status, await answer.text())
            value: Json = await answer.json()
            return value
