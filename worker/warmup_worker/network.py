"""Where a worker may connect to: a mail host's name is resolved here, judged by its addresses, and connected to by address.

A mailbox's host is a stranger's input. Whoever enrols one could point a worker at the cloud's metadata service, at the
cluster or at the worker itself; so only addresses of the public internet pass, and those that the fleet allows by name of
their network. The judged address is the one connected to, so a name that resolves differently a moment later gains nothing.
Fails: ``Forbidden`` naming the address and the setting; ``OSError`` from the resolver or the connection.
"""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA = {ipaddress.ip_address("168.63.129.16")}
"""Azure's platform address, public by its number; the other clouds' are link-local or private."""
_ADDRESS_SECONDS = 10.0
"""For one address to answer, before the next one is tried."""


class Forbidden(Exception):
    """A host that resolves only to addresses a worker may not connect to."""


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks from CIDR notation; one that cannot be read is left out (the manifest's rules refuse it earlier)."""
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


async def connect(host: str, port: int, allowed: Sequence[Network]) -> socket.socket:
    """A connected socket to the first permitted address that answers. Raises Forbidden, OSError naming address and port."""
    return await first_answer(await resolve(host, port, allowed))


async def first_answer(
    addresses: Sequence[tuple[str, int]], seconds: float = _ADDRESS_SECONDS
) -> socket.socket:
    """A socket connected to the first of these that answers within ``seconds``. Raises OSError naming each."""
    loop = asyncio.get_running_loop()
    failures: list[str] = []
    for address, number in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        candidate = socket.socket(family, socket.SOCK_STREAM)
        candidate.setblocking(False)
        try:
            async with asyncio.timeout(seconds):
                await loop.sock_connect(candidate, (address, number))
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return candidate
        except TimeoutError as error:
            candidate.close()
            why_not = (
                f"no answer within {seconds:g} s from" if error.errno is None else "connection timed out"
            )
            failures.append(f"{why_not} {address}:{number}")
        except OSError as error:
            candidate.close()
            why_not = os.strerror(error.errno).lower() if error.errno else str(error)
            failures.append(f"{why_not} {address}:{number}")
        except BaseException:
            candidate.close()
            raise
    raise OSError("; ".join(failures))
