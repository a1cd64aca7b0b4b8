"""How long the text of an SMTP reply asks to wait, in the languages of reply_words.py.

The time that the text gives for coming back ("reset in 21.99 hours", "come back in 00:02:00"), else a span or period
that it names ("past 24h", "per minute", "daily", 每日). A calendar date gives None: what it means depends on a clock and a zone.

Invariants: pure; whole seconds, above zero. Fails: a time in words that are not listed is not seen.
"""

import re
from typing import Final

SECOND, MINUTE, HOUR, DAY = 1, 60, 3_600, 86_400

_UNITS: Final = (
    (
        SECOND,
        r"s|secs?|seconds?|sekunden?|secondes?|segundos?|second[oi]|seconden|sekund\w*|секунд\w*|秒[钟鐘]?|초",
    ),
    (MINUTE, r"m|mins?|minutes?|minuten?|minutos?|minut[oi]|minut\w*|минут\w*|分[钟鐘]?|분"),
    (HOUR, r"h|hrs?|hours?|stunden?|std|heures?|horas?|or[ae]|uur|uren|godzin\w*|час\w*|小时|小時|時間|시간"),
    (DAY, r"d|days?|tag(?:en)?|jours?|dias?|giorn[oi]|dag(?:en)?|dni|dzien|дн\w+|день|суток|天|日|일"),
)
_NUMBER: Final = r"(?<![a-zа-я0-9年月.,:/-])(\d{1,7}(?:[.,]\d+)?) ?"
_SPANS: Final = tuple((seconds, rf"{_NUMBER}(?:{unit})(?![a-zа-я0-9])") for seconds, unit in _UNITS)

_COME_BACK: Final = (
    r"again|retry\w*|wait|reset\w*|renew\w*|enabled|unlock\w*|unblock\w*|lifted|back|expires?|available|resume\w*"
    r"|erneut|warten|wieder|reessay\w*|attend\w*|patient\w*|intent\w*|esper\w*|riprov\w*|attes\w*|tente|aguard\w*"
    r"|opnieuw|wacht\w*|ponownie|odczeka\w*|sprob\w*|повтор\w*|подожд\w*|через|请|請"
)
_AFTERWARDS: Final = r"later|spater|plus tard|mas tarde|piu tardi|mais tarde|後|后|以后|以後|뒤|후"

_ONE: Final = (
    r"an?|one|per|each|every|this|last|past|the|pro|je|einer|jede|letzten|par|une?|por|una?|cada|all'|al|ogni|uma|na"
    r"|een|elk|в|за|每个?|毎|1|一"
)
_PERIODS: Final = (
    (
        SECOND,
        rf"(?:{_ONE}) ?(?:second|sec|sekunde|seconde|segundo|secondo|секунду)\b|每秒|毎秒|秒間|초당",
        "s|sec|second",
    ),
    (MINUTE, rf"(?:{_ONE}) ?(?:minute|min|minuto|minuut|минуту)\b|每分钟|毎分|分間|분당", "m|min|minute"),
    (
        HOUR,
        rf"(?:{_ONE}) ?(?:hour|stunde|heure|hora|ora|uur|godzine|час)\b|hourly|stundlich|stundenlimit|horaire|orari[oa]"
        r"|hour (?:limit|quota)|每?小[时時]|時間あたり|毎時|시간당",
        "h|hr|hour",
    ),
    (
        DAY,
        rf"(?:{_ONE}) ?(?:day|tag|jour|dia|giorno|dag|dzien|день|сутки)\b|daily|today|t(?:ag|aeg)lich\w*|tages\w*|heute"
        r"|quotidien\w*|journalier\w*|aujourd'hui|diari[oa]s?|hoy\b|giornalier\w*|oggi\b|hoje\b|dagelijks\w*|daglimiet"
        r"|day (?:limit|quota)"
        r"|vandaag|dzienn\w*|dzis\w*|суточн\w*|дневн\w*|每[日天]|[当當今]日|今天|一天|日限|本日|1日|一日|하루|일일",
        "d|day",
    ),
)

_UNTIL: Final = (
    r"after|until|till|on|before|nach|bis|ab|apres|jusqu\w*|le|despues|hasta|el|dopo|fino|il|apos|ate|em|na|tot|op|po|do"
    r"|dnia|после|до|至|到"
)
_MONTH: Final = r"(?:jan|feb|mar|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)\w*"
_DATE: Final = re.compile(
    rf"(?<!\w)(?:{_UNTIL})\W[^.;]{{0,20}}?(?:\d{{4}}-\d\d?-\d\d?|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}"
    rf"|(?:mon|tue|wed|thu|fri|sat|sun)\w*,? \d|\d{{1,2}}\.? {_MONTH}|{_MONTH} \d)|\d+月\d+日"
)
_CLOCK: Final = re.compile(r"(?:in|for|wait|back|again) (\d{1,2}):(\d\d):(\d\d)\b")

_Timed = tuple[tuple[int, re.Pattern[str]], ...]
_ASKED: Final[_Timed] = tuple(
    (seconds, re.compile(rf"(?:{_COME_BACK})[^.;]{{0,30}}?{span}|{span} ?(?:{_AFTERWARDS})"))
    for seconds, span in _SPANS
)
_NAMED: Final[_Timed] = tuple((seconds, re.compile(span)) for seconds, span in _SPANS)
_PERIOD: Final[_Timed] = tuple(
    (seconds, re.compile(rf"(?<![a-zа-я])(?:{words})|/ ?(?:{short})\b")) for seconds, words, short in _PERIODS
)


def seconds_to_wait(text: str) -> int | None:
    """The seconds that a plain text asks to wait, else those of the period it names; None for neither and for a date."""
    if clock := _CLOCK.search(text):
        return int(clock[1]) * HOUR + int(clock[2]) * MINUTE + int(clock[3]) or None
    if asked := _first(_ASKED, text):
        return asked
    if _DATE.search(text):
        return None
    return _first(_NAMED, text) or _first(_PERIOD, text)


def _first(patterns: _Timed, text: str) -> int | None:
    """What stands first in the text, in seconds."""
    found = [
        (match.start(), seconds, match) for seconds, pattern in patterns if (match := pattern.search(text))
    ]
    if not found:
        return None
    _, seconds, match = min(found, key=lambda entry: entry[0])
    number = next((group for group in match.groups() if group), "1")
    return round(float(number.replace(",", ".")) * seconds) or None
