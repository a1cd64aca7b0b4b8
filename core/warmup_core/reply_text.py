"""Reads an SMTP reply: its code, its enhanced code (RFC 3463), and its text in one plain form.

The plain form is what reply_concepts.py's patterns expect: lines joined and their codes taken off, casefolded, no Latin
accents, single spaces, none between CJK letters, no hyphens or underscores inside words. Addresses, hosts and IPs become
``<addr>``, ``<host>``, ``<ip>``; ids of queues and sessions go. A link often holds our IP as a mere parameter, so only its words
about block lists stay (``see:``).

Invariants: every str and bytes reads as something; the plain form does not depend on case, spacing or line wrapping.
Fails: a reply without its last line ("250-..." and then nothing), or without a code that SMTP has, has the code None.
"""

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

_LONGEST: Final = 2_000
"""Letters of a reply that are read; RFC 5321 allows 512 a line, and no server says more of use."""
_LINE: Final = re.compile(r"\s*(2\d\d|334|354|[45]\d\d)(?:([ \t-])[ \t]*|$)(.*)")
_ENHANCED: Final = r"[245]\.[0-7]\.\d{1,3}"
_ENHANCED_FIRST: Final = re.compile(rf"[#(\[ ]*({_ENHANCED})(?![.\d])[)\]:]*\s*(?:-\s+)?")
_ENHANCED_ANYWHERE: Final = re.compile(rf"(?<![\d.])({_ENHANCED})(?![\d.]*\d)")

_TAG: Final = re.compile(r"</?(?:a|br|p|b)(?: [^<>]*)?>")
_URL: Final = re.compile(r"(?:https?://|www\.|aka\.ms/|ya\.cc/)[^\s<>\"]+")
_URL_WORDS: Final = re.compile(r"dns ?bl|rbl|black ?list|block ?list|returnc|openresolver")
_ADDRESS: Final = re.compile(r"<?(?<![^\s<>@,;:()\[\]\"])[^\s<>@,;:()\[\]\"]+@[^\s<>@,;:()\[\]\"]+>?")
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\w)")
_IPV6: Final = re.compile(r"(?<![\w:])(?:ipv6:)?([0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})(?![\w:])")
_HOST: Final = re.compile(
    r"(?<![\w.@-])(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?\.)+"
    r"(?:[a-z]{2}|com|net|org|info|example|test|local|email|cloud|online|mail)(?![\w.-]*\w)"
)
_ID: Final = re.compile(r"(?<!\S)\W{0,3}(?=\S*\d\S*\d\S*\d)[a-z0-9._=+/-]{14,}\W{0,3}(?!\S)")
"""A queue's or session's id: no word, and the only part that differs between two replies of one kind."""
_DECORATION: Final = re.compile(r"\((?:auth|ehlo|helo|mail|rcpt|data)\)|\"[a-z]+(?:_[a-z]+)+\"|relay=\S*")
"""The command that Google echoes, the name of a setting in quotes, the peer in sendmail's words."""
_PEER: Final = re.compile(r"^\W*<ip>[ \d]*\] (?=our system|this |messages |the user |your message)")
"""Google begins with the peer's IP whatever the matter is: that names nobody."""
_QUOTES: Final = re.compile(r"[\"“”„«»]|(?<!\w)'(?=\w)|(?<=\w)'(?!\w)")
_JOINTS: Final = re.compile(r"_|(?<=[^\W\d])[-‐–](?=\w)|(?<=\w)[-‐–](?=[^\W\d])")
_CJK: Final = "\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef"
_BETWEEN_CJK: Final = re.compile(rf"(?<=[{_CJK}])\s+(?=[{_CJK}])")
_ONE_WORD: Final = re.compile(
    r"\b(e) (mails?)\b|\b(mail|in) (box\w*)|\b(black|block|deny|grey|gray) (list\w*)"
    r"|\b(over) (quota)|\b(rate) (limit\w*)|\b(user) (names?)\b"
)
"""Words that some write as two."""


@dataclass(frozen=True)
class Reply:
    """One reply. ``code`` is None when none came or it was cut; ``text`` is the plain form, ``shown`` one line for a person."""

    code: int | None
    enhanced: str
    text: str
    shown: str


def read(raw: str | bytes) -> Reply:
    """Parse a reply, one line or many. Never raises."""
    if isinstance(raw, bytes):
        raw = raw.decode("utf-8", "surrogateescape")
    raw = re.sub("[\ud800-\udfff]", _latin_1, raw)
    lines = [line for line in re.split(r"\r\n|\r|\n", raw) if line.strip()]
    parsed = [_LINE.match(line) for line in lines]
    last = next((match for match in reversed(parsed) if match), None)
    code = int(last[1]) if last and last[2] != "-" else None
    enhanced, texts = "", []
    for line, match in zip(lines, parsed, strict=True):
        text = match[3] if match else line.strip()
        if first := _ENHANCED_FIRST.match(text):
            enhanced, text = enhanced or first[1], text[first.end() :]
        texts.append(text)
    joined = " ".join(texts)
    if not enhanced and (found := _ENHANCED_ANYWHERE.search(joined)):
        enhanced = found[1]
    shown = " ".join("".join(c if c.isprintable() else " " for c in " ".join(lines)).split())
    return Reply(code, enhanced, plain(joined[:_LONGEST]), shown)


def _latin_1(surrogate: re.Match[str]) -> str:
    """An octet that was not UTF-8: older servers write Latin-1."""
    octet = ord(surrogate[0]) - 0xDC00
    return chr(octet) if 0x80 <= octet <= 0xFF else "?"


def plain(text: str) -> str:
    """The plain form of a text."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("ł", "l").replace("’", "'")
    without_accents = (c for c in unicodedata.normalize("NFD", text) if not "\u0300" <= c <= "\u036f")
    text = unicodedata.normalize("NFC", "".join(without_accents))
    text = _URL.sub(lambda url: " see:" + "-".join(_URL_WORDS.findall(url[0])) + " ", _TAG.sub(_link, text))
    for pattern, token in ((_ADDRESS, " <addr> "), (_IPV4, " <ip> "), (_HOST, "<host>")):
        text = pattern.sub(token, text)
    text = _IPV6.sub(lambda found: " <ip> " if _is_ip(found[1]) else found[0], text)
    text = _ID.sub(" ", _QUOTES.sub(" ", _DECORATION.sub(" ", _PEER.sub("", text))))
    text = " ".join(_JOINTS.sub(" ", text).split())
    return _ONE_WORD.sub(
        lambda two: "".join(part for part in two.groups() if part), _BETWEEN_CJK.sub("", text)
    )


def _link(tag: re.Match[str]) -> str:
    url = _URL.search(tag[0])
    return f" {url[0]} " if url else " "


def _is_ip(candidate: str) -> bool:
    try:
        ip_address(candidate)
    except ValueError:  # a time of day looks alike
        return False
    return True
