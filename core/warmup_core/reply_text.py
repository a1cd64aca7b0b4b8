"""Reads an SMTP reply: its code, its enhanced code (RFC 3463), its text in one plain form, the seconds it asks to wait.

The plain form is what reply_concepts.py's patterns expect: lines joined and their codes taken off, casefolded, no Latin accents,
single spaces, no spaces between CJK letters, no hyphens or underscores inside words; addresses, hosts and IPs are ``<addr>``, ``<host>``,
``<ip>``. A link says little and often holds our IP as a mere parameter: only its words about block lists are kept (``see:``).

Invariants: every str and bytes reads as something; the plain form does not depend on case, spacing or where lines were wrapped.
Fails: a reply without a last line ("250-..." and then nothing) or without a code from 200 to 599 is no reply: ``code`` is None.
"""

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

SECOND, MINUTE, HOUR, DAY = 1, 60, 3_600, 86_400

_LINE: Final = re.compile(r"\s*([2-5]\d\d)(?:([ \t-])[ \t]*|$)(.*)")
_ENHANCED: Final = r"[245]\.[0-7]\.\d{1,3}"
_ENHANCED_FIRST: Final = re.compile(rf"[#(\[ ]*({_ENHANCED})(?![.\d])[)\]:]*\s*(?:-\s+)?")
_ENHANCED_ANYWHERE: Final = re.compile(rf"(?<![\d.])({_ENHANCED})(?![\d.]*\d)")
_URL: Final = re.compile(r"(?:https?://|www\.|aka\.ms/|ya\.cc/)[^\s<>\"]+")
_URL_WORDS: Final = re.compile(r"dns ?bl|rbl|black ?list|block ?list|returnc|openresolver")
_ADDRESS: Final = re.compile(r"<?[^\s<>@,;:()\[\]\"]+@[^\s<>@,;:()\[\]\"]+>?")
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\w)")
_IPV6: Final = re.compile(r"(?<![\w:])(?:ipv6:)?([0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})(?![\w:])")
_HOST: Final = re.compile(
    r"(?<![\w.@-])(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?\.)+(?:[a-z]{2}|com|net|org|info|example|test|local|email|cloud|online|mail)"
    r"(?![\w.-]*\w)"
)
_ID: Final = re.compile(r"(?<!\S)\W*(?=\S*\d\S*\d\S*\d)[a-z0-9._=+/-]{14,}\W*(?!\S)")
"""A queue's or session's id: no word, and the only part that differs between two replies of one kind."""
_DECORATION: Final = re.compile(r"\((?:auth|ehlo|helo|mail|rcpt|data)\)|\"[a-z]+(?:_[a-z]+)+\"|relay=\S*")
"""The command that Google echoes, the name of a setting in quotes, the peer in sendmail's words."""
_CJK: Final = "\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef"


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
    shown = " ".join("".join(c if c.isprintable() else " " for c in " ".join(lines)).split())
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
    return Reply(code, enhanced, plain(joined), shown)


def _latin_1(surrogate: re.Match[str]) -> str:
    """An octet that was not UTF-8: older servers write Latin-1."""
    octet = ord(surrogate[0]) - 0xDC00
    return chr(octet) if 0x80 <= octet <= 0xFF else "?"


