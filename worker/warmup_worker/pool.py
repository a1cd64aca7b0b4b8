"""The pool of recipients in memory: every member of the fleet in its place, 21 bytes each.

Fixed for the day: who joins makes it anew, who leaves keeps its place and is passed over, so that nobody else's pair changes.
Reloaded when any mailbox changed. A stale pool costs a refused claim: the claim itself looks
whether the recipient is still active, and ``leave`` takes a member out at once when it is not.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, partial
from typing import Self

from warmup_core import pairing, threads


@dataclass(frozen=True)
class Headcount:
    """How many members take part, and how many the largest user and the largest domain have, those who left today among them."""

    present: int
    largest_user: int
    largest_domain: int


@dataclass(frozen=True)
class Members:
    """The mailboxes of a fleet by place: their ids, their users numbered from 0 as they come, their domains numbered anyhow,
    and whether they still take part. Arrays of one length."""

    ids: "array[int]"
    users: "array[int]"
    domains: "array[int]"
    present: bytearray

    @classmethod
    def of(cls, members: Sequence[tuple[int, int, int]]) -> Self:
        """From (id, user, domain), all present."""
        ids, users, domains = zip(*members, strict=True) if members else ((), (), ())
        return cls(array("q", ids), array("i", users), array("i", domains), bytearray(b"\1") * len(ids))


@dataclass(frozen=True)
class Recipient:
    """Whom to write to; ``answers``: as an answer, if there is something to answer."""

    mailbox_id: int
    answers: bool


class Pool:
    """The members as one reading found them. Raises ValueError when a user is not one run of places."""

    def __init__(self, members: Members | None = None) -> None:
        members = members or Members.of([])
        self._ids, self._present, self._members = members.ids, members.present, members
        self._by_id = array("i", sorted(range(len(self._ids)), key=self._ids.__getitem__))
        self._largest_user = max(Counter(members.users).values(), default=0)
        self._largest_domain = max(Counter(members.domains).values(), default=0)
        self._pairing = pairing.Pool.of(members.users, members.domains)
        self._turn = lru_cache(maxsize=256)(partial(pairing.turn, self._pairing))

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def present(self) -> int:
        """Members that take part."""
        return sum(self._present)

    @property
    def headcount(self) -> Headcount:
        """What ``roster.headcount`` finds in the tables."""
        return Headcount(self.present, self._largest_user, self._largest_domain)

    @property
    def whole(self) -> bool:
        """Whether nobody has left: then the next day's pool is the same."""
        return self.present == len(self)

    @property
    def bytes_a_member(self) -> float:
        """What a member takes in memory."""
        it = self._members
        held = (it.ids, it.users, it.domains, it.present, self._by_id)
        return sum(memoryview(array).nbytes for array in held) / max(1, len(self))

    def _place(self, mailbox_id: int) -> int | None:
        at = bisect_left(self._by_id, mailbox_id, key=self._ids.__getitem__)
        if at == len(self) or self._ids[self._by_id[at]] != mailbox_id:
            return None
        return self._by_id[at]

    def recipient(
        self,
        mailbox_id: int,
        token: str,
        day: date,
        k: int,
        reply_percent: int = 0,
        paused: Callable[[int], bool] = lambda _: False,
    ) -> Recipient | None:
        """Whom this mailbox writes to in the k-th turn of the day; None while it is alone, or newer than the pool.

        ``paused`` tells of a mailbox whether it is passed over for now; the others keep their pairs.
        """
        seed = f"{token}/{day}"
        step = threads.step(seed, reply_percent, k)
        place, turn = self._place(mailbox_id), self._turn(seed, step.first)
        if place is None or turn is None:
            return None
        follow = pairing.sender if step.backwards else pairing.recipient
        found = follow(
            self._pairing, turn, place, lambda at: bool(self._present[at]) and not paused(self._ids[at])
        )
        return None if found is None else Recipient(self._ids[found], step.answers is not None)

    def leave(self, mailbox_id: int) -> None:
        """Take a member out; the others keep their pairs."""
        place = self._place(mailbox_id)
        if place is not None:
            self._present[place] = False
