"""Who writes to whom: each turn k of a day is a permutation of the pool, so everybody receives as many mails as anybody.

The pool is ordered such that each user is one run of places. A turn is made of three steps, each a permutation:

1. shift: move every place forward by the same number, at least the largest run and at most the rest. Nobody stays in his run.
   Where a run is more than half of the pool, at least the rest and at most the run: then all others write to it and it to them,
   and only what is left over stays inside.
2. rotate: turn each user's run by the same number. Small pools have few shifts; this finds them new partners.
3. exchange: two mailboxes, chosen by mirroring, swap their recipients where that leaves fewer inside a user or a domain.

Invariants, for a pool fixed for the day: nobody writes to itself while the pool has two members; nobody writes to its own user
more than the sizes force (``inside``); equal quotas make received counts equal. Where users and domains are runs of at
most half of the pool nobody writes to its own domain either; else other domains are preferred, as far as the exchange finds them.
A member that is gone is passed over along the permutation (its recipient takes its place), which leaves all other pairs as they
were. Passing over one's own user as well costs the exact balance by at most the mails that did so.
Every turn can be read backwards (``sender``), which is what answers need (``threads``).
Pure: the seed is an argument. Fails: a pool of one has no recipient, and the answer says so by None.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice, pairwise
from math import gcd

_EXCHANGES = 4
_CANDIDATES = 12
"""Shifts tried a turn, to take the one with the fewest pairs inside a domain."""
_SAMPLE = 96
"""Places looked at to judge a shift."""
_FEW_SHIFTS = 64
_FAR = 64
"""How many present members are passed over for another user's before one's own is taken."""
_SAME_DOMAIN, _SAME_USER, _SELF = 1, 2, 8
"""Costs of a pair. No exchange that lowers a sum can raise the number of pairs inside a user: 2 + 2 is not less than 3 + 1."""


@dataclass(frozen=True)
class Pool:
    """Members in order of place: their users, numbered from 0 as they come, and their domains, numbered anyhow."""

    users: Sequence[int]
    domains: Sequence[int]
    largest_user: int
    low: int
    """The shortest shift; the longest is the size less this."""
    tidy: bool
    """Whether the shift alone keeps every pair outside user and domain."""

    @classmethod
    def of(cls, users: Sequence[int], domains: Sequence[int]) -> "Pool":
        """Raises ValueError when a user is not one run."""
        size = len(users)
        if any(after - before not in {0, 1} for before, after in pairwise(users)):
            raise ValueError("users must be numbered in the order of their places, each one run")
        user_runs, domain_runs = list(_runs(users)), list(_runs(domains))
        largest_user, largest_domain = max(user_runs, default=0), max(domain_runs, default=0)
        low = max(1, *(min(largest, size - largest) for largest in (largest_user, largest_domain)))
        tidy = 2 * max(largest_user, largest_domain) <= size and len(domain_runs) == len(set(domains))
        return cls(users, domains, largest_user, low, tidy)

    def __len__(self) -> int:
        return len(self.users)

    def cost(self, place: int, other: int) -> int:
        """How unwanted this pair is; 0 for another user at another domain."""
        if place == other:
            return _SELF
        same_user = self.users[place] == self.users[other]
        return _SAME_USER * same_user + _SAME_DOMAIN * (self.domains[place] == self.domains[other])


@dataclass(frozen=True)
class Turn:
    """One permutation. ``mirrors``: the centres of the exchanges, in order."""

    shift: int
    rotation: int
    mirrors: tuple[int, ...]


def inside(sizes: Sequence[int]) -> int:
    """Of one mail from each member, how many must stay inside a group (a user, a domain) of these sizes."""
    return max(0, 2 * max(sizes, default=0) - sum(sizes))


def turn(pool: Pool, seed: str, k: int) -> Turn | None:
    """The k-th turn (from 0) of the day that ``seed`` names; None in a pool of one."""
    size = len(pool)
    if size < 2:
        return None
    span = size - 2 * pool.low + 1
    draw = int.from_bytes(blake2b(seed.encode(), digest_size=24).digest(), "big")
    start, stride = draw % span, 1 + (draw >> 64) % span
    while gcd(stride, span) != 1:
        stride = stride % span + 1
    tries = 1 if pool.tidy else min(_CANDIDATES, max(1, span // _FEW_SHIFTS))
    turned = (draw >> 128) % size if span < _FEW_SHIFTS else 0
    draw = int.from_bytes(blake2b(f"{seed}/{k}".encode(), digest_size=8 * (_EXCHANGES + 1)).digest(), "big")
    mirrors = () if pool.tidy else tuple((draw >> 64 * n) % size for n in range(_EXCHANGES))
    sample = range((draw >> 64 * _EXCHANGES) % size, size, max(1, size // _SAMPLE))
    best, least = None, 0
    for number in range(k * tries, (k + 1) * tries):
        shift = pool.low + (start + number * stride) % span
        found = Turn(shift, _rotation(pool, shift, turned + number // span * span), mirrors)
        cost = sum(pool.cost(place, _moved(pool, found, place)) for place in sample) if tries > 1 else 0
        if best is None or cost < least:
            best, least = found, cost
        if not least:
            break
    return best


def recipient(
    pool: Pool, turn: Turn, place: int, present: Callable[[int], bool] = lambda _: True
) -> int | None:
    """The place that the member at ``place`` writes to. ``present`` tells who has not gone since the pool was made."""
    return _taken(pool, place, _onward(turn, pool, place, _written), present)


def sender(pool: Pool, turn: Turn, place: int, present: Callable[[int], bool] = lambda _: True) -> int | None:
    """The place of who writes to the member at ``place`` in this turn: ``recipient`` read backwards."""
    return _taken(pool, place, _onward(turn, pool, place, _writer), present)


def _runs(groups: Sequence[int]) -> Iterator[int]:
    """The lengths of the runs of one group. A run over the end of the pool counts as two, or it would have no start."""
    length = 0
    previous: int | None = None
    for group in groups:
        if group != previous and length:
            yield length
            length = 0
        previous = group
        length += 1
    if length:
        yield length


def _rotation(pool: Pool, shift: int, rotation: int) -> int:
    """The first rotation from this one on with which nobody of a run larger than half of the pool meets itself."""
    largest, rest = pool.largest_user, len(pool) - pool.largest_user
    if 2 * largest <= len(pool):
        return rotation
    # A member that the shift leaves in its run, forwards or round the pool's end, is brought back by these rotations.
    back = {-shift % largest} if shift < largest else set()
    back |= {(rest - shift) % largest} if shift > rest else set()
    while rotation % largest in back:
        rotation += 1
    return rotation


def _run(pool: Pool, place: int) -> tuple[int, int]:
    """Start and length of the user's run at a place."""
    user = pool.users[place]
    start = bisect_left(pool.users, user)
    return start, bisect_right(pool.users, user, lo=place) - start


