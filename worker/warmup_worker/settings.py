"""The worker's environment: what it may hold, what each value means, and every fault in it at once.

Invariants: nothing here is written back or logged; ``repr`` shows no secret. A variable that is set and not read is told in
``notices``, also one that lacks only the prefix. Fails: ``Refused`` with one line a fault, the notices among them.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError
from sqlalchemy.engine import URL

from warmup_core import database
from warmup_core.credentials import Keys, parse_keys
from warmup_core.ramp import RAMP_TYPES, Weekday
from warmup_core.settings import FleetSettings
from warmup_core.templates import Template
from warmup_core.threads import MOST_PERCENT
from warmup_core.types import START_PATTERN, Refused, seconds_of_day
from warmup_worker.mounted import Mounted, read_text
from warmup_worker.timing import Timing, parse_timing
from warmup_worker.wording import TemplateFolder, built_in

T = TypeVar("T")

FLEET_VARIABLES: Mapping[str, str] = {
    "WARMUP_EMAILS_PER_MAILBOX_PER_DAY": "emails_per_mailbox_per_day",
    "WARMUP_RAMP_TYPE": "ramp_type",
    "WARMUP_RAMP_START": "ramp_start",
    "WARMUP_RAMP_STEP": "ramp_step",
    "WARMUP_RAMP_STEPS": "ramp_steps",
    "WARMUP_DAYS": "days",
    "WARMUP_WINDOW_FROM": "window_from_seconds",
    "WARMUP_WINDOW_TO": "window_to_seconds",
    "WARMUP_MAILBOX_COOLDOWN_MIN_MS": "cooldown_min_ms",
    "WARMUP_MAILBOX_COOLDOWN_MAX_MS": "cooldown_max_ms",
    "WARMUP_MAX_CONCURRENT": "max_concurrent_sends",
    "WARMUP_SMTP_ALLOWED_NETWORKS": "smtp_allowed_networks",
    "WARMUP_REPLY_PERCENT": "reply_percent",
    "WARMUP_GLOBAL_MINUTE_LIMIT": "per_minute_limit",
    "WARMUP_GLOBAL_HOURLY_LIMIT": "per_hour_limit",
    "WARMUP_WORKER_HOURLY_LIMIT": "per_worker_per_hour_limit",
    "WARMUP_USER_HOURLY_LIMIT": "per_worker_per_hour_limit",
}
"""What worker 1 writes into the fleet's row where no operator does, by the name of the setting."""

_PER_WORKER = ("WARMUP_WORKER_HOURLY_LIMIT", "WARMUP_USER_HOURLY_LIMIT")
"""Two names of one limit: the second is the older, and was always meant for each worker."""

VARIABLES = frozenset(
    {
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "WARMUP_WORKER_ID",
        "WARMUP_WORKER_COUNT",
        "WARMUP_ENCRYPTION_KEYS",
        "WARMUP_ENCRYPTION_KEYS_FILE",
        "WARMUP_SMTP_CA_FILE",
        "WARMUP_TEMPLATES_DIR",
        "WARMUP_TELEMETRY_HOST",
        "WARMUP_TELEMETRY_PORT",
        "WARMUP_GRACE_SECONDS",
        "WARMUP_TIME_ZONE",
        "WARMUP_TIMING",
        *FLEET_VARIABLES,
    }
)


@dataclass(frozen=True)
class WantedFleet:
    """What a fleet without an operator should be, as each worker's environment says it; worker 1's is written."""

    worker_count: int
    settings: FleetSettings
    time_zone: str


@dataclass(frozen=True)
class WorkerSettings:
    """One worker's environment, read and checked. ``wanted`` is None where an operator writes the fleet's row."""

    number: int
    url: URL
    current_url: Callable[[], URL] = field(repr=False)
    keys: Callable[[], Keys] = field(repr=False)
    ca_file: Path | None = None
    templates: Callable[[], Sequence[Template]] = built_in
    """What mails say, as it stands now."""
    telemetry_host: str = "0.0.0.0"  # noqa: S104 - a pod's own address, for the kubelet and Prometheus
    telemetry_port: int = 3000
    grace_seconds: float = 90.0
    wanted: WantedFleet | None = None
    timing: Timing = field(default_factory=Timing)
    notices: tuple[str, ...] = ()


