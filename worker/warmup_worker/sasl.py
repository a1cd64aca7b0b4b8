"""How a login is written for AUTH: PLAIN (RFC 4616), LOGIN, XOAUTH2 (Google's and Microsoft's form of a bearer token). Pure.

Which mechanism is used follows from what there is to log in with and what the server offers; there is no falling back from one
to another, because a second attempt would count as another wrong password.
"""

import base64
import binascii
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from warmup_worker.redaction import Redactor

COMMAND_OCTETS: Final = 512
"""Longest command line, CR LF included (RFC 5321 4.5.3.1.4)."""
_SHOWN_ERROR: Final = 200


@dataclass(frozen=True)
class Login:
    """A user name and a password. ``repr`` hides the password."""

    username: str
    password: str = field(repr=False)

    @property
    def redactor(self) -> Redactor:
        """Takes the password out of replies, in the forms that AUTH gives it."""
        return Redactor([self.password], [_plain(self).decode()])


@dataclass(frozen=True)
class Bearer:
    """A user name and an OAuth access token. ``repr`` hides the token."""

    username: str
    token: str = field(repr=False)

    @property
    def redactor(self) -> Redactor:
        """Takes the token out of replies, in the forms that AUTH gives it."""
        return Redactor([self.token], [_xoauth2(self).decode()])


@dataclass(frozen=True)
class Exchange:
    """What AUTH sends: the mechanism, and the answer to each challenge, in base64."""

    mechanism: str
    answers: tuple[bytes, ...] = field(repr=False)

    @property
    def initial(self) -> bytes | None:
        """The first answer where it may stand in the command; None where it must wait for a challenge (RFC 4954 section 4)."""
        first = self.answers[0]
        return first if len(f"AUTH {self.mechanism} ") + len(first) + 2 <= COMMAND_OCTETS else None


def exchange(login: Login | Bearer, offered: Collection[str]) -> Exchange | None:
    """The exchange for this login; None where the server offers no mechanism for it. ``offered``: in lower case."""
    if isinstance(login, Bearer):
        return Exchange("XOAUTH2", (_xoauth2(login),)) if "xoauth2" in offered else None
    if "plain" in offered:
        return Exchange("PLAIN", (_plain(login),))
    if "login" in offered:
        return Exchange("LOGIN", (_encoded(login.username), _encoded(login.password)))
    return None


def wanted(login: Login | Bearer) -> str:
    """The mechanisms that would do, for a message."""
    return "XOAUTH2" if isinstance(login, Bearer) else "PLAIN, LOGIN"


def error_in(challenge: str) -> str:
    """What a server tells in a 334 line after a token that it does not take: base64 of a JSON object with a status."""
    try:
        told = json.loads(base64.b64decode(challenge, validate=True))
    except (binascii.Error, ValueError):
        return challenge[:_SHOWN_ERROR]
    return json.dumps(told)[:_SHOWN_ERROR]


def _plain(login: Login) -> bytes:
    return _encoded(f"\0{login.username}\0{login.password}")


def _xoauth2(login: Bearer) -> bytes:
    return _encoded(f"user={login.username}\1auth=Bearer {login.token}\1\1")


def _encoded(text: str) -> bytes:
    return base64.b64encode(text.encode())
