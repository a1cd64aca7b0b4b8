"""The rules of a WarmupFleet that one field alone cannot say, as CEL: the API server holds every manifest to them.

Each has its sentence for the person who broke it. The fields and their own bounds stand in ``warmup_core.spec``. Pure data.
"""

from collections.abc import Mapping

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
    "spec.schedule": [
        (
            "(self.from + ':00').substring(0, 8) < (self.to + ':00').substring(0, 8)",  # 08:00 is 08:00:00
            "schedule.from must lie before schedule.to on the same day",
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
}
"""CEL rules by the path of the object they stand on: (expression, message)."""
