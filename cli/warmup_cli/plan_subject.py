"""What a plan is made for: settings from a manifest, the cluster, the fleet's row or options; mailboxes counted or given.

::

    -f FILE                        the manifest's settings      with --mailboxes, or those of --fleet or DATABASE_URL
    --fleet NAMESPACE/NAME         the cluster's manifest       the fleet's mailboxes, or --mailboxes
    --mailboxes N                  the defaults                 N
    DATABASE_URL                   the fleet's row              the fleet's mailboxes

Options change each of them, and are held to the same bounds as the manifest's fields. Fails: ``Refused`` with every fault.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_cli.connection import Source, Unavailable, transaction
from warmup_core import census, fleet, manifest, settings
from warmup_core.capacity import ASSUMED_SEND
from warmup_core.fleet import FleetRow
from warmup_core.hours import read_zone
from warmup_core.plan import Enrolled
from warmup_core.settings import FleetSettings
from warmup_core.sizing import Rules
from warmup_core.types import API_VERSION, KIND, Refused, milliseconds

Json = dict[str, Any]

_IN_SETTINGS: Final = {
    "mails": ("emailsPerMailboxPerDay", "emails_per_mailbox_per_day"),
    "window_from": ("schedule.from", "window_from_seconds"),
    "window_to": ("schedule.to", "window_to_seconds"),
    "cooldown_min": ("pacing.cooldown.min", "cooldown_min_ms"),
    "cooldown_max": ("pacing.cooldown.max", "cooldown_max_ms"),
    "mode": ("pacing.mode", "pacing_mode"),
    "every": ("pacing.interval.every", "interval_ms"),
    "batch_size": ("pacing.interval.batchSize", "interval_batch"),
    "batch_delay": ("pacing.interval.batchDelay", "batch_delay_ms"),
    "stagger_min": ("pacing.interval.stagger.min", "stagger_min_ms"),
    "stagger_max": ("pacing.interval.stagger.max", "stagger_max_ms"),
    "concurrent": ("workers.maxConcurrentSends", "max_concurrent_sends"),
    "per_minute": ("limits.perMinute", "per_minute_limit"),
    "per_hour": ("limits.perHour", "per_hour_limit"),
    "per_worker_per_hour": ("limits.perWorkerPerHour", "per_worker_per_hour_limit"),
    "per_user_per_hour": ("limits.perUserPerHour", "per_user_per_hour_limit"),
    "per_domain_per_day": ("limits.perDomainPerDay", "per_domain_per_day_limit"),
}
"""Options by their path in the spec, and by what that is among the settings of the fleet's row."""

_IN_RULES: Final = {
    "workers": ("workers.replicas", "fixed"),
    "min_workers": ("workers.min", "minimum"),
    "max_workers": ("workers.max", "maximum"),
    "max_mailboxes_per_worker": ("workers.maxMailboxesPerWorker", "max_mailboxes_per_worker"),
    "headroom": ("workers.headroomPercent", "headroom_percent"),
}
_CALLED: Final = {
    "min_workers": "--min",
    "max_workers": "--max",
    "window_from": "--window",
    "window_to": "--window",
}
_OF_INTERVAL: Final = {"every", "batch_size", "batch_delay", "stagger_min", "stagger_max"}
_COUNTED_BY: Final = ("mailboxes", "users", "domains", "hosts")
_NOTHING: Final[Json] = {
    "apiVersion": API_VERSION,
    "kind": KIND,
    "metadata": {"name": "planned"},
    "spec": {
        "database": {"urlSecretRef": {"name": "unused"}},
        "encryption": {"keysSecretRef": {"name": "unused"}},
    },
}
"""What the API server would ask for, where there is no manifest."""


@dataclass(frozen=True)
class Subject:
    """What is planned for, in the fleet's time zone. ``told``: where the time of a send comes from."""

    title: str
    settings: FleetSettings
    rules: Rules
    enrolled: Enrolled
    send: timedelta
    told: str
    zone: str


async def find(source: Source, text: str | None, options: Mapping[str, Any]) -> Subject:
    """The subject that the options name. Raises Refused, and what a transaction raises."""
    wishes = _wishes(options)
    if text is not None:
        document, title = manifest.find(text), ""
    elif source.fleet is not None:
        document, title = await source.manifest(), f"the running fleet {source.fleet}"
    elif "mailboxes" in options or not source.names_a_database:
        document, title = _NOTHING, "the options given"
    else:
        document, title = None, ""
    read = manifest.read(_changed(document or _NOTHING, wishes), _called(wishes))
    if text is not None:
        title = f"the manifest of {read.namespace}/{read.name}".replace(" of /", " of ")
    wanted, rules = settings.from_spec(read.spec), Rules.of(read.spec.workers)
    if "mailboxes" in options:
        counted = {name: options.get(name, 0) for name in _COUNTED_BY}
        send, told = _send(options, None)
        return Subject(
            title, wanted, rules, Enrolled.evenly(**counted), send, told, _zone(read.spec.time_zone)
        )
    if source.fleet is None and not source.names_a_database:
        raise Refused(
            "For how many mailboxes? Give --mailboxes N, or let the running fleet tell: --fleet NAMESPACE/NAME, or DATABASE_URL."
        )
    async with transaction(source) as connection:
        row = await fleet.read(connection)
        if row is None:
            raise Unavailable("No fleet owns this database yet; give --mailboxes N to plan without it.")
        zone = read.spec.time_zone if document is not None else row.next_time_zone or row.time_zone
        if document is None:
            title = f"the running fleet {row.owner.namespace}/{row.owner.name}"
            wanted, rules = _of_row(row, wanted, rules, wishes)
        return await _counted(connection, row, title, wanted, rules, options, zone)


