"""The headers of a mail: addresses, names, subjects, as RFC 5322 and RFC 2047 write them, folded.

Values go in as people wrote them and come out as bytes that can stand after ``Name: ``. What is beyond ASCII is encoded in
words of at most 75 characters; only the part of an address before the @ may be UTF-8, where the mail goes by SMTPUTF8.
Fails: ``Unwritable`` for what cannot stand in a header; nothing is ever rewritten silently.
"""

import re
from base64 import b64encode
from functools import lru_cache

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
_QUOTED_TEXT = r'"(?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])*"'
_ADDRESS = re.compile(
    rf"(?:{_ATOM}(?:\.{_ATOM})*|{_QUOTED_TEXT})@[A-Za-z0-9](?:[A-Za-z0-9.-]{{0,252}}[A-Za-z0-9])?"
)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_WORD_BYTES = 39
"""Of UTF-8 in one encoded word: with its frame and a header's name it stays inside 76 characters."""
_LINE = 76


class Unwritable(Exception):
    """An address, a name or a subject that cannot stand in a mail."""


def _unsafe(text: str) -> bool:
    """Whether it holds a character that could end a header or hide in one."""
    return not (text.isascii() and text.isprintable()) and _UNSAFE.search(text) is not None


@lru_cache(maxsize=16_384)
def checked_address(address: str) -> str:
    """The address itself. Raises Unwritable: CR, LF, NUL, spaces and brackets outside quotes, a domain that is not ASCII."""
    if not _ADDRESS.fullmatch(address) or _unsafe(address):
        raise Unwritable(f"{address!r} is not an address that can be written into a mail")
    return address


@lru_cache(maxsize=16_384)
def addressed(name: str, address: str) -> bytes:
    """The value of From or To. Raises Unwritable."""
    checked_address(address)
    if _unsafe(name):
        raise Unwritable(f"the display name {name!r} holds a control character")
    name = name.strip()
    if not name:
        return address.encode()
    if name.isascii() and "=?" not in name and len(name) <= 60:
        phrase = '"' + name.replace("\\", r"\\").replace('"', r"\"") + '"'
    else:
        phrase = encoded_words(name)
    fold = "\r\n " if len(phrase) + len(address) > 60 else " "
    return f"{phrase}{fold}<{address}>".encode()


@lru_cache(maxsize=16_384)
def unstructured(text: str) -> bytes:
    """The value of Subject. Raises Unwritable."""
    if _unsafe(text):
        raise Unwritable(f"the subject {text!r} holds a control character")
    text = text.strip()
    plain = text.isascii() and "=?" not in text
    if plain and len(text) + len("Subject: ") <= _LINE:
        return text.encode()
    if not plain or any(len(word) > 900 for word in text.split(" ")):
        return encoded_words(text).encode()
    lines, line = [], len("Subject:") * " "
    for word in re.findall(r" *[^ ]+", f" {text}"):
        if len(line) + len(word) > _LINE and line.strip():
            lines.append(line)
            line = ""
        line += word
    lines.append(line)
    return "\r\n".join(lines).strip().encode()


def encoded_words(text: str) -> str:
    """Text as encoded words, a line each, none of which splits a character."""
    rest, words = text.encode(), []
    while rest:
        end = min(len(rest), _WORD_BYTES)
        while end < len(rest) and rest[end] & 0xC0 == 0x80:  # inside a character
            end -= 1
        words.append(f"=?utf-8?b?{b64encode(rest[:end]).decode()}?=")
        rest = rest[end:]
    return "\r\n ".join(words)
