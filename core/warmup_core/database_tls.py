"""Whom a connection to PostgreSQL trusts, by the URL's sslmode and sslrootcert; a refused certificate in words for a person.

``sslrootcert`` is a file, ``system``, or the certificates themselves (PEM). The last is how authorities that came beside the URL
go with it: two URLs that differ in them are two URLs, so whoever notices a new URL notices new authorities.
Invariants: verify-ca and verify-full verify always, by the system's authorities where the URL has none; verify-full also looks at
the host's name; nothing is looked for in anybody's home.
Fails: Refused for certificates that cannot be read.
"""

import ssl
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL

from warmup_core.types import DATABASE_CA_KEY, Refused

MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
PARAMETERS: Final = frozenset({"sslmode", "sslrootcert"})
"""What a URL may say of TLS."""

_SYSTEM = "system"
_PEM = "-----BEGIN "
_ANOTHER_NAME = {62, 64}
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_UNKNOWN_ISSUER = {2, 18, 19, 20, 21}
"""X509_V_ERR_..: the chain of the certificate ends at nobody who is trusted."""


def with_authorities(url: URL, pem: str) -> URL:
    """The URL with these authorities, where it asks to verify and names none itself. Raises Refused."""
    if "sslrootcert" in url.query or url.query.get("sslmode") not in ("verify-ca", "verify-full"):
        return url
    if _PEM not in pem:
        raise Refused(
            f"{DATABASE_CA_KEY} holds no certificate in PEM, and the URL asks to verify the server's."
        )
    trusting = url.update_query_dict({"sslrootcert": pem})
    secured(trusting)
    return trusting


def with_authorities_of(url: URL, file: str) -> URL:
    """The same with a file's content. A file that is not there gives none: a Secret need not have the key. Raises Refused."""
    try:
        return with_authorities(url, Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return url
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"The file {file} with the database's authorities cannot be read: {error}.") from None


def secured(url: URL) -> ssl.SSLContext | str | None:
    """asyncpg's argument ``ssl``: a mode that verifies nothing, a context that does, or None, its default. Raises Refused."""
    root = str(url.query.get("sslrootcert", ""))
    mode = str(url.query.get("sslmode", "verify-full" if root == _SYSTEM else ""))
    if mode == "disable" or not (root or mode.startswith("verify-")):
        return mode or None
    try:
        if _PEM in root:
            # Only comments between the certificates can be in another alphabet.
            context = ssl.create_default_context(cadata=root.encode("ascii", "replace").decode())
        else:
            context = ssl.create_default_context(cafile=None if root in ("", _SYSTEM) else root)
    except OSError as error:
        what = f"{DATABASE_CA_KEY} beside it" if _PEM in root else f"sslrootcert={root}"
        raise Refused(
            f"The database URL goes with {what}, which cannot be read here: {error.strerror or error}."
        ) from None
    context.check_hostname = mode == "verify-full"
    # Python 3.13 asks more of a certificate than libpq does. Cloud databases' own authorities and easy-rsa's would be refused.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def why_refused(error: ssl.SSLCertVerificationError, url: URL) -> str:
    """What is wrong with the server's certificate, and what to do."""
    said = f"the server's certificate is refused: {error.verify_message.rstrip('.')}."
    if error.verify_code in _ANOTHER_NAME:
        return f"{said} Put a name into the URL that the certificate has; sslmode=verify-ca looks at its authority only."
    if error.verify_code not in _UNKNOWN_ISSUER:
        return said
    root = str(url.query.get("sslrootcert", ""))
    if root in ("", _SYSTEM):
        return (
            f"{said} Only the system's authorities are trusted. The database's own one belongs into the key"
            f" {DATABASE_CA_KEY} beside the URL in its Secret, or into a file that sslrootcert= in the URL names."
        )
    where = f"{DATABASE_CA_KEY} beside the URL" if _PEM in root else root
    return f"{said} Only the authorities in {where} are trusted: put the one that signed it there."
