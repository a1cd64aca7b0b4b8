"""What a fleet's spec refers to: reads the Secrets and the ConfigMap it names and says what is missing or wrong in each.

Read anew at each look, so a rotated or late Secret is noticed without a watch on Secrets. A value is never repeated in a message.
Fails: not at all; every fault becomes a ``Problem`` that names the object, the key and the cure. KubernetesError passes through.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Protocol

from warmup_core.credentials import Keys, parse_keys
from warmup_core.database import parse_url
from warmup_core.spec import CaBundleRef, DatabaseUrlRef, KeysRef, WarmupFleetSpec
from warmup_core.types import Refused
from warmup_operator.kube import CONFIG_MAP, SECRET, Kind
from warmup_operator.postgres import Access
from warmup_operator.status import Problem, Reason

Json = dict[str, Any]


class Reader(Protocol):
    """The one thing needed of the cluster."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Json | None:
        """One object, or None."""


@dataclass(frozen=True)
class Inputs:
    """``access`` and ``keys`` are None where they could not be read; ``problems`` says why."""

    access: Access | None
    keys: Keys | None
    problems: list[Problem]


async def read(kube: Reader, namespace: str, spec: WarmupFleetSpec) -> Inputs:
    """Read all that the spec names; every fault is listed, not only the first."""
    problems: list[Problem] = []

    async def value(kind: Kind, ref: DatabaseUrlRef | KeysRef | CaBundleRef, cure: str) -> str | None:
        try:
            return await _value(kube, kind, namespace, ref.name, ref.key, cure)
        except Problem as problem:
            problems.append(problem)
            return None

    secret = f"kubectl create secret generic -n {namespace}"
    url_ref, owner_ref = spec.database.url_secret_ref, spec.database.owner_url_secret_ref
    keys_ref, ca_ref = spec.encryption.keys_secret_ref, spec.smtp.ca_config_map_ref
    url_cure = "--from-literal={key}=postgresql://USER:PASSWORD@HOST:5432/DATABASE"
    url = await value(SECRET, url_ref, f"{secret} {url_ref.name} {url_cure.format(key=url_ref.key)}")
    owner_url = url
    if owner_ref is not None:
        owner_url = await value(
            SECRET, owner_ref, f"{secret} {owner_ref.name} {url_cure.format(key=owner_ref.key)}"
        )
    keys_text = await value(
        SECRET, keys_ref, f'{secret} {keys_ref.name} --from-literal={keys_ref.key}="$(warmup keys new)"'
    )
    if ca_ref is not None:
        cure = f"kubectl create configmap -n {namespace} {ca_ref.name} --from-file={ca_ref.key}=ca.crt"
        await value(CONFIG_MAP, ca_ref, cure)

    access: Access | None = None
    if url is not None and owner_url is not None:
        try:
            access = Access(parse_url(url), parse_url(owner_url))
        except Refused as refusal:
            where = f"Secret {namespace}/{url_ref.name}, key {url_ref.key!r}"
            if owner_ref is not None:
                where += f" or Secret {namespace}/{owner_ref.name}, key {owner_ref.key!r}"
            problems.append(Problem(Reason.DATABASE_URL_INVALID, f"{where}: {_one_line(refusal)}"))
    keys: Keys | None = None
    if keys_text is not None:
        try:
            keys = parse_keys(keys_text)
        except Refused as refusal:
            where = f"Secret {namespace}/{keys_ref.name}, key {keys_ref.key!r}"
            problems.append(Problem(Reason.ENCRYPTION_KEYS_INVALID, f"{where}: {_one_line(refusal)}"))
    return Inputs(access, keys, problems)


async def _value(kube: Reader, kind: Kind, namespace: str, name: str, key: str, cure: str) -> str:
    found = await kube.get(kind, namespace, name)
    if found is None:
        reason = Reason.SECRET_MISSING if kind is SECRET else Reason.CONFIG_MAP_MISSING
        raise Problem(reason, f"{kind.kind} {namespace}/{name} does not exist. Make it: {cure}.")
    data = found.get("data") or {}
    if key not in data:
        holds = ", ".join(sorted(data)) or "nothing"
        raise Problem(
            Reason.SECRET_KEY_MISSING,
            f"{kind.kind} {namespace}/{name} has no key {key!r}; it holds {holds}. Add the key, or name another in the spec.",
        )
    if kind is not SECRET:
        return str(data[key])
    try:
        return base64.b64decode(data[key], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Problem(
            Reason.SECRET_KEY_MISSING, f"{kind.kind} {namespace}/{name}, key {key!r}: the value is no text."
        ) from None


def _one_line(refusal: Refused) -> str:
    return " ".join([refusal.summary, *(f"{fault};" for fault in refusal.faults)]).rstrip(";")


def keys_missing(keys: Keys, used: dict[str, int], spec: WarmupFleetSpec, namespace: str) -> Problem | None:
    """Stored credentials under a key that the Secret does not hold. ``used``: mailboxes by key id."""
    missing = {key_id: count for key_id, count in used.items() if key_id not in keys.ids}
    if not missing:
        return None
    ref = spec.encryption.keys_secret_ref
    listed = ", ".join(f"{key_id!r} ({count} mailboxes)" for key_id, count in missing.items())
    return Problem(
        Reason.ENCRYPTION_KEY_UNKNOWN,
        f"Credentials are stored under {listed}, which Secret {namespace}/{ref.name}, key {ref.key!r}, does not hold."
        " Add the lost line below the active one, or import those mailboxes again.",
    )
