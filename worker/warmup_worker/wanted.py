"""What a fleet without an operator should be, as the environment of its workers says it.

The names are those of the scheme that the fleet grows out of, and our own beside them. Worker 1's environment is what the fleet
becomes; what another worker's says is only a reason not to be ready. What is not given is as in a manifest that does not say,
except the pauses of the runs of mode Interval: without a variable there is none.
Fails: notes every fault in the ``Reader``, contradictions among them.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from warmup_core.connections import APART
from warmup_core.hours import read_days, read_end, read_start, read_zone
from warmup_core.ramp import RAMP_TYPES
from warmup_core.settings import FleetSettings
from warmup_core.threads import MOST_PERCENT
from warmup_core.types import MOST_CONCURRENT_SENDS, MOST_CONNECTIONS, PROVIDER_PATTERN
from warmup_worker.variables import Reader, one_of, yes_or_no

_A_DAY_MS: Final = 86_400_000
_MOST_MAILS: Final = 60_000_000
_INTERVAL_VARIABLES: Final[Mapping[str, tuple[str, int, int, int]]] = {
    "WARMUP_CRON_INTERVAL_MINUTES": ("interval_ms", 1, 1440, 60_000),
    "WARMUP_BATCH_SIZE": ("interval_batch", 1, 100_000, 1),
    "WARMUP_BATCH_DELAY_MS": ("batch_delay_ms", 0, _A_DAY_MS, 1),
    "WARMUP_STAGGER_MIN_MS": ("stagger_min_ms", 0, _A_DAY_MS, 1),
    "WARMUP_STAGGER_MAX_MS": ("stagger_max_ms", 0, _A_DAY_MS, 1),
}
"""Setting, least, most and the factor to the setting's unit. Any of them selects mode Interval."""

_PER_WORKER: Final = ("WARMUP_WORKER_HOURLY_LIMIT", "WARMUP_USER_HOURLY_LIMIT")
"""Two names of one limit: the second is the older, and was always meant for each worker."""

_LIMITS: Final[Mapping[str, str]] = {
    "WARMUP_GLOBAL_MINUTE_LIMIT": "per_minute_limit",
    "WARMUP_GLOBAL_HOURLY_LIMIT": "per_hour_limit",
    "WARMUP_WORKER_HOURLY_LIMIT": "per_worker_per_hour_limit",
    "WARMUP_USER_HOURLY_LIMIT": "per_worker_per_hour_limit",
    "WARMUP_PER_USER_HOURLY_LIMIT": "per_user_per_hour_limit",
    "WARMUP_PER_DOMAIN_DAILY_LIMIT": "per_domain_per_day_limit",
}

FLEET_VARIABLES: Final = frozenset(
    {
        "WARMUP_EMAILS_PER_MAILBOX_PER_DAY",
        "WARMUP_TIME_ZONE",
        "WARMUP_RAMP_TYPE",
        "WARMUP_RAMP_START",
        "WARMUP_RAMP_STEP",
        "WARMUP_RAMP_STEPS",
        "WARMUP_DAYS",
        "WARMUP_WINDOW_FROM",
        "WARMUP_WINDOW_TO",
        "WARMUP_PACING_MODE",
        "WARMUP_MAILBOX_COOLDOWN_MIN_MS",
        "WARMUP_MAILBOX_COOLDOWN_MAX_MS",
        "WARMUP_MAX_CONCURRENT",
        "WARMUP_SMTP_ALLOWED_NETWORKS",
        "WARMUP_DATABASE_MAX_CONNECTIONS",
        "WARMUP_REPLY_PERCENT",
        "WARMUP_PROVIDER_DAILY_LIMITS",
        *_INTERVAL_VARIABLES,
        *_LIMITS,
    }
)
"""What worker 1 makes the fleet of where no operator does."""


@dataclass(frozen=True)
class WantedFleet:
    """What a fleet without an operator should be, as each worker's environment says it; worker 1's is written."""

    worker_count: int
    settings: FleetSettings
    time_zone: str