async def _counted(
    connection: AsyncConnection,
    row: FleetRow,
    title: str,
    wanted: FleetSettings,
    rules: Rules,
    options: Mapping[str, Any],
    zone: str,
) -> Subject:
    """The subject with the mailboxes that are enrolled."""
    from warmup_operator import demand

    found = await census.read(connection)
    if not found.mailboxes:
        raise Refused("The fleet has no active mailbox; give --mailboxes N to plan for some.")
    assumed = Enrolled.evenly(found.mailboxes, *(options.get(name, 0) for name in _COUNTED_BY[1:]))
    enrolled = Enrolled(
        found.mailboxes,
        assumed.users or found.users,
        assumed.domains or found.domains,
        assumed.hosts or found.hosts,
        found.alike,
        (await demand.read(connection, row)).mails,
    )
    measured = await demand.measured(connection, row)
    send, told = _send(options, measured.send if measured else None)
    return Subject(title, wanted, rules, enrolled, send, told, _zone(zone))


def _zone(name: str) -> str:
    try:
        return read_zone(name)
    except ValueError as fault:
        raise Refused("The fleet cannot be planned.", [f"spec.timeZone: {fault}"]) from None


def _send(options: Mapping[str, Any], measured: timedelta | None) -> tuple[timedelta, str]:
    if "send" in options:
        return timedelta(milliseconds=milliseconds(options["send"])), "given"
    return (measured, "measured") if measured else (ASSUMED_SEND, "assumed")


def _wishes(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that stand for fields of a manifest, as the manifest would have them. Raises Refused."""
    wishes = {name: value for name, value in options.items() if name in _IN_SETTINGS or name in _IN_RULES}
    faults = []
    if "window" in options:
        opens, dash, closes = options["window"].partition("-")
        wishes |= {"window_from": opens, "window_to": closes}
        if not dash:
            faults.append(f"--window: {options['window']!r} is no window, such as 08:00-18:00")
    if "send" in options:
        try:
            if not milliseconds(options["send"]):
                faults.append("--send: a send takes some time, such as 500ms")
        except ValueError as fault:
            faults.append(f"--send: {fault}")
    if faults:
        raise Refused("The options cannot be used.", faults)
    if wishes.keys() & _OF_INTERVAL:
        wishes.setdefault("mode", "Interval")
    return {name: _value(value) for name, value in wishes.items()}


def _value(value: Any) -> Any:
    """``none`` takes a limit away; what looks like a number is one, and anything else is refused by the field's own words."""
    if value == "none":
        return None
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _changed(document: Json, wishes: Mapping[str, Any]) -> Json:
    """The manifest with the wishes in their places; the one given is left alone."""
    spec = document.get("spec")
    changed = {**document, "spec": spec}
    for name, value in wishes.items():
        at, *path = ("spec", *(_IN_SETTINGS | _IN_RULES)[name][0].split("."))
        parent = changed
        for step in path:
            below = parent.get(at)
            parent[at] = dict(below) if isinstance(below, dict) else {}
            parent, at = parent[at], step
        parent[at] = value
    return changed


def _called(wishes: Mapping[str, Any]) -> dict[str, str]:
    """The options' names by the paths of their fields, for what is wrong with them."""
    return {
        f"spec.{(_IN_SETTINGS | _IN_RULES)[name][0]}": _CALLED.get(name, f"--{name.replace('_', '-')}")
        for name in wishes
    }


def _of_row(
    row: FleetRow, wanted: FleetSettings, rules: Rules, wishes: Mapping[str, Any]
) -> tuple[FleetSettings, Rules]:
    """The settings in force and the present count, with the wishes on top: what ``wanted`` and ``rules`` have of them."""
    fields = [field for name, (_, field) in _IN_SETTINGS.items() if name in wishes]
    changes = [field for name, (_, field) in _IN_RULES.items() if name in wishes]
    return (
        row.settings.model_copy(update={field: getattr(wanted, field) for field in fields}),
        replace(Rules(fixed=row.worker_count), **{field: getattr(rules, field) for field in changes}),
    )
