"""Where a worker may connect to: a mail host's name is resolved here, judged by its addresses, and connected to by address.

A mailbox's host is a stranger's input. Whoever enrols one could point a worker at the cloud's metadata service, at the
cluster or at the worker itself; so only addresses of the public internet pass, and those that the fleet allows by name of
their network. The judged address is the one connected to, so a name that resolves differently a moment later gains nothing.
A judged answer is remembered (``Names``): asking for every mail is a tenth of what a mail costs, and a zone whose servers do not
answer must not keep others' look-ups waiting for a thread.
Fails: ``Forbidden`` naming the address and the setting; ``OSError`` from the resolver or the connection.
"""

import asyncio
import ipaddress
import math
import os
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from warmup_worker.clock import boottime

T = TypeVar("T")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int, Sequence["Network"]], Awaitable[list[tuple[str, int]]]]
"""Finds the permitted addresses of a host, as ``resolve`` does."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA = {ipaddress.ip_address("168.63.129.16")}
"""Azure's platform address, public by its number; the other clouds' are link-local or private."""
_ADDRESS_SECONDS = 10.0
"""For one address to answer, before the next one is tried."""
_REMEMBERED_SECONDS = 30.0
"""Of an answer, until it is asked anew; ten times that it serves where no other comes, a failure a third of it."""
_MOST_NAMES = 10_000


class Forbidden(Exception):
    """A host that resolves only to addresses a worker may not connect to."""


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks from CIDR notation; one that cannot be read is left out (the manifest's rules refuse it earlier).

    The same texts give the same object.
    """
    return _parsed(tuple(texts))


@lru_cache(maxsize=16)
def _parsed(texts: tuple[str, ...]) -> tuple[Network, ...]:
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue
    return tuple(networks)


def forbidden(address: Address, allowed: Sequence[Network]) -> str | None:
    """Why this address may not be connected to, or None. Addresses wrapped in IPv6 are judged by what they wrap."""
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour
        if wrapped is None and address in _NAT64:
            wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if wrapped is not None:
            return forbidden(wrapped, allowed)
    if any(address.version == network.version and address in network for network in allowed):
        return None
    if address.is_unspecified:
        return "unspecified"
    if address.is_loopback:
        return "loopback"
    if address.is_link_local or address in _METADATA:
        return "link-local or metadata"
    if address.is_multicast:
        return "multicast"
    return None if address.is_global else "private"


def local_hostname() -> str:
    """What EHLO says: this machine's name, if it can stand there."""
    name = socket.getfqdn()
    return name if re.fullmatch(r"[A-Za-z0-9.-]{1,255}", name) else "localhost"


async def resolve(host: str, port: int, allowed: Sequence[Network]) -> list[tuple[str, int]]:
    """The permitted (address, port) pairs of a host, in the resolver's order. Raises Forbidden, OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    permitted: list[tuple[str, int]] = []
    why: dict[str, str] = {}
    for _, _, _, _, name in found:
        text = str(name[0])
        reason = forbidden(ipaddress.ip_address(text.partition("%")[0]), allowed)
        if reason is None:
            permitted.append((text, int(name[1])))
        else:
            why[text] = reason
    if not permitted:
        told = ", ".join(f"{address} ({reason})" for address, reason in why.items())
        raise Forbidden(f"{host} is {told}; spec.smtp.allowedNetworks does not allow it")
    return permitted


@dataclass
class _Known:
    """What is known of a host. ``addresses`` serve until ``good_until``; from ``again_at`` on they are asked anew."""

    addresses: list[tuple[str, int]] = field(default_factory=list)
    good_until: float = -math.inf
    again_at: float = -math.inf
    trouble: OSError | None = None
    troubled_at: float = 0.0
    asking: "asyncio.Task[list[tuple[str, int]]] | None" = None


class Names:
    """Remembers what hosts resolved to, and asks once where many ask at the same time.

    An answer older than ``seconds`` still serves while it is asked anew, and some minutes where that fails. A failure is
    remembered for a short time, too: a resolver may take half a minute to say that it knows nothing, a thread all the while.
    """

    def __init__(
        self,
        seconds: float = _REMEMBERED_SECONDS,
        look_up: Resolve = resolve,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._seconds, self._look_up, self._clock = seconds, look_up, clock
        self._allowed: Sequence[Network] = ()
        self._known: dict[tuple[str, int], _Known] = {}

    async def resolve(self, host: str, port: int, allowed: Sequence[Network]) -> list[tuple[str, int]]:
        """As ``resolve``, of now or a while ago. Raises Forbidden, which is not remembered, and OSError."""
        if allowed is not self._allowed or len(self._known) >= _MOST_NAMES:
            self._known.clear()
            self._allowed = allowed
        known = self._known.setdefault((host, port), _Known())
        now = self._clock()
        if known.asking is None and now >= known.again_at:
            known.asking = asyncio.create_task(self._ask(known, host, port, allowed))
            # Who asked may have gone.
            known.asking.add_done_callback(lambda it: it.cancelled() or it.exception())
        if now < known.good_until:
            return known.addresses
        if known.asking is not None:
            return await asyncio.shield(known.asking)
        assert known.trouble is not None, "an answer serves longer than it is fresh"
        told = known.trouble.strerror or str(known.trouble)
        raise OSError(known.trouble.errno, f"{told} ({now - known.troubled_at:.0f} s ago)")

    async def _ask(
        self, known: _Known, host: str, port: int, allowed: Sequence[Network]
    ) -> list[tuple[str, int]]:
        try:
            known.addresses = await self._look_up(host, port, allowed)
            now = self._clock()
            known.good_until, known.again_at = now + 10 * self._seconds, now + self._seconds
            return known.addresses
        except OSError as error:
            known.trouble, known.troubled_at = copy(error), self._clock()  # without its frames
            known.again_at = known.troubled_at + self._seconds / 3
            raise
        except Forbidden:
            known.good_until = -math.inf
            raise
        finally:
            known.asking = None


Dial = Callable[[str, int], Awaitable[T]]
"""Connects to an address and a port. Raises OSError."""


async def dial(address: str, port: int) -> socket.socket:
    """A connected socket. Raises OSError."""
    found = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setblocking(False)
        await asyncio.get_running_loop().sock_connect(found, (address, port))
        return found
    except BaseException:
        found.close()
        raise


async def connect(
    host: str, port: int, allowed: Sequence[Network], dial: Dial[T], resolved: Resolve = resolve
) -> T:
    """What ``dial`` makes of the first permitted address that answers. Raises Forbidden, OSError naming address and port."""
    return await first_answer(await resolved(host, port, allowed), dial)


async def first_answer(
    addresses: Sequence[tuple[str, int]], dial: Dial[T], seconds: float = _ADDRESS_SECONDS
) -> T:
    """What ``dial`` makes of the first of these that answers within ``seconds``. Raises OSError naming each."""
    failures: list[str] = []
    for address, number in addresses:
        try:
            async with asyncio.timeout(seconds):
                return await dial(address, number)
        except TimeoutError as error:
            why_not = (
                f"no answer within {seconds:g} s from" if error.errno is None else "connection timed out"
            )
            failures.append(f"{why_not} {address}:{number}")
        except OSError as error:
            why_not = os.strerror(error.errno).lower() if error.errno else str(error)
            failures.append(f"{why_not} {address}:{number}")
    raise OSError("; ".join(failures))
