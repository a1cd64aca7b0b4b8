"""Who owns a mailbox: worker ``w`` of ``n`` owns the ids with ``id % n == w - 1``.

One line of arithmetic, here once, so that operator, worker, SQL and documentation cannot drift apart.
Invariant: for every id and every count >= 1 exactly one number owns it; with a count of 0 nobody does. Pure.
"""


def owner(mailbox_id: int, count: int) -> int | None:
    """The number (1..count) of the worker that owns this mailbox; None while the fleet has no workers."""
    return mailbox_id % count + 1 if count > 0 else None


def owns(number: int, mailbox_id: int, count: int) -> bool:
    """Whether worker ``number`` of ``count`` owns this mailbox. A number beyond the count owns nothing."""
    return owner(mailbox_id, count) == number
