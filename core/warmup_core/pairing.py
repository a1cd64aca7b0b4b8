"""Who writes to whom: for each (day, k) a permutation of the pool, so everybody receives as many mails as anybody.

The pool is ordered by user, so each user is one block. A cyclic shift by at least the largest block and at most the rest
sends every mailbox into another user's block; a shift is a permutation, so the received counts are equal. The k-th mails of
a day take distinct shifts as long as there are any: nobody is written to twice by one mailbox in a day before it must be.
Where one user owns more than half of the pool no such shift exists, and any shift but zero serves.

Invariants: nobody writes to itself while the pool has two members. Pure: the seed is an argument.
Fails: a pool of one has no recipient, and the answer says so by None.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import gcd


def largest_block(users: Sequence[int]) -> int:
    """The longest run of one user in a pool ordered by user."""
    longest = run = 0
    previous: int | None = None
    for user in users:
        run = run + 1 if user == previous else 1
        previous = user
        longest = max(longest, run)
    return longest


def shift(pool_size: int, block: int, seed: str, k: int) -> int | None:
    """The places to move forward in the pool for the k-th mail (k from 0) of the day that ``seed`` names."""
    if pool_size < 2:
        return None
    low, high = (block, pool_size - block) if 2 * block <= pool_size else (1, pool_size - 1)
    span = high - low + 1
    draw = int.from_bytes(blake2b(seed.encode(), digest_size=16).digest(), "big")
    start, stride = draw % span, 1 + (draw >> 64) % span
    while gcd(stride, span) != 1:
        stride = stride % span + 1
    return low + (start + k * stride) % span


def recipient(position: int, pool_size: int, block: int, seed: str, k: int) -> int | None:
    """The pool position that the mailbox at ``position`` writes to; None in a pool of one."""
    places = shift(pool_size, block, seed, k)
    return None if places is None else (position + places) % pool_size
