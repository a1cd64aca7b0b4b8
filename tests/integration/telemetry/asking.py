"""Asking a worker over HTTP, as Prometheus and people do."""

import json
from typing import Any

import aiohttp

from tests.waiting import until
from warmup_worker.engine import Engine


async def get(worker: Engine, path: str, accept: str | None = None, **query: str) -> tuple[int, str, str]:
    """Status, content type and body of one answer."""
    await until(lambda: worker.telemetry.port, "its port")
    headers = {"Accept": accept} if accept else {}
    url = f"http://127.0.0.1:{worker.telemetry.port}{path}"
    async with aiohttp.ClientSession() as client, client.get(url, headers=headers, params=query) as answer:
        return answer.status, answer.content_type, await answer.text()


async def quota(worker: Engine, **query: str) -> tuple[int, dict[str, Any]]:
    """What ``/api/warmup/quota`` answers."""
    status, kind, body = await get(worker, "/api/warmup/quota", **query)
    assert kind == "application/json"
    return status, json.loads(body)
