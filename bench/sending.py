"""One mail as everybody but ours sends it: aiosmtplib as its documentation has it, with all that makes it cheap.

That is: uvloop, one TLS context for all (a new one costs 20 ms), a name for EHLO (else it is looked up), and a mail that is
rendered already. The mail is one of ours, so that all four put the same bytes on the wire.
"""

import argparse
import ssl
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import aiosmtplib

from bench.sink import HOST, password_of
from warmup_worker.claiming import Claim
from warmup_worker.content import compose
from warmup_worker.wording import built_in

LOCAL_HOSTNAME = "client.example"


@dataclass(frozen=True)
class Target:
    """Where the sink listens, and the authority that signed its certificate."""

    port: int
    ca_file: Path


def target_arguments() -> argparse.ArgumentParser:
    """What each of the senders is told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca-file", type=Path, required=True)
    parser.add_argument("--mails", type=int, required=True)
    parser.add_argument("--concurrent", type=int, required=True)
    parser.add_argument("--database")
    return parser


def address(number: int) -> str:
    """Mailbox ``number``; ten to a domain's share, a thousand domains."""
    return f"box{number}@domain{number % 1000}.example"


@cache
def message() -> bytes:
    """A mail of the usual size."""
    claim = Claim(
        1, 2, date(2026, 11, 25), 0, datetime(2026, 11, 25, 9, tzinfo=UTC), 2, address(2), "Bo Lee", 0, 0.0
    )
    return compose(claim, address(1), "Ada Tea", "t0ken", built_in()).message


@cache
def _context(ca_file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file))


async def send(target: Target, sender: str, recipient: str) -> None:
    """Connect, secure, log in, send, say goodbye."""
    client = aiosmtplib.SMTP(
        hostname=HOST,
        port=target.port,
        username=sender,
        password=password_of(sender),
        local_hostname=LOCAL_HOSTNAME,
        start_tls=True,
        tls_context=_context(target.ca_file),
    )
    async with client:
        await client.sendmail(sender, [recipient], message())
