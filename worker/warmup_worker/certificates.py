"""What a server's certificate says of itself, for people: who issued it, until when it is valid.

A TLS library that refuses a certificate does not show it. ``presented`` connects once more only to look: it says EHLO and
STARTTLS, reads the certificate without believing it, and closes. Nothing else ever goes over such a connection, and the sessions
that log in (``session``) take no context that does not verify.
Fails: None from ``presented`` where the look did not succeed; the first error is told all the same.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from warmup_worker import network
from warmup_worker.network import Forbidden, Network

_LONGEST_REPLY = 50
"""Lines."""


@dataclass(frozen=True)
class Presented:
    """A certificate as it was shown, believed or not."""

    issuer: str
    ends: datetime

    def __str__(self) -> str:
        return f"the certificate was issued by {self.issuer} and ends on {self.ends:%Y-%m-%d}"


def secured_by(secured: ssl.SSLObject) -> str:
    """The TLS version and the certificate that was verified."""
    shown = secured.getpeercert(binary_form=True)
    return f"{secured.version()}, {_read(shown)}" if shown else f"{secured.version()}"


async def presented(
    host: str, port: int, security: str, *, allowed: Sequence[Network], local_hostname: str, seconds: float
) -> Presented | None:
    """The certificate that a server shows; None when it shows none within ``seconds``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(seconds):
            sock = await network.connect(host, port, allowed, network.dial)
            reader, writer = await asyncio.open_connection(sock=sock)
            try:
                if security != "tls":
                    await _reply(reader)
                    for command in (f"EHLO {local_hostname}", "STARTTLS"):
                        writer.write(f"{command}\r\n".encode())
                        await _reply(reader)
                await writer.start_tls(context, server_hostname=host)
                shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
                return _read(shown) if shown else None
            finally:
                writer.transport.abort()
    except (OSError, Forbidden, ValueError, EOFError):
        return None


async def _reply(reader: asyncio.StreamReader) -> None:
    for _ in range(_LONGEST_REPLY):
        line = await reader.readuntil(b"\n")
        if line[3:4] != b"-":
            return
    raise ValueError("a reply without an end")


def _read(der: bytes) -> Presented:
    certificate = x509.load_der_x509_certificate(der)
    return Presented(certificate.issuer.rfc4514_string(), certificate.not_valid_after_utc)
