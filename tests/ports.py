"""Ports of 127.0.0.1 for servers that have to be told theirs before they start.

They lie outside those that the kernel gives out by itself, and each process begins its search elsewhere, so between the choice
and the server's start nobody else takes one: neither a client's connection nor a test that runs beside this one.
"""

import os
import socket
from itertools import count
from pathlib import Path
from typing import Final

_LOWEST: Final = 10_000
_ENOUGH: Final = 2_000
_APART: Final = 7_919
"""A prime: processes that follow one another begin far from each other."""

_tried = count(os.getpid() * _APART)


def kept(given_out: str) -> range:
    """The first long stretch of ports that the kernel keeps out of, where the file of the kernel says what it gives out.

    Usually it gives out 32768 to 60999; a machine may be told to give out nearly all, and then there is no better choice.
    """
    low, high = map(int, given_out.split())
    stretches = range(_LOWEST, low), range(high + 1, 65_536), range(_LOWEST, 65_536)
    return next(it for it in stretches if len(it) >= _ENOUGH)


def _kept() -> range:
    try:
        return kept(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text())
    except FileNotFoundError:  # no Linux
        return range(_LOWEST, 32_768)


_PORTS: Final = _kept()


def free_port() -> int:
    """A TCP port on loopback that nothing listens on now, another one with each call."""
    for number in _tried:
        port = _PORTS[number % len(_PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("the count never ends")
