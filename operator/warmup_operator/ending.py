"""The end of a fleet: its claims stop, and with ``deletionPolicy: Purge`` its database is emptied before the object goes.

Our finalizer stands on a fleet only while its policy is Purge, so any other fleet goes without us, also without an operator.
The purge waits until no mail is in flight, or every open intent is older than a claim may live. Pods need no order to end: they
claim nothing for a fleet that is deleted, and the garbage collector takes them with the object.
Fails: a database that cannot be reached, or that the spec's Secrets do not lead to any more, keeps a Purge waiting. An event says
so once; what is mended is seen at the next look, and setting the policy to Retain lets the fleet go.
"""

from dataclasses import dataclass
from typing import Any

from warmup_core.types import GROUP

Json = dict[str, Any]

PURGE = f"{GROUP}/purge"
"""The finalizer."""


@dataclass(frozen=True)
class Finalizing:
    """What is to be done about the finalizer. ``wanted`` None: nothing. ``reason`` for the log."""

    wanted: bool | None
    reason: str = ""


def finalizing(fleet: Json) -> Finalizing:
    """Whether the finalizer has to be set or taken away, by the fleet's policy. Pure."""
    purges = fleet["spec"].get("deletionPolicy") == "Purge"
    has = PURGE in fleet["metadata"].get("finalizers", [])
    if purges == has or (fleet["metadata"].get("deletionTimestamp") and purges):
        return Finalizing(None)
    if purges:
        return Finalizing(True, "deletionPolicy is Purge: the fleet waits for its database to be emptied")
    return Finalizing(False, "deletionPolicy is not Purge: the fleet goes without waiting")


def finalizers(fleet: Json, wanted: bool) -> list[str]:
    """All that the fleet should have: others' as they are, ours at the end or not at all. Pure."""
    others = [it for it in fleet["metadata"].get("finalizers", []) if it != PURGE]
    return [*others, PURGE] if wanted else others


def must_purge(fleet: Json) -> bool:
    """Whether a fleet on its way out waits for us. Pure."""
    return PURGE in fleet["metadata"].get("finalizers", []) and fleet["spec"].get("deletionPolicy") == "Purge"
