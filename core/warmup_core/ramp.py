"""How many mails a mailbox owes on a day: its ramp, or its own number, under the fleet's ceiling and its provider's limit. Pure.

``progress`` is the number of working days that the mailbox has taken part in before this one. It counts days, not dates: a
pause, a holiday or a weekend adds nothing to it and takes nothing away, so a mailbox goes on where it stood.

Invariants: over growing progress the number never falls; only a mailbox's own number or a changed setting lowers it. It never
passes the ceiling or the provider's limit, the mailbox's own number included. On a day off it is 0.
Fails: a ramp that would fall, and a number below what makes sense, raise ValueError in words for the person who wrote it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Weekday(StrEnum):
    """The days of ``schedule.days``, in the order of ``date.weekday()``."""

    MON = "Mon"
    TUE = "Tue"
    WED = "Wed"
    THU = "Thu"
    FRI = "Fri"
    SAT = "Sat"
    SUN = "Sun"


EVERY_DAY: Final = frozenset(Weekday)
_IN_ORDER: Final = tuple(Weekday)


@dataclass(frozen=True)
class ProviderLimit:
    """The most mails that one mailbox at provider ``name`` may send in 24 hours. A mail has one recipient, so recipients too."""

    name: str
    mails: int

    def __post_init__(self) -> None:
        if self.mails < 1:
            raise ValueError(
                f"the provider {self.name} may not have a limit of {self.mails}: write at least 1"
            )


PROVIDER_LIMITS: Final[Mapping[str, ProviderLimit]] = MappingProxyType(
    {
        limit.name: limit
        for limit in (
            ProviderLimit("gmail", 2_000),  # a Workspace account, support.google.com/a/answer/166852
            ProviderLimit("gmail-consumer", 500),  # and a Workspace trial
            ProviderLimit("microsoft365", 10_000),  # recipients
        )
    }
)
"""Limits to respect where the fleet's settings give none for the provider. Others publish no number."""


@dataclass(frozen=True)
class NoRamp:
    """``ramp.type: None``: the ceiling from the first day."""

    def mails(self, progress: int, ceiling: int) -> int:
        return ceiling

    def __str__(self) -> str:
        return "no ramp"


@dataclass(frozen=True)
class Linear:
    """``start`` mails on the first day, ``step`` more on each further one."""

    start: int = 2
    step: int = 2

    def __post_init__(self) -> None:
        if self.start < 1 or self.step < 0:
            raise ValueError(
                f"a Linear ramp starts with at least 1 mail and never falls: start is {self.start}, step is {self.step}"
            )

    def mails(self, progress: int, ceiling: int) -> int:
        return self.start + self.step * progress

    def __str__(self) -> str:
        return f"Linear ramp from {self.start} by {self.step}"


@dataclass(frozen=True)
class Steps:
    """One number a day; the last one holds for good."""

    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("a Steps ramp has at least one step")
        if self.steps[0] < 1 or any(
            after < before for before, after in zip(self.steps, self.steps[1:], strict=False)
        ):
            raise ValueError(
                f"a Steps ramp starts with at least 1 mail and never falls: {list(self.steps)} does not"
            )

    def mails(self, progress: int, ceiling: int) -> int:
        return self.steps[min(progress, len(self.steps) - 1)]

    def __str__(self) -> str:
        return f"Steps ramp {list(self.steps)}"


Ramp = NoRamp | Linear | Steps
RAMP_TYPES: Final = ("Linear", "Steps", "None")
"""What ``ramp.type`` may be."""


class BoundBy(StrEnum):
    """What decided the day's number."""

    RAMP = "Ramp"
    OVERRIDE = "Override"
    CEILING = "Ceiling"
    PROVIDER = "Provider"
    DAY_OFF = "DayOff"


@dataclass(frozen=True)
class Quota:
    """``mails`` owed on the day, what decided it, and the sentence for a person."""

    mails: int
    by: BoundBy
    reason: str


def quota(
    ramp: Ramp,
    progress: int,
    day: date,
    *,
    ceiling: int,
    days: Collection[Weekday] = EVERY_DAY,
    provider: ProviderLimit | None = None,
    override: int | None = None,
) -> Quota:
    """The mails that a mailbox owes on ``day``, the day on which its sending window opens.

    ``ceiling``: ``emailsPerMailboxPerDay``. ``override``: the mailbox's own number in place of the ramp; 0 holds it still.
    Raises ValueError for negative numbers.
    """
    if progress < 0 or ceiling < 0 or (override is not None and override < 0):
        raise ValueError(
            f"no number may be negative: progress {progress}, ceiling {ceiling}, override {override}"
        )
    weekday = _IN_ORDER[day.weekday()]
    if weekday not in days:
        return Quota(0, BoundBy.DAY_OFF, f"{weekday} {day} is not one of schedule.days")
    if override is not None:
        asked = Quota(override, BoundBy.OVERRIDE, f"the mailbox's own number is {override}")
    else:
        mails = ramp.mails(progress, ceiling)
        asked = Quota(mails, BoundBy.RAMP, f"{ramp}, day {progress + 1}: {mails}")
    caps = [Quota(ceiling, BoundBy.CEILING, f"emailsPerMailboxPerDay is {ceiling}")]
    if provider is not None:
        caps.append(
            Quota(provider.mails, BoundBy.PROVIDER, f"{provider.name} admits {provider.mails} in 24 hours")
        )
    lowest = min(caps, key=lambda cap: cap.mails)
    if asked.mails <= lowest.mails:
        return asked
    return Quota(lowest.mails, lowest.by, f"{lowest.reason}; {asked.reason}")
