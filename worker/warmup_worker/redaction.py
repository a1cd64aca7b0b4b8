"""Takes secrets, and what no terminal should get, out of words from elsewhere before anybody keeps, logs or shows them. Pure.

A server may repeat what a login sent: as it was, in base64 as AUTH carried it, in other capitals, over several lines, cut short.
So every form that a secret has on the wire is looked for whatever its case; of a long one (a token, a SASL response) any piece
of twice ``_PIECE`` characters is found. It costs 0.01 ms a mail.
Invariant: redact first, cut to a length after (``readable``), or half a token stays behind. What has fewer than ``_SHORTEST``
characters is left alone: it would take ordinary words with it.
"""

import base64
import re
from collections.abc import Iterable
from typing import Final

HIDDEN: Final = "***"
_SHORTEST: Final = 4
_LONG: Final = 40
"""From this length on a form is recognised by its pieces."""
_PIECE: Final = 8
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_REPLY_CHARACTERS: Final = 500
_RUN: Final = re.compile(rf"[^\s\x00-\x20]{{{_PIECE},}}")


class Redactor:
    """Knows some secrets. ``repr`` shows none."""

    def __init__(self, secrets: Iterable[str], encoded: Iterable[str] = ()) -> None:
        """``encoded``: what holds a secret as it went over the wire, such as the response of a SASL mechanism."""
        forms = [*encoded]
        for secret in secrets:
            forms += [*_base64(secret), secret]
        forms.sort(key=len, reverse=True)  # a form may hold a shorter one
        self._whole = [it.lower() for it in forms if len(it) >= _SHORTEST]
        self._long = [it for it in self._whole if len(it) >= _LONG]

    def __repr__(self) -> str:
        return f"Redactor({len(self._whole)} forms)"

    def __call__(self, text: str) -> str:
        """The text with ``***`` in the place of every secret."""
        low = text.lower()
        if len(low) != len(text):  # a letter that grows in lower case: positions would not fit
            text = low
        for form in self._whole:
            if form in low:
                text = re.sub(re.escape(form), HIDDEN, text, flags=re.IGNORECASE)
                low = text.lower()
        return _RUN.sub(self._without_pieces, text) if self._long else text

    def _without_pieces(self, run: re.Match[str]) -> str:
        """A run of visible characters, or ``***`` where a piece of a long secret stands in it."""
        low = run[0].lower()
        for at in range(0, len(low) - _PIECE + 1, _PIECE):
            piece = low[at : at + _PIECE]
            for form in self._long:
                if piece in form:
                    return HIDDEN
        return run[0]


def readable(text: str) -> str:
    """A server's words made safe for a database, a log and a terminal."""
    return _UNPRINTABLE.sub(" ", text).strip()[:_REPLY_CHARACTERS]


def _base64(secret: str) -> tuple[str, str]:
    """With its padding and without."""
    encoded = base64.b64encode(secret.encode("utf-8", "surrogateescape")).decode()
    return encoded, encoded.rstrip("=")
