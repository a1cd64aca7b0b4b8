"""What a mail says: the template drawn for its thread, rendered as a MIME message that calls itself automatic.

The headers make no secret of what this is: ``X-Warmup-Fleet``, and ``Auto-Submitted`` auto-generated or, for answers,
auto-replied. Pure: the date comes from the claim, every choice from the Message-ID of the thread's first mail (language,
subject) or of this one (text), so an answer knows its subject though none is stored. Who replaces the templates changes
the subjects of threads under way.
A rendered mail has CRLF line ends, no line over 998 octets, and ends with CRLF; dots are doubled where it is put on the wire.
Fails: ``Unwritable`` for an address or a name that cannot stand in a header.
"""

import html
import re
from binascii import b2a_qp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from hashlib import blake2b

from warmup_core.ledger import message_id
from warmup_core.templates import Draw, Template
from warmup_worker.claiming import Claim
from warmup_worker.headers import Unwritable, addressed, checked_address, unstructured

__all__ = ["Mail", "Unwritable", "compose"]

_HEADERS = (
    b"Date: %b\r\nFrom: %b\r\nTo: %b\r\nMessage-ID: %b\r\n%bSubject: %b\r\nContent-Language: %b\r\n"
    b"X-Warmup-Fleet: %b\r\nAuto-Submitted: %b\r\nMIME-Version: 1.0\r\n"
)
_PART = b"Content-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\n%b\r\n"
_BOTH = b'Content-Type: multipart/alternative; boundary="%b"\r\n\r\n--%b\r\n%b\r\n--%b\r\n%b\r\n--%b--\r\n'
_LONG_LINE = re.compile(r"[^\n]{77}")


@dataclass(frozen=True)
class Mail:
    """Envelope and content. ``message``: bytes with CRLF line ends, the last line ended too."""

    sender: str
    recipient: str
    message_id: str
    message: bytes

    @property
    def international(self) -> bool:
        """Whether it needs SMTPUTF8: an address that is not ASCII."""
        return not (self.sender.isascii() and self.recipient.isascii())


def compose(claim: Claim, sender: str, display_name: str, token: str, templates: Sequence[Template]) -> Mail:
    """The mail of a claim. Raises Unwritable."""
    here = checked_address(sender).rpartition("@")[2]
    there = checked_address(claim.recipient).rpartition("@")[2]
    own = first = message_id(claim.day, claim.mail_id, token, here)
    facts = _facts(display_name, sender, claim.recipient_name, claim.recipient)
    first_facts, references, automatic, prefix = facts, b"", b"auto-generated", ""
    if (thread := claim.thread) is not None:
        answered = message_id(claim.day, thread.answers_id, token, there)
        first = message_id(claim.day, thread.thread_id, token, there if thread.turn % 2 else here)
        between = thread.before_id and message_id(claim.day, thread.before_id, token, here)
        ids = dict.fromkeys(it for it in (first, between, answered) if it)
        folded = "\r\n ".join(ids)
        references = f"In-Reply-To: {answered}\r\nReferences: {folded}\r\n".encode()
        automatic, prefix = b"auto-replied", "Re: "
        if thread.turn % 2:
            first_facts = _facts(claim.recipient_name, claim.recipient, display_name, sender)
    template = templates[_number(first) % len(templates)]
    of_thread = Draw(template, first)
    subject = prefix + of_thread.text("subject", first_facts)
    draw = Draw(template, f"text of {own}", of_thread.drawn)
    text = draw.text("first" if thread is None else "answer", facts)
    body = _part(b"plain", text)
    if draw.below(100) < template.html_percent:
        boundary = b"=_%x" % _number(own)
        body = _BOTH % (
            boundary,
            boundary,
            body,
            boundary,
            _part(b"html", _html(draw, text, facts)),
            boundary,
        )
    headers = _HEADERS % (
        _date(int(claim.claimed_at.timestamp())),
        addressed(display_name, sender),
        addressed(claim.recipient_name, claim.recipient),
        own.encode(),
        references,
        unstructured(subject),
        template.language.encode(),
        token.encode(),
        automatic,
    )
    return Mail(sender, claim.recipient, own, headers + body)


@lru_cache(maxsize=64)
def _date(seconds: int) -> bytes:
    return format_datetime(datetime.fromtimestamp(seconds, UTC)).encode()


def _part(kind: bytes, text: str) -> bytes:
    """One part with its own headers, in the plainest encoding that keeps its lines short and ASCII.

    CRLF comes last: where a text has no line end, ``b2a_qp`` breaks it with LF.
    """
    if text.isascii() and not _LONG_LINE.search(text):
        return _PART % (kind, b"7bit", text.replace("\n", "\r\n").encode())
    return _PART % (kind, b"quoted-printable", b2a_qp(text.encode()).replace(b"\n", b"\r\n"))


def _html(draw: Draw, text: str, facts: Mapping[str, str]) -> str:
    escaped_text = html.escape(text, quote=False)
    paragraphs = "".join(
        f"<p>{it}</p>\n" for it in escaped_text.replace("\n", "<br>\n").split("<br>\n<br>\n")
    )
    escaped = {name: _escaped(fact) for name, fact in facts.items()}
    return draw.text("html", {**escaped, "body": paragraphs})


_escaped = lru_cache(maxsize=16_384)(html.escape)


def _facts(sender_name: str, sender: str, recipient_name: str, recipient: str) -> dict[str, str]:
    sender_name, sender_first = _called(sender_name, sender)
    recipient_name, recipient_first = _called(recipient_name, recipient)
    return {
        "sender_name": sender_name,
        "sender_first_name": sender_first,
        "sender_address": sender,
        "recipient_name": recipient_name,
        "recipient_first_name": recipient_first,
        "recipient_address": recipient,
    }


@lru_cache(maxsize=16_384)
def _called(name: str, address: str) -> tuple[str, str]:
    """A person's name and first name; where there is no display name, as the address has it."""
    name = " ".join(name.split())
    if not name:
        local = address.rpartition("@")[0].strip('"')
        name = " ".join(word.capitalize() for word in re.split(r"[._+\s-]+", local) if word) or local
    last, comma, first = name.partition(", ")
    words = (first if comma and first else last).split()
    return name, words[0] if words else name


def _number(seed: str) -> int:
    return int.from_bytes(blake2b(seed.encode(), digest_size=12, person=b"template").digest(), "big")
