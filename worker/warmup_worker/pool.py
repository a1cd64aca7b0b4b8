"""The pool of recipients in memory: every active mailbox of the fleet, ordered by user, sixteen bytes each.

Reloaded when any mailbox changed and with each slow reading. A stale pool costs a refused claim: the claim itself looks
whether the recipient is still active.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from datetime import date

from warmup_core import pairing


class Pool:
    """An immutable snapshot."""

    def __init__(self, ids: Iterable[int] = (), users: Iterable[int] = ()) -> None:
        self._ids = array("q", ids)
        self._users = array("q", users)
        self._block = pairing.largest_block(self._users)

    def __len__(self) -> int:
        return len(self._ids)

    def recipient(self, mailbox_id: int, user_id: int, token: str, day: date, k: int) -> int | None:
        """Whom this mailbox writes its k-th attempt of the day to; None while it is alone."""
        size = len(self._ids)
        # One that is newer than the pool stands where it would stand: then too it cannot meet itself.
        position = bisect_left(
            range(size), (user_id, mailbox_id), key=lambda at: (self._users[at], self._ids[at])
        )
        chosen = pairing.recipient(position, size, self._block, f"{token}/{day}", k)
        return None if chosen is None else self._ids[chosen]
