"""What a fleet's spec refers to: reads the Secrets and the ConfigMap it names and says what is missing or wrong in each.

Read anew at each look, so a rotated or late Secret is noticed without a watch on Secrets. A value is never repeated in a message.
Fails: not at all; every fault becomes a ``Problem`` that names the object, the key and the cure. KubernetesError passes through.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from warmup_core import templates
from warmup_core.credentials import Keys, parse_keys
from warmup_core.database import parse_url
from warmup_core.oauth import Application, parse_applications
from warmup_core.spec import (
    ApplicationsRef,
    CaBundleRef,
    DatabaseUrlRef,
    KeysRef,
    TemplatesRef,
    WarmupFleetSpec,
)
from warmup_core.types import DATABASE_CA_KEY, Refused
from warmup_operator.kube import CONFIG_MAP, SECRET, Kind
from warmup_operator.postgres import Access
from warmup_operator.status import Problem, Reason

Json = dict[str, Any]
Reference = DatabaseUrlRef | KeysRef | CaBundleRef | ApplicationsRef
T = TypeVar("T")

_URL = "--from-literal={key}=postgresql://USER:PASSWORD@HOST:5432/DATABASE"
_KEYS = '--from-literal={key}="$(warmup keys new)"'
_APPLICATIONS = "--from-file={key}=applications.json"


class Reader(Protocol):
    """The one thing needed of the cluster."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Json | None:
        """One object, or None."""


@dataclass(frozen=True)
class Inputs:
    """``access`` and ``keys`` are None where they could not be read; ``problems`` says why.

    ``authorities``: PEM of the fleet's own; ``applications``: its OAuth applications by name.
    """

    access: Access | None
    keys: Keys | None
    problems: list[Problem]
    authorities: str | None = None
    applications: Mapping[str, Application] = field(default_factory=dict, repr=False)


async def read(kube: Reader, namespace: str, spec: WarmupFleetSpec) -> Inputs:
    """Read all that the spec names; every fault is listed, not only the first."""
    problems: list[Problem] = []

    async def secret(
        ref: Reference, option: str, parse: Callable[..., T], wrong: Reason, *beside: str
    ) -> T | None:
        """``parse`` is given what the key holds, and what those keys ``beside`` it hold that are there."""
        for_database = isinstance(ref, DatabaseUrlRef)
        try:
            filled = option.format(key=ref.key)
            cure = f"kubectl create secret generic -n {namespace} {ref.name} {filled}"
            data = await _data(kube, SECRET, namespace, ref, cure)
            return parse(*(_decoded(data[key]) for key in (ref.key, *beside) if key in data))
        except (LookupError, UnicodeDecodeError, binascii.Error, Refused) as fault:
            where = f"Secret {namespace}/{ref.name}, key {ref.key!r}"
            problems.append(_problem(fault, where, wrong, database=for_database))
            return None

    url_ref, owner_ref = spec.database.url_secret_ref, spec.database.owner_url_secret_ref
    invalid, ca = Reason.DATABASE_URL_INVALID, DATABASE_CA_KEY
    url = await secret(url_ref, _URL, parse_url, invalid, ca)
    owner_url = await secret(owner_ref, _URL, parse_url, invalid, ca) if owner_ref else url
    keys = await secret(spec.encryption.keys_secret_ref, _KEYS, parse_keys, Reason.ENCRYPTION_KEYS_INVALID)
    applications, authorities = None, None
    if applications_ref := spec.oauth.applications_secret_ref:
        invalid = Reason.OAUTH_APPLICATIONS_INVALID
        applications = await secret(applications_ref, _APPLICATIONS, parse_applications, invalid)
    if ca_ref := spec.smtp.ca_config_map_ref:
        cure = f"kubectl create configmap -n {namespace} {ca_ref.name} --from-file={ca_ref.key}=ca.crt"
        try:
            authorities = str((await _data(kube, CONFIG_MAP, namespace, ca_ref, cure))[ca_ref.key])
        except LookupError as fault:
            problems.append(_problem(fault, "", Reason.CONFIG_MAP_MISSING, database=False))
    if templates_ref := spec.content.templates_config_map_ref:
        problems += await _templates(kube, namespace, templates_ref)
    access = Access(url, owner_url) if url is not None and owner_url is not None else None
    return Inputs(access, keys, problems, authorities, applications or {})


async def _templates(kube: Reader, namespace: str, ref: TemplatesRef) -> list[Problem]:
    """What is wrong with a ConfigMap of templates. Its workers use the last good ones meanwhile; new ones do not start."""
    found = await kube.get(CONFIG_MAP, namespace, ref.name)
    where = f"ConfigMap {namespace}/{ref.name}"
    if found is None:
        cure = f"kubectl create configmap -n {namespace} {ref.name} --from-file=templates/"
        return [Problem(Reason.CONFIG_MAP_MISSING, f"{where} does not exist. Make it: {cure}")]
    files = {key: text for key, text in (found.get("data") or {}).items() if key.endswith(".txt")}
    try:
        templates.parse(files)
    except Refused as fault:
        return [_problem(fault, where, Reason.TEMPLATES_INVALID, database=False)]
    return []


class _ObjectMissing(LookupError):
    """The object is not there."""


class _KeyMissing(LookupError):
    """The object lacks the key."""


async def _data(kube: Reader, kind: Kind, namespace: str, ref: Reference, cure: str) -> Json:
    """The object's data, in which the key is. Raises LookupError."""
    found = await kube.get(kind, namespace, ref.name)
    where = f"{kind.kind} {namespace}/{ref.name}"
    if found is None:
        raise _ObjectMissing(f"{where} does not exist. Make it: {cure}")
    data: Json = found.get("data") or {}
    if ref.key not in data:
        holds = ", ".join(sorted(data)) or "nothing"
        raise _KeyMissing(
            f"{where} has no key {ref.key!r}; it holds {holds}. Add the key, or name another in the spec."
        )
    return data


def _decoded(value: str) -> str:
    return base64.b64decode(value, validate=True).decode()


def _problem(fault: Exception, where: str, wrong: Reason, *, database: bool) -> Problem:
    if isinstance(fault, _KeyMissing):
        return Problem(Reason.SECRET_KEY_MISSING, str(fault), database=database)
    if isinstance(fault, _ObjectMissing):
        missing = wrong if wrong is Reason.CONFIG_MAP_MISSING else Reason.SECRET_MISSING
        return Problem(missing, str(fault), database=database)
    if isinstance(fault, Refused):
        sentence = " ".join([fault.summary, *(f"{detail};" for detail in fault.faults)]).rstrip(";")
        return Problem(wrong, f"{where}: {sentence}", database=database)
    return Problem(wrong, f"{where}: the value is no text.", database=database)


def keys_missing(keys: Keys, used: list[str], spec: WarmupFleetSpec, namespace: str) -> Problem | None:
    """Whether the Secret lacks a key that stored credentials are under; ``used``: the ids of those keys."""
    missing = [key_id for key_id in used if key_id not in keys.ids]
    if not missing:
        return None
    ref = spec.encryption.keys_secret_ref
    return Problem(
        Reason.ENCRYPTION_KEY_UNKNOWN,
        f"Credentials are stored under {', '.join(map(repr, missing))}, which Secret {namespace}/{ref.name}, key {ref.key!r},"
        " does not hold. Add the lost line below the active one, or import those mailboxes again.",
    )
