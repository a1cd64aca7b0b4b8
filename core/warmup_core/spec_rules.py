"""The rules of a WarmupFleet that one field alone cannot say, as CEL: the API server holds every manifest to them.

Each has its sentence for the person who broke it. The fields and their own bounds stand in ``warmup_core.spec``. Where a
manifest is read without an API server (``warmup_core.manifest``), the same rules are checked in Python: a test holds that no
rule is left out. Pure.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from warmup_core.connections import APART
from warmup_core.types import milliseconds

RULES: Mapping[str, list[tuple[str, str]]] = {
    "": [
        (
            "size(self.metadata.name) <= 40",
            "metadata.name may have at most 40 characters: the StatefulSet puts it and a number into labels",
        ),
        (
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be small letters, digits and dashes and begin with a letter: a Service carries it",
        ),
    ],
    "spec": [
        (
            f"self.workers.max + {APART} <= self.database.maxConnections && "
            f"(!has(self.workers.replicas) || self.workers.replicas + {APART} <= self.database.maxConnections)",
            f"database.maxConnections must be at least {APART} more than workers.max and than workers.replicas: each worker needs"
            " a connection, the operator and people with the command need some",
        ),
    ],
    "spec.workers": [
        ("self.min <= self.max", "workers.min must not be greater than workers.max"),
    ],
    "spec.ramp": [
        (
            "self.type != 'Steps' || (has(self.steps) && size(self.steps) > 0)",
            "ramp.type Steps needs ramp.steps, such as [3, 5, 8]",
        ),
        ("!has(self.steps) || self.steps.isSorted()", "ramp.steps must never fall"),
    ],
    "spec.schedule.days": [
        (
            "self.all(one, self.exists_one(other, other == one))",
            "schedule.days names each day once",
        ),
    ],
    "spec.limits.providers": [
        (
            "self.all(one, self.exists_one(other, other.name == one.name))",
            "limits.providers names each provider once",
        ),
    ],
    "spec.pacing.cooldown": [
        (
            "duration(self.min) <= duration(self.max)",
            "pacing.cooldown.min must not be longer than pacing.cooldown.max",
        ),
    ],
    "spec.pacing.interval": [
        (
            "duration(self.every) > duration('0s')",
            "pacing.interval.every must be longer than nothing, such as 10m",
        ),
    ],
    "spec.pacing.interval.stagger": [
        (
            "duration(self.min) <= duration(self.max)",
            "pacing.interval.stagger.min must not be longer than pacing.interval.stagger.max",
        ),
    ],
}
"""CEL rules by the path of the object they stand on: (expression, message)."""

CHECKS: Mapping[str, list[Callable[[Any], bool]]] = {
    "": [
        lambda name: len(name) <= 40,
        lambda name: re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name) is not None,
    ],
    "spec": [
        lambda it: max(it.workers.max, it.workers.replicas or 0) + APART <= it.database.max_connections,
    ],
    "spec.workers": [lambda it: it.min <= it.max],
    "spec.ramp": [
        lambda it: it.type != "Steps" or bool(it.steps),
        lambda it: list(it.steps) == sorted(it.steps),
    ],
    "spec.schedule.days": [lambda days: len(set(days)) == len(days)],
    "spec.limits.providers": [lambda them: len({it.name for it in them}) == len(them)],
    "spec.pacing.cooldown": [lambda it: milliseconds(it.min) <= milliseconds(it.max)],
    "spec.pacing.interval": [lambda it: milliseconds(it.every) > 0],
    "spec.pacing.interval.stagger": [lambda it: milliseconds(it.min) <= milliseconds(it.max)],
}
"""The same rules in the same order, for the models of ``warmup_core.spec``; at the top for ``metadata.name``."""


def broken(path: str, value: Any) -> list[str]:
    """The sentences of the rules at ``path`` that ``value`` breaks."""
    held = zip(CHECKS[path], RULES[path], strict=True)
    return [message for check, (_, message) in held if not check(value)]