@dataclass(frozen=True)
class Place:
    """This worker's number, and the count of workers where its environment gives one."""

    number: int | None
    count: int | None


def read_place(reader: Reader) -> Place:
    """WARMUP_DISTRIBUTED_MODE, WARMUP_WORKER_ID and WARMUP_WORKER_COUNT, which must not contradict each other."""
    distributed = reader.parsed("WARMUP_DISTRIBUTED_MODE", yes_or_no, None)
    number = reader.whole(
        "WARMUP_WORKER_ID",
        1,
        1_000_000,
        hint=" It is the worker's number, from 1: in Kubernetes the label apps.kubernetes.io/pod-index, not the pod's name.",
    )
    count = reader.whole("WARMUP_WORKER_COUNT", 1, 1000)
    if distributed is False:
        for name, found in (("WARMUP_WORKER_ID", number), ("WARMUP_WORKER_COUNT", count)):
            if found not in {None, 1}:
                reader.faults.append(
                    f"WARMUP_DISTRIBUTED_MODE=false is a single worker, and {name} is {found}: give 1, or true."
                )
        return Place(number or 1, count or 1)
    if "WARMUP_WORKER_ID" not in reader:
        reader.faults.append("WARMUP_WORKER_ID is required: the worker's number, from 1.")
    if number is not None and count is not None and number > count:
        reader.faults.append(
            f"WARMUP_WORKER_ID is {number} and WARMUP_WORKER_COUNT is {count}: the numbers go from 1 to the count."
        )
    return Place(number, count)


def read_wanted(reader: Reader, count: int | None) -> WantedFleet | None:
    """The fleet that this environment describes; None without a count: then the fleet's row says all."""
    if count is None:
        if "WARMUP_WORKER_COUNT" not in reader:
            for name in sorted(FLEET_VARIABLES.intersection(reader.environ)):
                reader.notices.append(
                    f"{name} is read only beside WARMUP_WORKER_COUNT; in Kubernetes it stands in the WarmupFleet."
                )
            return None
        count = 1  # a fault: read on for the others
    given: dict[str, Any] = {
        "emails_per_mailbox_per_day": reader.whole("WARMUP_EMAILS_PER_MAILBOX_PER_DAY", 1, 2000),
        "ramp_type": reader.parsed("WARMUP_RAMP_TYPE", lambda text: one_of(text, RAMP_TYPES), None),
        "ramp_start": reader.whole("WARMUP_RAMP_START", 1, 2000),
        "ramp_step": reader.whole("WARMUP_RAMP_STEP", 0, 2000),
        "ramp_steps": reader.parsed("WARMUP_RAMP_STEPS", _steps, None),
        "days": reader.parsed("WARMUP_DAYS", read_days, None),
        "window_from_seconds": reader.parsed("WARMUP_WINDOW_FROM", read_start, None),
        "window_to_seconds": reader.parsed("WARMUP_WINDOW_TO", read_end, None),
        "cooldown_min_ms": reader.whole("WARMUP_MAILBOX_COOLDOWN_MIN_MS", 0, _A_DAY_MS),
        "cooldown_max_ms": reader.whole("WARMUP_MAILBOX_COOLDOWN_MAX_MS", 0, _A_DAY_MS),
        "max_concurrent_sends": reader.whole("WARMUP_MAX_CONCURRENT", 1, MOST_CONCURRENT_SENDS),
        "smtp_allowed_networks": reader.parsed("WARMUP_SMTP_ALLOWED_NETWORKS", _networks, None),
        "max_connections": reader.whole("WARMUP_DATABASE_MAX_CONNECTIONS", 1, MOST_CONNECTIONS),
        "reply_percent": reader.whole("WARMUP_REPLY_PERCENT", 0, MOST_PERCENT),
        "per_mailbox_per_day_limits": reader.parsed("WARMUP_PROVIDER_DAILY_LIMITS", _providers, None),
    }
    settings = FleetSettings()
    try:
        settings = FleetSettings.model_validate(
            {name: it for name, it in given.items() if it is not None} | _pacing(reader) | _limits(reader)
        )
    except ValidationError as error:
        reader.faults += [": ".join([*map(str, it["loc"]), it["msg"]]) for it in error.errors()]
    _hold_in_order(reader, "WARMUP_MAILBOX_COOLDOWN", settings.cooldown_min_ms, settings.cooldown_max_ms)
    _hold_in_order(reader, "WARMUP_STAGGER", settings.stagger_min_ms, settings.stagger_max_ms)
    each, whole = settings.per_worker_per_hour_limit, settings.per_hour_limit
    if each is not None and whole is not None and count * each < whole:
        reader.notices.append(
            f"{count} x {each}, the limit of each worker, are {count * each} an hour:"
            f" the fleet's limit of {whole} is never reached."
        )
    if count > 1 and count + APART > settings.max_connections:
        reader.notices.append(
            f"{count} workers hold a connection each, and {APART} are kept for people:"
            f" WARMUP_DATABASE_MAX_CONNECTIONS is {settings.max_connections}, give {count + APART} or more."
        )
    return WantedFleet(count, settings, reader.parsed("WARMUP_TIME_ZONE", read_zone, "UTC"))


