"""Rate limits as arithmetic: the generic cell rate algorithm (GCRA) in whole microseconds. Pure.

A limit admits ``count`` claims in any closed window of ``window_us``. Its bucket holds one instant, the theoretical arrival time
``tat``. Granting n tokens moves ``tat`` on by n steps of T, from now where it lies behind, and is allowed while ``tat`` stays
within ``burst`` steps of now. So a closed interval of length l sees at most ``burst + floor(l / T)`` tokens.

A token may be spent until ``use_us`` (U) after its grant, hence the claims of a window come from grants in a window longer by U:
``burst + floor((W + U) / T) <= count`` if and only if ``T > (W + U) / (count - burst + 1)``. ``step_us`` is the least whole
number of microseconds above that; PostgreSQL's instants are whole microseconds too: nothing is rounded in a sender's favour.
Fails: ValueError for a limit that admits nothing.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SECOND: Final = 1_000_000
"""Microseconds."""
MINUTE_SECONDS: Final = 60.0
HOUR_SECONDS: Final = 3600.0
DAY_SECONDS: Final = 86_400.0
TOKEN_SECONDS: Final = 2.0
"""U: how long after its grant a reserved token may be spent."""
_USUAL_BURST: Final = 50


class Kind(StrEnum):
    """What a limit is kept for. A closed set, fit for a metric's label."""

    MINUTE = "minute"
    HOUR = "hour"
    WORKER = "worker"
    USER = "user"
    DOMAIN = "domain"
    PROVIDER = "provider"
    HOST = "host"


@dataclass(frozen=True)
class Limit:
    """At most ``count`` claims in any closed window of ``window_us``, ``burst`` of them at once; tokens live ``use_us``."""

    count: int
    window_us: int
    burst: int
    use_us: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.burst <= self.count or self.window_us < 1 or self.use_us < 0:
            raise ValueError(f"no limit: {self}")

    @property
    def step_us(self) -> int:
        """T: microseconds from one token to the next."""
        return (self.window_us + self.use_us) // (self.count - self.burst + 1) + 1

    @property
    def per_second(self) -> float:
        """Claims a second that can be kept up for ever."""
        return SECOND / self.step_us

    @property
    def sustained(self) -> float:
        """Claims a window that can be kept up for ever: what a planner counts with instead of ``count``."""
        return self.window_us / self.step_us


def limit(count: int, window_seconds: float, *, use_seconds: float = 0.0, open_share: float = 1.0) -> Limit:
    """A limit with the burst that serves it best.

    Usually a fortieth of the count, within a second's worth and at least 50: enough to reserve a second at a time, and little
    is lost of what can be kept up. Where mails are sent only in ``open_share`` of each window (a day's sending hours), the
    bucket must fill while nobody sends: the greatest sum of burst and refill is at ``count x (1 - share) / (2 - share)``.
    """
    if not 0.0 < open_share <= 1.0:
        raise ValueError(f"the share of a window in which mails are sent must lie in (0, 1]: {open_share}")
    second = math.ceil(count / window_seconds)
    burst = min(count // 40, max(_USUAL_BURST, second))
    burst = max(1, burst, int(count * (1.0 - open_share) / (2.0 - open_share)))
    return Limit(count, round(window_seconds * SECOND), burst, round(use_seconds * SECOND))


@dataclass(frozen=True)
class Grant:
    """``tokens`` granted, the bucket's new ``tat_us``, and when the next token is due (now or later)."""

    tokens: int
    tat_us: int
    due_us: int


def grant(tat_us: int, now_us: int, wanted: int, limit: Limit) -> Grant:
    """What a bucket gives at ``now_us``. The statements of the worker do the same in SQL; a test holds them equal."""
    base, step = max(tat_us, now_us), limit.step_us
    tokens = max(0, min(wanted, limit.burst - -(-(base - now_us) // step)))
    tat = base + tokens * step if tokens else tat_us
    return Grant(tokens, tat, max(now_us, max(tat, now_us) - (limit.burst - 1) * step))


def reserve_size(limits: Iterable[Limit], waiting: int, lately: int) -> int:
    """How many tokens a worker asks for: one for each connection that waits, and what the next second will bring.

    ``lately``: tokens spent within the last U; at that pace half as many follow within U / 2, so they do not go stale.
    Never more than a bucket holds.
    """
    return min([waiting + lately // 2, *(limit.burst for limit in limits)])


def share(limits: Iterable[Limit], workers: int) -> int:
    """How many connections one of ``workers`` keeps ready while tokens are short: what its part of the rate starts within U."""
    rates = [limit.per_second * limit.use_us / SECOND for limit in limits]
    return max(1, math.ceil(min(rates) / workers)) if rates else 1


def host_share(slots: int) -> int:
    """How many of a worker's slots sends to one host may take: half, so that a stalled server leaves the other half free."""
    return max(1, slots // 2)


def fell(before: int | None, after: int | None) -> bool:
    """Whether a limit became stricter; None is none."""
    return after is not None and (before is None or after < before)
