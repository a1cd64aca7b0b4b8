"""Whose certificates a worker trusts: the system's authorities and those of the fleet's own file. One TLS context for all mails.

Making a context costs 20 ms, so it is made once and again when the file changes. Verification of name and chain is always
on.
Fails: a file that is no PEM is refused at start; later the last good one stays.
"""

import ssl
from collections.abc import Callable
from pathlib import Path

from warmup_core.types import Refused
from warmup_worker.mounted import Mounted


def _context(extra: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if extra and extra.strip():
        try:
            context.load_verify_locations(cadata=extra)
        except (ssl.SSLError, ValueError) as error:
            raise Refused(
                f"WARMUP_SMTP_CA_FILE holds no certificates that can be read (PEM): {error}"
            ) from None
    return context


def trusted_authorities(ca_file: Path | None) -> Callable[[], ssl.SSLContext]:
    """A function that gives the context of the moment. Raises Refused."""
    if ca_file is None:
        context = _context(None)
        return lambda: context
    return Mounted(ca_file, "WARMUP_SMTP_CA_FILE", _context).current