def _moved(pool: Pool, turn: Turn, place: int) -> int:
    """Shift and rotation."""
    to = (place + turn.shift) % len(pool)
    if turn.rotation:
        start, length = _run(pool, to)
        to = start + (to - start + turn.rotation) % length
    return to


def _moved_back(pool: Pool, turn: Turn, place: int) -> int:
    if turn.rotation:
        start, length = _run(pool, place)
        place = start + (place - start - turn.rotation) % length
    return (place - turn.shift) % len(pool)


def _written(pool: Pool, turn: Turn, place: int) -> int:
    if _unconcerned(pool, turn, place):
        return _moved(pool, turn, place)
    return _after(pool, turn, len(turn.mirrors), place)


def _unconcerned(pool: Pool, turn: Turn, place: int) -> bool:
    """Whether no exchange can change anything for this place: no pair that it or a mate, or a mate's mate, stands in costs
    anything. Of most places that is true, and seen in a third of the time that asking each exchange takes.
    """
    if turn.rotation or not turn.mirrors:
        return False
    users, domains, size, shift = pool.users, pool.domains, len(pool.users), turn.shift
    places = [place]
    for mirror in reversed(turn.mirrors):
        places += [(mirror - it) % size for it in places]
    for it in places:
        to = (it + shift) % size
        if users[it] == users[to] or domains[it] == domains[to]:
            return False
    return True


def _after(pool: Pool, turn: Turn, exchanges: int, place: int) -> int:
    """Whom a place writes to after so many exchanges."""
    if not exchanges:
        return _moved(pool, turn, place)
    mine = _after(pool, turn, exchanges - 1, place)
    mate = (turn.mirrors[exchanges - 1] - place) % len(pool)
    if mate == place:
        return mine
    its = _after(pool, turn, exchanges - 1, mate)
    return its if _better_swapped(pool, place, mine, mate, its) else mine


def _writer(pool: Pool, turn: Turn, place: int) -> int:
    """Who writes to a place: each exchange leaves it with its writer or hands it to that one's mate."""
    found = _moved_back(pool, turn, place)
    if _unconcerned(pool, turn, found):
        return found
    for exchange, mirror in enumerate(turn.mirrors):
        mate = (mirror - found) % len(pool)
        if mate != found and _better_swapped(pool, found, place, mate, _after(pool, turn, exchange, mate)):
            found = mate
    return found


def _better_swapped(pool: Pool, one: int, ones: int, other: int, others: int) -> bool:
    before = pool.cost(one, ones) + pool.cost(other, others)
    return before > 0 and pool.cost(one, others) + pool.cost(other, ones) < before


def _onward(turn: Turn, pool: Pool, place: int, step: Callable[[Pool, Turn, int], int]) -> Iterator[int]:
    """From a place along the permutation until it closes, then the places behind it: everybody else at least once."""
    here = step(pool, turn, place)
    while here != place:
        yield here
        here = step(pool, turn, here)
    for away in range(1, len(pool)):
        yield (place + away) % len(pool)


def _taken(pool: Pool, place: int, onward: Iterator[int], present: Callable[[int], bool]) -> int | None:
    """The first, if it is present; else the first present one of another user, else the first present one."""
    first = next(onward, None)
    if first is None or present(first):
        return first
    there = islice((other for other in onward if present(other)), _FAR)
    own: int | None = None
    for other in there:
        if pool.users[other] != pool.users[place]:
            return other
        own = other if own is None else own
    return own