def plain(text: str) -> str:
    """The plain form of a text. Idempotent for what matters: applying it twice matches the same words."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("ł", "l").replace("’", "'")
    text = "".join(c for c in unicodedata.normalize("NFD", text) if not "\u0300" <= c <= "\u036f")
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"</?[a-z]+(?: [^<>@]*)?>", " ", text) if "<a " in text or "<br" in text else text
    text = _URL.sub(lambda url: " see:" + "-".join(_URL_WORDS.findall(url[0])) + " ", text)
    for pattern, token in ((_ADDRESS, " <addr> "), (_IPV4, " <ip> "), (_HOST, "<host>")):
        text = pattern.sub(token, text)
    text = _IPV6.sub(lambda found: " <ip> " if _is_ip(found[1]) else found[0], text)
    text = re.sub(r"^\W*<ip>[ \d]*\] (?=our system|this |messages |the user |your message)", "", text)
    text = re.sub(r"[\"“”„«»]|(?<!\w)'(?=\w)|(?<=\w)'(?!\w)", " ", _DECORATION.sub(" ", text))
    text = _ID.sub(" ", text)
    text = re.sub(r"_|(?<=[^\W\d])[-‐–](?=\w)|(?<=\w)[-‐–](?=[^\W\d])", " ", text)
    text = re.sub(rf"\s+|(?<=[{_CJK}])\s+(?=[{_CJK}])", " ", text)
    text = re.sub(rf"(?<=[{_CJK}]) (?=[{_CJK}])", "", text)
    text = re.sub(
        r"\b(e) (mails?)\b|\b(mail|in) (box\w*)|\b(black|block|deny|grey|gray) (list\w*)", _joined, text
    )
    text = re.sub(r"\b(over) (quota)|\b(rate) (limit\w*)|\b(user) (names?)\b", _joined, text)
    return text.strip()


def _is_ip(candidate: str) -> bool:
    try:
        ip_address(candidate)
    except ValueError:  # a time of day looks alike
        return False
    return True


def _joined(match: re.Match[str]) -> str:
    return "".join(group for group in match.groups() if group)


_UNITS: Final = (
    (
        SECOND,
        r"s|secs?|seconds?|sekunden?|secondes?|segundos?|second[oi]|seconden|sekund\w*|секунд\w*|秒[钟鐘]?|초",
    ),
    (MINUTE, r"m|mins?|minutes?|minuten?|minutos?|minut[oi]|minut\w*|минут\w*|分[钟鐘]?|분"),
    (HOUR, r"h|hrs?|hours?|stunden?|std|heures?|horas?|or[ae]|uur|uren|godzin\w*|час\w*|小时|小時|時間|시간"),
    (DAY, r"d|days?|tag(?:en?)?|jours?|dias?|giorn[oi]|dag(?:en)?|dni|dzien|дн\w+|день|суток|天|日|일"),
)
_NUMBER: Final = r"(?<![a-zа-я0-9年月.,:/-])(\d{1,7}(?:[.,]\d+)?) ?"
_PAUSE: Final = (
    r"again|retry\w*|wait|reset\w*|renew\w*|enabled|unlock\w*|unblock\w*|lifted|back|expires?|available|resume\w*|erneut|warten|wieder|reessay\w*|"
    r"attend\w*|patient\w*|intent\w*|esper\w*|riprov\w*|attes\w*|tente|aguard\w*|opnieuw|wacht\w*|ponownie|odczeka\w*|sprob\w*|повтор\w*|подожд\w*|через|请|請"
)
_AFTERWARDS: Final = r"later|spater|plus tard|mas tarde|piu tardi|mais tarde|後|后|以后|以後|뒤|후"
_ONE: Final = r"an?|one|per|each|every|this|last|past|the|pro|je|einer|jede|letzten|par|une?|por|una?|cada|all'|al|ogni|uma|na|een|elk|в|за|每个?|毎|1|一"
_PERIODS: Final = (
    (SECOND, rf"(?:{_ONE}) ?(?:second|sec|sekunde|seconde|segundo|secondo|sekunde|секунду)\b|每秒|毎秒|秒間|초당"),
    (MINUTE, rf"(?:{_ONE}) ?(?:minute|min|minuto|minuut|minute|минуту)\b|每分钟|毎分|分間|분당"),
    (HOUR, rf"hourly|(?:{_ONE}) ?(?:hour|stunde|heure|hora|ora|uur|godzine|час)\b|stundlich|stundenlimit|horaire|orari[oa]|每?小[时時]|時間あたり|毎時|시간당"),
    (DAY, rf"daily|(?:{_ONE}) ?(?:day|tag|jour|dia|giorno|dag|dzien|день|сутки)\b|today|t(?:ag|aeg)lich\w*|tages\w*|heute|quotidien\w*|journalier\w*|"
     r"aujourd'hui|diari[oa]s?|\bhoy\b|giornalier\w*|\boggi\b|\bhoje\b|dagelijks\w*|daglimiet|vandaag|dzienn\w*|dzis\w*|суточн\w*|дневн\w*|每[日天]|[当當今]日|今天|一天|日限|本日|1日|一日|하루|일일"),
)  # fmt: skip
_SLASHED: Final = {SECOND: "s|sec|second", MINUTE: "m|min|minute", HOUR: "h|hr|hour", DAY: "d|day"}
_DATE: Final = re.compile(
    r"(?<!\w)(?:after|until|till|on|before|nach|bis|ab|apres|jusqu\w*|le|despues|hasta|el|dopo|fino|il|apos|ate|em|na|tot|op|po|do|dnia|после|до|至|到)\W"
    r"[^.;]{0,20}?(?:\d{4}-\d\d?-\d\d?|\d{1,2}[./]\d{1,2}[./]\d{2,4}|(?:mon|tue|wed|thu|fri|sat|sun)\w*,? \d|\d{1,2}\.? (?:jan|feb|mar|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w* \d|\d+月\d+日)|\d+月\d+日"
)
_CLOCK: Final = re.compile(r"(?:in|for|wait|back|again) (\d{1,2}):(\d\d):(\d\d)\b")
_SPANS: Final = tuple((seconds, rf"{_NUMBER}(?:{unit})(?![a-zа-я0-9])") for seconds, unit in _UNITS)
_ASKED: Final = tuple(
    (seconds, re.compile(rf"(?:{_PAUSE})[^.;]{{0,30}}?{span}|{span}(?: ?)(?:{_AFTERWARDS})"))
    for seconds, span in _SPANS
)
_NAMED: Final = tuple((seconds, re.compile(span)) for seconds, span in _SPANS)
_PERIOD: Final = tuple(
    (seconds, re.compile(rf"(?<![a-zа-я])(?:{period})|/ ?(?:{_SLASHED[seconds]})\b"))
    for seconds, period in _PERIODS
)


def seconds_to_wait(text: str) -> int | None:
    """The time that a plain text asks to wait, else the period it names in seconds; None when it names neither, or a calendar date."""
    if clock := _CLOCK.search(text):
        return int(clock[1]) * HOUR + int(clock[2]) * MINUTE + int(clock[3])
    if asked := _first(_ASKED, text):
        return asked
    if _DATE.search(text):
        return None
    return _first(_NAMED, text) or _first(_PERIOD, text)


def _first(patterns: tuple[tuple[int, re.Pattern[str]], ...], text: str) -> int | None:
    found = [
        (match.start(), seconds, match) for seconds, pattern in patterns if (match := pattern.search(text))
    ]
    if not found:
        return None
    _, seconds, match = min(found, key=lambda entry: entry[0])
    number = next((group for group in match.groups() if group), "1")
    return round(float(number.replace(",", ".")) * seconds) or None
