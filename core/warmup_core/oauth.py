"""OAuth applications (RFC 6749), and what a token endpoint's answer to a refresh means. Pure.

An application is what an administrator registers once at a provider: client id, client secret, token endpoint, scope. Each of its
mailboxes has a refresh token of its own. Whom an answer concerns decides who waits:

| answer | kind | concerns |
|---|---|---|
| 200 with an access token | ``Granted`` | |
| invalid_grant and its kin: revoked, expired, consent or a sign-in needed | grant_refused | the mailbox: a person must act |
| invalid_client and its kin, 3xx, 4xx that no token endpoint gives | application_refused | every mailbox of the application |
| 408, 429, 5xx, temporarily_unavailable, no answer | unavailable | every mailbox of the application, for a while |
| anything else | unclear | the mailbox, which tries again later |

Fails: a file of applications with faults is refused whole, each fault with its application; no message repeats a client secret.
"""

import email.utils
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from warmup_core.types import Refused

EARLY_SECONDS: Final = 60.0
"""How long before its end an access token counts as ended."""
UNSAID_SECONDS: Final = 300.0
"""How long an access token is taken to live whose end nobody told."""
_LONGEST_SECONDS: Final = 86_400.0
_LONGEST_WAIT: Final = 3600.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_TOKEN: Final = re.compile(r"[!-~]{1,16384}")
"""RFC 6749 appendix A allows blanks as well; no provider uses them, and here they would end a word of a command."""

_GRANT: Final = frozenset(
    {
        "invalid_grant",
        "access_denied",
        # Microsoft: learn.microsoft.com/entra/identity-platform/reference-error-codes
        "interaction_required",
        "consent_required",
        "login_required",
        # Google: developers.google.com/identity/protocols/oauth2/web-server#authorization-errors
        "admin_policy_enforced",
        "org_internal",
    }
)
_APPLICATION: Final = frozenset(
    {
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "deleted_client",
        "disabled_client",
    }
)
_LATER: Final = frozenset(
    {"temporarily_unavailable", "server_error", "slow_down", "rate_limit_exceeded", "internal_failure"}
)


@dataclass(frozen=True)
class Application:
    """A client registered at a provider. ``repr`` hides its secret; a public client has none."""

    name: str
    client_id: str
    token_endpoint: str
    client_secret: str = field(default="", repr=False)
    scope: str = ""


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    client_id: str = Field(min_length=1, max_length=512)
    client_secret: SecretStr = SecretStr("")
    token_endpoint: str = Field(max_length=2048)
    scope: str = Field("", max_length=2048)


def parse_applications(text: str) -> dict[str, Application]:
    """Applications by name, from a JSON object of objects. Raises Refused with every fault."""
    faults: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            faults.extend(
                f"{name!r} is there twice" for name in found if [it for it, _ in pairs].count(name) > 1
            )
        return found

    summary = "The OAuth applications cannot be used."
    try:
        given = json.loads(text, object_pairs_hook=once)
    except ValueError as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "somewhere"
        raise Refused(summary, [f"{where}: it is not JSON"]) from None
    if not isinstance(given, dict):
        raise Refused(summary, ["it is not a JSON object of applications by name"])
    applications = {}
    for name, it in given.items():
        if not _NAME.fullmatch(name):
            faults.append(f"{name[:80]!r} is no name: up to 63 letters, digits, dots and dashes")
            continue
        if not isinstance(it, dict):
            faults.append(f"{name}: it is not a JSON object")
            continue
        try:
            read = _Given.model_validate(it)
        except ValidationError as error:
            faults += [f"{name}: {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
            continue
        if wrong := _endpoint_fault(read.token_endpoint):
            faults.append(f"{name}: token_endpoint: {wrong}")
        secret = read.client_secret.get_secret_value()
        applications[name] = Application(name, read.client_id, read.token_endpoint, secret, read.scope)
    if faults:
        raise Refused(summary, faults)
    return applications


def _endpoint_fault(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme != "https" or not parts.hostname:
        return "write an https:// URL; secrets never go out in clear text"
    if parts.username is not None or parts.fragment:
        return "neither a user nor a fragment may stand in it"
    return None


def well_formed(token: str) -> bool:
    """Whether a token can go over the wire: visible ASCII, of a length that ends."""
    return _TOKEN.fullmatch(token) is not None


def fingerprint(token: str) -> str:
    """Tells whether a file brings the same refresh token again, though the provider has rotated it since."""
    return sha256(token.encode()).hexdigest()


class Kind(StrEnum):
    """Why there is no access token, and whom that concerns."""

    GRANT_REFUSED = "grant_refused"
    APPLICATION_REFUSED = "application_refused"
    UNAVAILABLE = "unavailable"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Granted:
    """An access token for ``seconds`` from the request on, and the next refresh token where the provider rotates them."""

    access_token: str = field(repr=False)
    seconds: float
    refresh_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Trouble:
    """No access token. ``words``: the provider's, or ours; as they came, so redact them. ``retry_after``: seconds asked for."""

    kind: Kind
    words: str
    retry_after: float | None = None


def judge(status: int, body: str, retry_after: str | None, now: datetime) -> Granted | Trouble:
    """What an answer means. ``retry_after``: the header as it came; ``now``: aware."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    answer: Mapping[str, Any] = told if isinstance(told, dict) else {}
    error = str(answer.get("error") or "")
    words = ": ".join(filter(None, [error, str(answer.get("error_description") or "")])) or f"HTTP {status}"
    if status in {408, 429} or status >= 500 or error in _LATER:
        return Trouble(Kind.UNAVAILABLE, words, _seconds(retry_after, now))
    if error in _GRANT:
        return Trouble(Kind.GRANT_REFUSED, words)
    if error in _APPLICATION:
        return Trouble(Kind.APPLICATION_REFUSED, words)
    if error:
        return Trouble(Kind.UNCLEAR, words)
    if not 200 <= status < 300:
        return Trouble(
            Kind.APPLICATION_REFUSED, f"HTTP {status}, which is no token endpoint's answer: is its URL right?"
        )
    return _granted(answer)


def _granted(answer: Mapping[str, Any]) -> Granted | Trouble:
    access, refresh = answer.get("access_token"), answer.get("refresh_token")
    if not isinstance(access, str) or not well_formed(access):
        return Trouble(Kind.UNCLEAR, "the answer holds no access token that can be used")
    if str(answer.get("token_type") or "bearer").lower() != "bearer":
        return Trouble(Kind.UNCLEAR, "the answer's token is no bearer token")
    if refresh is not None and (not isinstance(refresh, str) or not well_formed(refresh)):
        return Trouble(Kind.UNCLEAR, "the answer holds a refresh token that cannot be used")
    try:
        seconds = float(answer.get("expires_in") or UNSAID_SECONDS)
    except (TypeError, ValueError, OverflowError):
        seconds = UNSAID_SECONDS
    return Granted(access, min(seconds, _LONGEST_SECONDS) if seconds > 0 else 0.0, refresh)


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """The seconds of a Retry-After header, which holds a number or a date (RFC 9110 section 10.2.3)."""
    if retry_after is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", retry_after):
        seconds = float(retry_after)
    else:
        try:
            at = email.utils.parsedate_to_datetime(retry_after)
        except (ValueError, OverflowError):
            return None
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    return min(max(seconds, 0.0), _LONGEST_WAIT)
