"""The pool of recipients in memory: every member of the fleet in its place, 21 bytes each.

Fixed for the day: who joins makes it anew, who leaves keeps its place and is passed over, so that nobody else's pair changes.
Reloaded when any mailbox changed and with each slow reading. A stale pool costs a refused claim: the claim itself looks
whether the recipient is still active, and ``leave`` takes a member out at once when it is not.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import groupby

from warmup_core import pairing
from warmup_core.pairing import Turn


@dataclass(frozen=True, slots=True)
class Member:
    """A mailbox of the fleet. ``user`` and ``domain`` are numbers, equal for the same user and the same domain."""

    id: int
    user: int
    domain: int
    present: bool = True


class Pool:
    """The members in the order they come in, in which each user must be one run."""

    def __init__(self, members: Iterable[Member] = ()) -> None:
        self._ids, self._users, self._domains = array("q"), array("i"), array("i")
        self._present = bytearray()
        for user, (_, run) in enumerate(groupby(members, lambda member: member.user)):
            for member in run:
                self._ids.append(member.id)
                self._users.append(user)
                self._domains.append(member.domain)
                self._present.append(member.present)
        self._by_id = array("i", sorted(range(len(self._ids)), key=self._ids.__getitem__))
        self._pairing = pairing.Pool.of(self._users, self._domains)
        self._turn = lru_cache(maxsize=256)(self._make_turn)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def bytes_a_member(self) -> float:
        """What a member takes in memory."""
        arrays = (self._ids, self._users, self._domains, self._by_id, self._present)
        return sum(memoryview(it).nbytes for it in arrays) / max(1, len(self))

    def _place(self, mailbox_id: int) -> int | None:
        at = bisect_left(self._by_id, mailbox_id, key=self._ids.__getitem__)
        if at == len(self) or self._ids[self._by_id[at]] != mailbox_id:
            return None
        return self._by_id[at]

    def _is_present(self, place: int) -> bool:
        return bool(self._present[place])

    def _make_turn(self, seed: str, k: int) -> Turn | None:
        return pairing.turn(self._pairing, seed, k)

    def recipient(self, mailbox_id: int, token: str, day: date, k: int) -> int | None:
        """Whom this mailbox writes to in the k-th turn of the day; None while it is alone, or newer than the pool."""
        place, turn = self._place(mailbox_id), self._turn(f"{token}/{day}", k)
        if place is None or turn is None:
            return None
        found = pairing.recipient(self._pairing, turn, place, self._is_present)
        return None if found is None else self._ids[found]

    def leave(self, mailbox_id: int) -> None:
        """Take a member out; the others keep their pairs."""
        place = self._place(mailbox_id)
        if place is not None:
            self._present[place] = False
