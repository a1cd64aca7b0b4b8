"""Credentials at rest: AES-256-GCM, with the key's id beside each ciphertext so that keys can be rotated.

A keys file holds one ``ID:BASE64`` a line, 32 bytes each; the first line encrypts, all of them decrypt. The associated data
is the lower-cased address, and what the secret is for: so a ciphertext moved to another mailbox's row does not open, nor do an
OAuth mailbox's tokens where a password belongs, which would send them to a mail server.
Fails: a keys file with faults is refused whole, each fault with its line; a ciphertext of an unknown key names the id; neither
ever repeats key material or plain text.
"""

import base64
import binascii
import json
import os
import re
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from warmup_core.types import Refused

KEY_BYTES = 32
NONCE_BYTES = 12
_KEY_ID = re.compile(r"^[A-Za-z0-9._-]{1,32}$")


class Undecipherable(Exception):
    """A stored credential does not open: unknown key, or not written for this address."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the database keeps of a credential."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


@dataclass(frozen=True)
class Tokens:
    """What an OAuth mailbox logs in with. ``imported``: the fingerprint (``oauth``) of the refresh token of the last import."""

    refresh: str = field(repr=False)
    imported: str = field(repr=False)
    access: str | None = field(default=None, repr=False)


class Keys:
    """The fleet's encryption keys, the active one first."""

    def __init__(self, ordered: dict[str, bytes]) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in ordered.items()}
        self.active = next(iter(ordered))

    def __repr__(self) -> str:
        return f"Keys(active={self.active!r}, known={sorted(self._ciphers)})"

    @property
    def ids(self) -> list[str]:
        """Every key id known, the active one first."""
        return list(self._ciphers)

    def seal(self, address: str, secret: str, nonce: bytes) -> Sealed:
        """Encrypt under the active key. ``nonce``: 12 random bytes, never used twice under one key."""
        return self._encrypt(secret, _bound(address), nonce)

    def open(self, address: str, sealed: Sealed) -> str:
        """Decrypt. Raises Undecipherable with a reason fit for status."""
        return self._decrypt(sealed, _bound(address))

    def seal_tokens(self, address: str, tokens: Tokens, nonce: bytes) -> Sealed:
        """Encrypt an OAuth mailbox's tokens, as ``seal`` does."""
        plain = {"refresh": tokens.refresh, "imported": tokens.imported, "access": tokens.access}
        return self._encrypt(json.dumps(plain), _bound(address, "tokens"), nonce)

    def open_tokens(self, address: str, sealed: Sealed) -> Tokens:
        """Decrypt what ``seal_tokens`` wrote. Raises Undecipherable."""
        return Tokens(**json.loads(self._decrypt(sealed, _bound(address, "tokens"))))

    def _encrypt(self, plain: str, bound: bytes, nonce: bytes) -> Sealed:
        ciphertext = self._ciphers[self.active].encrypt(nonce, plain.encode(), bound)
        return Sealed(self.active, nonce, ciphertext)

    def _decrypt(self, sealed: Sealed, bound: bytes) -> str:
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise Undecipherable(
                f"the credential is under key {sealed.key_id!r}, the keys Secret holds {self.ids}"
            )
        try:
            return cipher.decrypt(sealed.nonce, sealed.ciphertext, bound).decode()
        except InvalidTag:
            raise Undecipherable(
                f"the credential does not open with key {sealed.key_id!r}: another key under this id, or moved"
            ) from None


def _bound(address: str, purpose: str = "") -> bytes:
    """The associated data: whose secret it is, and what for."""
    return "\0".join(filter(None, [address.lower(), purpose])).encode()


def parse_keys(text: str) -> Keys:
    """Read a keys file. Raises Refused with every fault and its line; empty lines and # comments are skipped."""
    ordered: dict[str, bytes] = {}
    faults: list[str] = []
    for line, raw in enumerate(text.splitlines(), start=1):
        entry = raw.strip()
        if not entry or entry.startswith("#"):
            continue
        key_id, colon, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not colon or not _KEY_ID.match(key_id):
            faults.append(f"line {line}: not ID:BASE64 (an id of up to 32 letters, digits, dots, dashes)")
        elif len(key) != KEY_BYTES:
            faults.append(f"line {line}: key {key_id!r} is not {KEY_BYTES} bytes in base64")
        elif key_id in ordered:
            faults.append(f"line {line}: key {key_id!r} is given twice")
        else:
            ordered[key_id] = key
    if not ordered and not faults:
        faults.append("it holds no key")
    if faults:
        raise Refused("The encryption keys cannot be used; `warmup keys new` prints a good one.", faults)
    return Keys(ordered)


def new_key(key_id: str) -> str:
    """One line for a keys file, with fresh randomness from the system."""
    return f"{key_id}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"
