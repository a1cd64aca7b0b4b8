"""HTTP probes as a kubelet makes them: a new connection each time, an outcome only after enough like answers."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp

from tests.cluster.pod_inputs import Manifest


async def verdicts(
    http: aiohttp.ClientSession, probe: Manifest, container: Manifest, address: str
) -> AsyncIterator[bool]:
    """Ask for ever; yield passed or failed each time as many like answers in a row as its threshold have come.

    `probe` is one with httpGet as the API answers it, all its defaults filled in; `address` is the pod's IP.
    """
    get = probe["httpGet"]
    ports = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}
    url = f"{get['scheme'].lower()}://{address}:{ports.get(get['port'], get['port'])}{get['path']}"
    timeout = aiohttp.ClientTimeout(total=probe["timeoutSeconds"])
    passed, in_a_row = False, 0
    await asyncio.sleep(probe.get("initialDelaySeconds", 0))
    while True:
        answer = await _passes(http, url, timeout)
        in_a_row = in_a_row + 1 if answer == passed else 1
        passed = answer
        if in_a_row >= probe["successThreshold" if passed else "failureThreshold"]:
            yield passed
        await asyncio.sleep(probe["periodSeconds"])


async def _passes(http: aiohttp.ClientSession, url: str, timeout: aiohttp.ClientTimeout) -> bool:
    try:
        async with http.get(url, timeout=timeout, ssl=False) as answer:
            return 200 <= answer.status < 400
    except (aiohttp.ClientError, TimeoutError):
        return False
