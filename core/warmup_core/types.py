"""The words everybody here uses: states of a mail, a growth, names of the API, protocol constants, durations, a refusal.

Owns no behaviour beyond reading a duration. Pure: no I/O, no clock, no randomness.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

GROUP: Final = "warmupfleet.io"
VERSION: Final = "v1alpha1"
KIND: Final = "WarmupFleet"
PLURAL: Final = "warmupfleets"
API_VERSION: Final = f"{GROUP}/{VERSION}"
DATABASE_CA_KEY: Final = "ca.crt"
"""The key of the authorities beside a database URL's in its Secret."""

HEARTBEAT_SECONDS: Final = 2.0
"""H: how often a worker renews its lease and hears of changes. 3H < LEASE."""
LEASE_SECONDS: Final = 20.0
"""L: how long a silent worker still counts as live."""
CLAIM_SECONDS: Final = 60.0
"""X: how old a claim may be when the final dot is written."""
SWEEP_SECONDS: Final = 70.0
"""G: how old an open intent of a dead worker must be before it is in doubt. G >= X + the worst step of the clock."""
STATEMENT_SECONDS: Final = 2.0
"""s: the longest a statement of a worker may take. s < X."""
REPLY_SECONDS: Final = 600.0
"""How long the reply to the final dot is awaited (RFC 5321, 4.5.3.2.6)."""
CLAIM_TO_MAIL_SECONDS: Final = 2.0
"""How old a claim may be when MAIL FROM is written, so that limits counted at claims hold at the server."""
RESIZE_SECONDS: Final = 600.0
"""Rp: how long new workers may take to become live before the fleet stays with those it has."""
RETRY_SECONDS: Final = 600.0
"""How long a growth that failed is not tried again; doubled with each further failure."""
LONGEST_RETRY_SECONDS: Final = 3600.0
"""What the doubling ends at."""
LOST_SECONDS: Final = 60.0
"""How long a lease must be out before the pod of a lost node, Terminating for ever, is deleted by force."""
ROLLOUT_SECONDS: Final = 120.0
"""How long a worker may be away while a rollout replaces its pod before it counts as down."""

MOST_CONCURRENT_SENDS: Final = 10_000
"""Mails that one worker may be allowed to have in flight: at 8 s a send more than one core sends."""
MOST_MAILBOXES_PER_WORKER: Final = 1_000_000
MOST_CONNECTIONS: Final = 10_000
"""Connections that a fleet may declare for itself."""

DURATION_PATTERN: Final = r"^[1-9][0-9]*(ms|s|m|h)$|^0s$"
START_PATTERN: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"
TIME_OF_DAY_PATTERN: Final = r"^(([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?|24:00(:00)?)$"
PROVIDER_PATTERN: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
"""The name of a provider, or of a mail host that is one of its own."""
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


class MailState(StrEnum):
    """A mail's life: ``intent`` -> ``sent`` | ``failed`` | ``in_doubt``; a late 250 turns ``in_doubt`` into ``sent``."""

    INTENT = "intent"
    SENT = "sent"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True)
class Growth:
    """What the fleet's row remembers of a wish for more workers; every instant by the database's clock.

    ``since``: more are wanted than there are, from then on. ``failed_target``: the least count that could not be reached, not
    tried again before ``retry_after``; after ``attempts`` failures in a row, the last one for ``reason``.
    """

    since: datetime | None = None
    failed_target: int | None = None
    retry_after: datetime | None = None
    attempts: int = 0
    reason: str = ""


class Refused(Exception):
    """Input refused whole. ``faults`` lists every fault in words for the person who gave the input."""

    def __init__(self, summary: str, faults: list[str] | None = None) -> None:
        self.summary = summary
        self.faults = faults or []
        super().__init__("\n".join([summary, *(f"  {fault}" for fault in self.faults)]))


def milliseconds(duration: str) -> int:
    """``"2m"`` -> 120000. Raises ValueError for what does not match ``DURATION_PATTERN``."""
    if not re.match(DURATION_PATTERN, duration):
        raise ValueError(
            f"{duration!r} is not a duration: write a whole number and ms, s, m or h, such as 500ms or 2m"
        )
    number, unit = re.fullmatch(r"([0-9]+)([a-z]+)", duration).groups()  # type: ignore[union-attr]
    return int(number) * _UNIT_MS[unit]


def end_of_window(time: str) -> int:
    """``seconds_of_day`` of an end: midnight is the end of a day, not its beginning. Raises ValueError."""
    return seconds_of_day(time) or 86_400


def seconds_of_day(time: str) -> int:
    """``"08:30"`` -> 30600; ``"24:00"`` is the end of the day; seconds may follow. Raises ValueError."""
    match = re.match(TIME_OF_DAY_PATTERN, time)
    if not match:
        raise ValueError(
            f"{time!r} is not a time of day: write HH:MM or HH:MM:SS, 24:00 for the end of the day"
        )
    hours, minutes, seconds = ([int(part) for part in time.split(":")] + [0])[:3]
    return hours * 3600 + minutes * 60 + seconds