class _Reader:
    """Reads single variables and collects every fault."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = {name: value for name, value in environ.items() if value != ""}
        self.faults: list[str] = []
        self.notices: list[str] = []

    def whole(self, name: str, low: int, high: int, default: int | None = None, hint: str = "") -> int | None:
        """A whole number in [low, high]."""
        raw = self.environ.get(name)
        if raw is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", raw):
            self.faults.append(f"{name}={raw!r} is not a whole number.{hint}")
        elif not low <= int(raw) <= high:
            self.faults.append(f"{name}={raw} must lie between {low} and {high}.")
        else:
            return int(raw)
        return default

    def parsed(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """``parse`` raises Refused or ValueError with words for a person."""
        if name not in self.environ:
            return default
        try:
            return parse(self.environ[name])
        except (Refused, ValueError) as fault:
            self.faults.append(str(fault) if str(fault).startswith(name) else f"{name}: {fault}")
            return default

    def value_or_file(self, name: str, parse: Callable[[str], T]) -> Callable[[], T] | None:
        """``NAME`` itself, or the file that ``NAME_FILE`` names, read again when it changes."""
        plain, path = self.environ.get(name), self.environ.get(f"{name}_FILE")
        if (plain is None) == (path is None):
            either = f"{name} or {name}_FILE"
            self.faults.append(
                f"{either} is required." if plain is None else f"{either}: give one, not both."
            )
            return None
        try:
            if path is not None:
                return Mounted(Path(path), f"{name}_FILE", parse).current
            value = parse(plain or "")
            return lambda: value
        except Refused as refused:
            self.faults.append(f"{name}: {refused}" if plain is not None else str(refused))
            return None


def _start_of_window(text: str) -> int:
    if not re.match(START_PATTERN, text):
        raise ValueError(f"{text!r} is not a time of day before 24:00: write HH:MM or HH:MM:SS")
    return seconds_of_day(text)


def _networks(text: str) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())


def _one_of(text: str, words: Sequence[str]) -> str:
    """The word as it is written in the manifest, whatever its case here."""
    for word in words:
        if text.strip().lower() == word.lower():
            return word
    raise ValueError(f"{text!r} is none of {', '.join(words)}")


def _days(text: str) -> tuple[str, ...]:
    return tuple(_one_of(part, tuple(Weekday)) for part in text.split(","))


def _steps(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,4}", part) for part in parts):
        raise ValueError(f"{text!r} is no list of whole numbers such as 3,5,8")
    return tuple(map(int, parts))


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{text!r} is no IANA time zone, such as Europe/Berlin") from None
    return text


def _limits(reader: _Reader) -> dict[str, int | None]:
    """The limits that are given, by the name of the setting; ``none`` takes one away."""
    found: dict[str, int | None] = {}
    for variable in ("WARMUP_GLOBAL_MINUTE_LIMIT", "WARMUP_GLOBAL_HOURLY_LIMIT", *_PER_WORKER):
        if variable not in reader.environ:
            continue
        setting = FLEET_VARIABLES[variable]
        none = reader.environ[variable].lower() == "none"
        count = None if none else reader.whole(variable, 1, 60_000_000, hint=" Write none for no limit.")
        if setting in found and found[setting] != count:
            reader.faults.append(
                f"{' and '.join(_PER_WORKER)} mean the same, the limit of one worker: give one."
            )
        found[setting] = count
    if "WARMUP_USER_HOURLY_LIMIT" in reader.environ:
        reader.notices.append(
            "WARMUP_USER_HOURLY_LIMIT limits each worker; its plain name is WARMUP_WORKER_HOURLY_LIMIT."
        )
    return found


def _wanted(reader: _Reader) -> WantedFleet | None:
    count = reader.whole("WARMUP_WORKER_COUNT", 1, 1000)
    if "WARMUP_WORKER_COUNT" not in reader.environ:
        for name in [*FLEET_VARIABLES, "WARMUP_TIME_ZONE"]:
            if name in reader.environ:
                reader.notices.append(
                    f"{name} is read only beside WARMUP_WORKER_COUNT; in Kubernetes it stands in the WarmupFleet."
                )
        return None
    shape = FleetSettings()
    given = {
        "emails_per_mailbox_per_day": reader.whole("WARMUP_EMAILS_PER_MAILBOX_PER_DAY", 1, 2000),
        "ramp_type": reader.parsed("WARMUP_RAMP_TYPE", lambda text: _one_of(text, RAMP_TYPES), None),
        "ramp_start": reader.whole("WARMUP_RAMP_START", 1, 2000),
        "ramp_step": reader.whole("WARMUP_RAMP_STEP", 0, 2000),
        "ramp_steps": reader.parsed("WARMUP_RAMP_STEPS", _steps, None),
        "days": reader.parsed("WARMUP_DAYS", _days, None),
        "window_from_seconds": reader.parsed("WARMUP_WINDOW_FROM", _start_of_window, None),
        "window_to_seconds": reader.parsed("WARMUP_WINDOW_TO", seconds_of_day, None),
        "cooldown_min_ms": reader.whole("WARMUP_MAILBOX_COOLDOWN_MIN_MS", 0, 86_400_000),
        "cooldown_max_ms": reader.whole("WARMUP_MAILBOX_COOLDOWN_MAX_MS", 0, 86_400_000),
        "max_concurrent_sends": reader.whole("WARMUP_MAX_CONCURRENT", 1, 500),
        "smtp_allowed_networks": reader.parsed("WARMUP_SMTP_ALLOWED_NETWORKS", _networks, None),
        "reply_percent": reader.whole("WARMUP_REPLY_PERCENT", 0, MOST_PERCENT),
    }
    try:
        shape = FleetSettings.model_validate(
            {name: it for name, it in given.items() if it is not None} | _limits(reader)
        )
    except ValidationError as error:
        reader.faults += [": ".join([*map(str, it["loc"]), it["msg"]]) for it in error.errors()]
    if shape.window_from_seconds >= shape.window_to_seconds:
        reader.faults.append("WARMUP_WINDOW_FROM must lie before WARMUP_WINDOW_TO on the same day.")
    if shape.cooldown_min_ms > shape.cooldown_max_ms:
        reader.faults.append(
            f"WARMUP_MAILBOX_COOLDOWN_MIN_MS ({shape.cooldown_min_ms}) must not be greater than"
            f" WARMUP_MAILBOX_COOLDOWN_MAX_MS ({shape.cooldown_max_ms})."
        )
    zone = reader.parsed("WARMUP_TIME_ZONE", _zone, "UTC")
    return WantedFleet(count or 1, shape, zone)


# Kubernetes puts the addresses of a namespace's Services into every pod: WARMUP_FLEET_SERVICE_HOST for `warmup-fleet`.
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT\w*)$|_PORT(_\d+_(TCP|UDP|SCTP)\w*)?$")


def _unread(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and are not read: a mistyped name, or a name without its prefix."""
    notices = []
    for name in sorted(environ):
        if name.startswith("WARMUP_") and name not in VARIABLES and not _SERVICE_LINK.search(name):
            close = difflib.get_close_matches(name, VARIABLES, n=1, cutoff=0.85)
            notices.append(f"{name} is set but not read." + (f" Is {close[0]} meant?" if close else ""))
        elif f"WARMUP_{name}" in VARIABLES and f"WARMUP_{name}" not in environ:
            notices.append(f"{name} is set but not read: it is called WARMUP_{name}.")
    return notices