def _hold_in_order(reader: Reader, name: str, least: int, most: int) -> None:
    if least > most:
        reader.faults.append(f"{name}_MIN_MS ({least}) must not be greater than {name}_MAX_MS ({most}).")


def _pacing(reader: Reader) -> dict[str, Any]:
    """The mode and, where it is Interval, its runs."""
    named = reader.parsed("WARMUP_PACING_MODE", lambda text: one_of(text, ("Continuous", "Interval")), None)
    found: dict[str, Any] = {}
    for variable, (setting, low, high, factor) in _INTERVAL_VARIABLES.items():
        if (value := reader.whole(variable, low, high)) is not None:
            found[setting] = value * factor
    mine = [name for name in _INTERVAL_VARIABLES if name in reader]
    if named == "Continuous" and mine:
        reader.faults.append(
            f"WARMUP_PACING_MODE is Continuous, and {' and '.join(mine)} "
            + ("are" if len(mine) > 1 else "is")
            + " for Interval: leave one or the other out."
        )
    if named != "Interval" and not mine:
        return {}
    least = found.get("stagger_min_ms", 0)
    none_unless_given = {"batch_delay_ms": 0, "stagger_min_ms": 0, "stagger_max_ms": least}
    return {"pacing_mode": "Interval", **none_unless_given, **found}


def _limits(reader: Reader) -> dict[str, int | None]:
    """The limits that are given, by the name of the setting; ``none`` takes one away."""
    found: dict[str, int | None] = {}
    for variable, setting in _LIMITS.items():
        if variable not in reader:
            continue
        none = reader.environ[variable].lower() == "none"
        count = None if none else reader.whole(variable, 1, _MOST_MAILS, hint=" Write none for no limit.")
        if setting in found and found[setting] != count:
            reader.faults.append(
                f"{' and '.join(_PER_WORKER)} mean the same, the limit of one worker: give one."
            )
        found[setting] = count
    if "WARMUP_USER_HOURLY_LIMIT" in reader:
        reader.notices.append(
            "WARMUP_USER_HOURLY_LIMIT limits each worker; its plain name is WARMUP_WORKER_HOURLY_LIMIT, and what limits"
            " each user is WARMUP_PER_USER_HOURLY_LIMIT."
        )
    return found


def _providers(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, count = part.strip().partition("=")
        if not re.match(PROVIDER_PATTERN, name) or not re.fullmatch("[1-9][0-9]{0,5}", count):
            raise ValueError(f"{part.strip()!r} is no provider and its number of mails, such as gmail=500")
        if name in found:
            raise ValueError(f"the provider {name} is there twice")
        found[name] = int(count)
    return found


def _networks(text: str) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())


def _steps(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,4}", part) for part in parts):
        raise ValueError(f"{text!r} is no list of whole numbers such as 3,5,8")
    return tuple(map(int, parts))
