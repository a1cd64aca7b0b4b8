"""Whether a mail host refuses most of this worker's mails for good: as spam, for what they hold, or for no reason that we know.

One such refusal concerns one message (``warmup_core.replies``): its mailbox backs off, nobody else waits. Most of fifty in a row
are the host's judgement of all that we send there, and to go on until midnight would ruin the name of every mailbox; so the host
pauses (``reactions.react_to_refusals``). A few suffice once such a pause is over: they were to find out whether it still refuses.
Half is far from what a sound fleet sees, so one bad user among others stops nobody else.

Only mails that the host has judged are counted, accepted or refused for good; what failed for another reason says nothing here.
No I/O, no clock. In memory only: a restart counts anew.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

LATELY: Final = 50
"""Mails to a host that are looked at, and that there must be."""
AGAIN: Final = 10
"""How many there must be after a pause."""


def mostly_refused(lately: Collection[bool], least: int) -> bool:
    """Whether of at least so many mails more than half were refused."""
    return len(lately) >= least and 2 * sum(lately) > len(lately)


@dataclass
class _Host:
    """The last mails to a host (whether each was refused) since it paused for this at ``paused``, if it did."""

    paused: float | None
    lately: deque[bool] = field(default_factory=lambda: deque(maxlen=LATELY))


class Refusals:
    """The last mails to each host."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Host] = {}

    def judged(self, host: str, refused: bool, paused: float | None) -> bool:
        """Note what a host said of a mail. Whether it is to pause; what was counted for that is not counted again.

        ``paused``: since when it pauses or paused for this the last time; None where it did not lately.
        """
        found = self._hosts.get(host)
        if found is None or found.paused != paused:
            found = self._hosts[host] = _Host(paused)
        found.lately.append(refused)
        if not refused or not mostly_refused(found.lately, LATELY if paused is None else AGAIN):
            return False
        found.lately.clear()
        return True