def read_settings(environ: Mapping[str, str]) -> WorkerSettings:
    """Read the worker's environment; a variable set to nothing counts as not set. Raises Refused with every fault."""
    reader = _Reader(environ)
    number = reader.whole(
        "WARMUP_WORKER_ID",
        1,
        1_000_000,
        hint=" It is the worker's number, from 1: in Kubernetes the label apps.kubernetes.io/pod-index, not the pod's name.",
    )
    if "WARMUP_WORKER_ID" not in reader.environ:
        reader.faults.append("WARMUP_WORKER_ID is required: the worker's number, from 1.")
    url = reader.value_or_file("DATABASE_URL", database.parse_url)
    keys = reader.value_or_file("WARMUP_ENCRYPTION_KEYS", parse_keys)
    ca_file = reader.environ.get("WARMUP_SMTP_CA_FILE")
    if ca_file is not None:
        reader.parsed("WARMUP_SMTP_CA_FILE", lambda path: read_text(Path(path), "WARMUP_SMTP_CA_FILE"), "")
    ours: Callable[[], Sequence[Template]] = built_in
    templates = reader.parsed("WARMUP_TEMPLATES_DIR", lambda path: TemplateFolder(Path(path)).current, ours)
    port = reader.whole("WARMUP_TELEMETRY_PORT", 0, 65_535, 3000)
    grace = reader.whole("WARMUP_GRACE_SECONDS", 1, 86_400, 90)
    wanted = _wanted(reader)
    timing = reader.parsed("WARMUP_TIMING", parse_timing, Timing())
    notices = reader.notices + _unread(reader.environ)
    if reader.faults or number is None or url is None or keys is None:
        raise Refused("The worker's environment cannot be used.", reader.faults + notices)
    return WorkerSettings(
        number=number,
        url=url(),
        current_url=url,
        keys=keys,
        ca_file=Path(ca_file) if ca_file else None,
        templates=templates,
        telemetry_host=reader.environ.get("WARMUP_TELEMETRY_HOST", "0.0.0.0"),  # noqa: S104
        telemetry_port=port if port is not None else 3000,
        grace_seconds=float(grace or 90),
        wanted=wanted,
        timing=timing,
        notices=tuple(notices),
    )
