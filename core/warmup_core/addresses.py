"""One canonical form of an address: the local part as given, the domain as its lower-case A-label (IDNA 2008, UTS 46, NFC).

A quoted local part keeps its quotes only where it needs them. One beyond ASCII is kept: it is for servers that offer SMTPUTF8.

The canonical form is what is stored and what goes over the wire; ``identity`` is what two spellings of one mailbox share (servers
that tell ``Info`` from ``info`` are a theory of RFC 5321); ``readable`` is for people. Pure.
Fails: ValueError with the reason, in words that finish the sentence "'x' cannot be used: ...".
"""

import ipaddress
import re
import unicodedata
from functools import lru_cache

import idna

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
_LOCAL = re.compile(rf"{_ATOM}(\.{_ATOM})*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_TO_ESCAPE = re.compile(r'(["\\])')
_LONGEST_LOCAL = 64
_INVISIBLE = {"Cc", "Cf", "Zl", "Zp", "Cs"}


def invisible(text: str) -> str | None:
    """The first control or invisible character, as U+XXXX; None where there is none."""
    if text.isascii() and text.isprintable():
        return None
    return next((f"U+{ord(char):04X}" for char in text if unicodedata.category(char) in _INVISIBLE), None)


def canonical(text: str) -> str:
    """The form that is stored. Raises ValueError."""
    address = unicodedata.normalize("NFC", text.strip())
    if found := invisible(address):
        raise ValueError(f"it holds the invisible character {found}")
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise ValueError("it is not of the form name@domain")
    local = _local(local)
    if len(local.encode()) > _LONGEST_LOCAL:
        raise ValueError(f"the part before the @ is longer than {_LONGEST_LOCAL} characters")
    ascii_domain = _domain(domain)
    if "." not in ascii_domain:
        raise ValueError("its domain has no dot")
    if _is_address(ascii_domain):
        raise ValueError("its domain is an IP address")
    whole = f"{local}@{ascii_domain}"
    if len(whole) > 254:
        raise ValueError("it is longer than 254 characters")
    return whole


def _local(text: str) -> str:
    """The local part in its shortest spelling: quotes only around what needs them. Raises ValueError."""
    if quoted := _QUOTED.fullmatch(text):
        content = _ESCAPED.sub(r"\1", quoted[1])
        return content if _LOCAL.fullmatch(content) else '"' + _TO_ESCAPE.sub(r"\\\1", content) + '"'
    if not _LOCAL.fullmatch(text) or any(map(str.isspace, text)):
        raise ValueError(
            "the part before the @ holds what only a quoted one may (spaces, quotes, two dots in a row, ...)"
        )
    return text


def identity(address: str) -> str:
    """What all spellings of a canonical address share."""
    return address.lower()


def readable(address: str) -> str:
    """The address with its domain in the letters people know."""
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{idna.decode(domain)}"
    except idna.IDNAError:
        return address


@lru_cache(maxsize=4096)
def host(text: str) -> str:
    """A host name (lower-case A-label) or an IP address, as a client connects to it. Raises ValueError."""
    name = text.strip()
    if found := invisible(name):
        raise ValueError(f"it holds the invisible character {found}")
    return name if _is_address(name) else _domain(name)


@lru_cache(maxsize=4096)
def _domain(name: str) -> str:
    try:
        return idna.encode(name, uts46=True, std3_rules=True).decode().rstrip(".")
    except idna.IDNAError as error:
        raise ValueError(f"{name!r} is not a domain name ({error})") from None


@lru_cache(maxsize=4096)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
