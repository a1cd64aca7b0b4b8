"""The worker's environment: what it may hold, what each value means, and every fault in it at once.

Invariants: nothing here is written back or logged; ``repr`` shows no secret. A variable that is set and not read is told in
``notices``, also one that lacks only the prefix. Fails: ``Refused`` with one line a fault, the notices among them.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import URL

from warmup_core import database, database_tls
from warmup_core.credentials import Keys, parse_keys
from warmup_core.oauth import Application, parse_applications
from warmup_core.templates import Template
from warmup_core.types import Refused
from warmup_worker.mounted import Mounted, read_text
from warmup_worker.timing import Timing, parse_timing
from warmup_worker.variables import Reader
from warmup_worker.wanted import FLEET_VARIABLES, WantedFleet, read_place, read_wanted
from warmup_worker.wording import TemplateFolder, built_in

VARIABLES = FLEET_VARIABLES | {
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "DATABASE_CA_FILE",
    "WARMUP_DISTRIBUTED_MODE",
    "WARMUP_WORKER_ID",
    "WARMUP_WORKER_COUNT",
    "WARMUP_ENCRYPTION_KEYS",
    "WARMUP_ENCRYPTION_KEYS_FILE",
    "WARMUP_SMTP_CA_FILE",
    "WARMUP_OAUTH_APPLICATIONS_FILE",
    "WARMUP_TEMPLATES_DIR",
    "WARMUP_TELEMETRY_HOST",
    "WARMUP_TELEMETRY_PORT",
    "WARMUP_GRACE_SECONDS",
    "WARMUP_TIMING",
}


@dataclass(frozen=True)
class WorkerSettings:
    """One worker's environment, read and checked. ``wanted`` is None where an operator writes the fleet's row."""

    number: int
    url: URL
    current_url: Callable[[], URL] = field(repr=False)
    keys: Callable[[], Keys] = field(repr=False)
    ca_file: Path | None = None
    applications: Callable[[], Mapping[str, Application]] = field(default=dict, repr=False)
    """The OAuth applications by name, as they stand now."""
    templates: Callable[[], Sequence[Template]] = built_in
    """What mails say, as it stands now."""
    telemetry_host: str = "0.0.0.0"  # noqa: S104 - a pod's own address, for the kubelet and Prometheus
    telemetry_port: int = 3000
    grace_seconds: float = 90.0
    wanted: WantedFleet | None = None
    timing: Timing = field(default_factory=Timing)
    notices: tuple[str, ...] = ()


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


def oauth_applications(path: str) -> Callable[[], Mapping[str, Application]]:
    """The OAuth applications in a file, read again when it changes. Raises Refused."""
    return Mounted(Path(path), "WARMUP_OAUTH_APPLICATIONS_FILE", parse_applications).current


def _database_url(reader: Reader) -> Callable[[], URL] | None:
    """The URL as it stands now, with the authorities that stand in a file now."""
    url = reader.value_or_file("DATABASE_URL", database.parse_url)
    file = reader.environ.get("DATABASE_CA_FILE")
    if url is None or file is None:
        return url
    reader.parsed("DATABASE_CA_FILE", lambda file: database_tls.with_authorities_of(url(), file), None)
    return lambda: database_tls.with_authorities_of(url(), file)


def read_settings(environ: Mapping[str, str]) -> WorkerSettings:
    """Read the worker's environment; a variable set to nothing counts as not set. Raises Refused with every fault."""
    reader = Reader(environ)
    place = read_place(reader)
    url = _database_url(reader)
    keys = reader.value_or_file("WARMUP_ENCRYPTION_KEYS", parse_keys)
    ca_file = reader.environ.get("WARMUP_SMTP_CA_FILE")
    if ca_file is not None:
        reader.parsed("WARMUP_SMTP_CA_FILE", lambda path: read_text(Path(path), "WARMUP_SMTP_CA_FILE"), "")
    none: Callable[[], Mapping[str, Application]] = dict
    applications = reader.parsed("WARMUP_OAUTH_APPLICATIONS_FILE", oauth_applications, none)
    ours: Callable[[], Sequence[Template]] = built_in
    templates = reader.parsed("WARMUP_TEMPLATES_DIR", lambda path: TemplateFolder(Path(path)).current, ours)
    port = reader.whole("WARMUP_TELEMETRY_PORT", 0, 65_535, 3000)
    grace = reader.whole("WARMUP_GRACE_SECONDS", 1, 86_400, 90)
    wanted = read_wanted(reader, place.count)
    timing = reader.parsed("WARMUP_TIMING", parse_timing, Timing())
    notices = reader.notices + _unread(reader.environ)
    if reader.faults or place.number is None or url is None or keys is None:
        raise Refused("The worker's environment cannot be used.", reader.faults + notices)
    return WorkerSettings(
        number=place.number,
        url=url(),
        current_url=url,
        keys=keys,
        ca_file=Path(ca_file) if ca_file else None,
        applications=applications,
        templates=templates,
        telemetry_host=reader.environ.get("WARMUP_TELEMETRY_HOST", "0.0.0.0"),  # noqa: S104
        telemetry_port=port if port is not None else 3000,
        grace_seconds=float(grace or 90),
        wanted=wanted,
        timing=timing,
        notices=tuple(notices),
    )
