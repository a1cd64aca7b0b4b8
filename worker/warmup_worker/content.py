"""What a mail says: a short text that names itself as automatic, rendered from prepared bytes.

The headers make no secret of what this is: ``X-Warmup-Fleet`` and ``Auto-Submitted: auto-generated``. Pure: the date comes
from the claim, the choice of text from its seed. A rendered mail has CRLF line ends, no line over 998 octets, and ends with
CRLF; dots are doubled where it is put on the wire.
Fails: ``Unwritable`` for an address or a name that cannot stand in a header; nothing is ever rewritten silently.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from functools import lru_cache
from hashlib import blake2b

from warmup_core.ledger import message_id
from warmup_worker.claiming import Claim

_ADDRESS = re.compile(
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_QUOTED = re.compile(r'(["\\])')

_TEXTS: tuple[tuple[str, str], ...] = (
    (
        "Checking in",
        "Hello,\n\nthis is a short note to see that mail between us still arrives.\nNothing needs to be done.\n",
    ),
    (
        "A note for today",
        "Good day,\n\njust a line so that our mailboxes stay in touch.\nThere is no need to answer.\n",
    ),
    (
        "Delivery check",
        "Hello,\n\nthis mail was written by a program that keeps our mailboxes in use.\nYou may delete it.\n",
    ),
    (
        "Still there",
        "Hi,\n\none more mail between our own mailboxes, sent on schedule.\nAll is well on this side.\n",
    ),
    (
        "Short greeting",
        "Greetings,\n\nif you can read this, sending and receiving work as they should.\nHave a quiet day.\n",
    ),
    (
        "Routine mail",
        "Hello,\n\nthis is routine mail between mailboxes of one fleet.\nIt asks for nothing and sells nothing.\n",
    ),
)
_BODIES = tuple(
    (subject.encode(), body.replace("\n", "\r\n").encode() + b"\r\n-- \r\nSent by Warmup Fleet\r\n")
    for subject, body in _TEXTS
)

_TEMPLATE = (
    b"From: %(sender)s\r\nTo: %(recipient)s\r\nDate: %(date)s\r\nMessage-ID: %(message_id)s\r\nSubject: %(subject)s\r\n"
    b"%(thread)bX-Warmup-Fleet: %(token)s\r\nAuto-Submitted: %(automatic)b\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n%(body)s"
)


class Unwritable(Exception):
    """An address or a name that cannot stand in a mail."""


@dataclass(frozen=True)
class Mail:
    """Envelope and content. ``message``: bytes with CRLF line ends, the last line ended too."""

    sender: str
    recipient: str
    message_id: str
    message: bytes


def checked_address(address: str) -> str:
    """The address itself. Raises Unwritable for what is not a plain ASCII address: CR, LF, NUL, spaces, brackets."""
    if not _ADDRESS.match(address) or address.endswith("\n"):
        raise Unwritable(f"{address!r} is not an address that can be written into a mail")
    return address


@lru_cache(maxsize=4096)
def originator(name: str, address: str) -> bytes:
    """A From header's value. Names beyond ASCII are encoded (RFC 2047). Raises Unwritable for control characters."""
    checked_address(address)
    if _CONTROL.search(name):
        raise Unwritable(f"the display name {name!r} holds a control character")
    if not name.strip():
        return address.encode()
    if name.isascii() and len(name) <= 128:
        return b'"%b" <%b>' % (_QUOTED.sub(r"\\\1", name).encode(), address.encode())
    encoded = Header(name, "utf-8", header_name="From").encode(linesep="\r\n")
    return f"{encoded}\r\n <{address}>".encode()


def compose(claim: Claim, sender: str, display_name: str, token: str) -> Mail:
    """The mail of a claim. Raises Unwritable."""
    identifier = message_id(claim.day, claim.mail_id, token, sender.rpartition("@")[2])
    _, body = _BODIES[_choice(identifier, len(_BODIES))]
    recipient = checked_address(claim.recipient)
    subject, thread, automatic = _threaded(claim, sender, token)
    message = _TEMPLATE % {
        b"sender": originator(display_name, sender),
        b"recipient": recipient.encode(),
        b"date": _date(claim.claimed_at).encode(),
        b"message_id": identifier.encode(),
        b"subject": subject,
        b"thread": thread,
        b"automatic": automatic,
        b"token": token.encode(),
        b"body": body,
    }
    return Mail(sender, recipient, identifier, message)


def _threaded(claim: Claim, sender: str, token: str) -> tuple[bytes, bytes, bytes]:
    """Subject, thread headers and the word for Auto-Submitted. The subject is that of the thread's first mail."""
    here, there = sender.rpartition("@")[2], claim.recipient.rpartition("@")[2]
    if claim.thread is None:
        seed = message_id(claim.day, claim.mail_id, token, here)
        return _BODIES[_choice(seed, len(_BODIES))][0], b"", b"auto-generated"
    thread = claim.thread
    first = message_id(claim.day, thread.thread_id, token, there if thread.turn % 2 else here)
    answered = message_id(claim.day, thread.answers_id, token, there)
    ids = [first]
    if thread.before_id is not None:
        ids.append(message_id(claim.day, thread.before_id, token, here))
    references = "\r\n ".join(dict.fromkeys([*ids, answered]))
    headers = f"In-Reply-To: {answered}\r\nReferences: {references}\r\n".encode()
    return b"Re: " + _BODIES[_choice(first, len(_BODIES))][0], headers, b"auto-replied"


def _date(at: datetime) -> str:
    return format_datetime(at)


def _choice(seed: str, of: int) -> int:
    return int.from_bytes(blake2b(seed.encode(), digest_size=8).digest(), "big") % of
