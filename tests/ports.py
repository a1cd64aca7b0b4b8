"""Ports of 127.0.0.1 for servers that have to be told theirs before they start.

They lie below those that the kernel gives out by itself, and each process begins its search elsewhere, so between the choice and
the server's start nobody else takes one: neither a client's connection nor a test that runs beside this one.
"""

import os
import socket
from itertools import count
from typing import Final

_LOWEST: Final = 10_000
_NUMBER: Final = 22_000
_APART: Final = 7_919
"""A prime: processes that follow one another begin far from each other."""

_tried = count(os.getpid() * _APART)


def free_port() -> int:
    """A TCP port on loopback that nothing listens on now, another one with each call."""
    for number in _tried:
        port = _LOWEST + number % _NUMBER
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("the count never ends")
