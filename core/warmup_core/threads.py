"""Which turns of a day begin a conversation and which answer an earlier turn. Pure: the seed is an argument.

The whole fleet follows one plan a day. A turn is a permutation of the pool (``pairing``): where turn k answers turn j, everybody
writes to whom it heard from in turn j, which is the same permutation backwards. So answers leave the received counts as equal as
they are without them, whatever the share. A mail whose answer is due but that never arrived (a failure, a mailbox that
runs behind) is replaced by a new one to the same recipient: the counts stay, only the share is less.

Invariants: a turn is answered at most once, by a later turn of the same day not more than ``RECENT`` turns after it; a thread has
at most ``LONGEST`` mails; after k turns the answers are the given percentage of them, to within one, up to ``MOST_PERCENT``.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

LONGEST = 4
"""Mails of a thread, the first included. It bounds References too."""
RECENT = 8
MOST_PERCENT = 75
"""The largest share that threads of ``LONGEST`` mails allow."""


@dataclass(frozen=True)
class Step:
    """What turn ``k`` is. ``first``: the turn that began the thread; ``depth``: how many mails came before in it."""

    k: int
    first: int
    depth: int = 0
    answers: int | None = None

    @property
    def backwards(self) -> bool:
        """Whether it follows the permutation of ``first`` from recipient to sender."""
        return self.depth % 2 == 1


@lru_cache(maxsize=16)
def plan(seed: str, percent: int, turns: int) -> tuple[Step, ...]:
    """The first turns of the day that ``seed`` names; a longer plan begins with the shorter one."""
    offset = _draw(seed) % 100
    answers = 0
    steps: list[Step] = []
    unanswered: list[Step] = []
    for k in range(turns):
        unanswered = [step for step in unanswered if k - step.k <= RECENT]
        step = Step(k, k)
        if unanswered and answers < ((k + 1) * percent + offset) // 100:
            answers += 1
            parent = unanswered.pop(_draw(f"{seed}/{k}") % len(unanswered))
            step = Step(k, parent.first, parent.depth + 1, parent.k)
        steps.append(step)
        if step.depth < LONGEST - 1:
            unanswered.append(step)
    return tuple(steps)


def step(seed: str, percent: int, k: int) -> Step:
    """Turn k of the day that ``seed`` names."""
    return plan(seed, percent, 32 << max(0, k.bit_length() - 5))[k]


def _draw(seed: str) -> int:
    return int.from_bytes(blake2b(f"threads/{seed}".encode(), digest_size=8).digest(), "big")
