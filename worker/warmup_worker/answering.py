"""The SQL of threads: the mail that a mailbox is about to answer.

One reading a batch of claims, before the claim and in its transaction, for those only whose turn is an answer. It goes through
the day's mails of one mailbox by the index that rate limits use, so it costs a few rows a mail; no subject and
no text is stored, because they follow from a mail's day and id.
Fails: a mail that is not there is no fault; the turn begins a new thread then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text

from warmup_core.threads import LONGEST
from warmup_worker.connection import Connected, rows


@dataclass(frozen=True)
class Thread:
    """Where a mail stands in its thread: ids of mails of the same day. ``turn``: how many mails came before, at least 1.

    ``before_id``: what the answered mail itself answered; None where that one began the thread.
    """

    thread_id: int
    answers_id: int
    before_id: int | None
    turn: int


# A mail of which nobody knows whether it arrived is not answered; an answer that failed may be given again. Every mail of a day
# was claimed within the bounds that stand here, in whatever zone: they tell the planner that few are a mailbox's, which until
# PostgreSQL has analysed a new day it does not know. It went through the keys of the whole day for each batch.
_FIND = text("""
SELECT a.place, p.id AS answers_id, coalesce(p.thread_id, p.id) AS thread_id, p.answers_id AS before_id,
    coalesce(p.turn, 0) + 1 AS turn
FROM unnest(CAST(:mailboxes AS bigint[]), CAST(:recipients AS bigint[])) WITH ORDINALITY AS a (mailbox_id, recipient_id, place)
CROSS JOIN LATERAL (
    SELECT l.* FROM mails l
    WHERE l.day = :day AND l.mailbox_id = a.recipient_id AND l.recipient_id = a.mailbox_id AND l.state = 'sent'
      AND l.claimed_at BETWEEN CAST(:day AS date) - 2 AND CAST(:day AS date) + 3
      AND coalesce(l.turn, 0) < CAST(:longest AS integer) - 1
      AND NOT EXISTS (
          SELECT FROM mails o
          WHERE o.day = :day AND o.mailbox_id = a.mailbox_id AND o.claimed_at > l.claimed_at AND o.answers_id = l.id
            AND o.claimed_at BETWEEN CAST(:day AS date) - 2 AND CAST(:day AS date) + 3
            AND o.state <> 'failed')
    ORDER BY l.claimed_at DESC LIMIT 1
) p
""")


async def find(connection: Connected, day: date, pairs: Sequence[tuple[int, int]]) -> list[Thread | None]:
    """For each (mailbox, its recipient): the thread it goes on with by answering the recipient's latest mail to it."""
    threads: list[Thread | None] = [None] * len(pairs)
    found = await rows(
        connection,
        _FIND,
        {
            "mailboxes": [mailbox_id for mailbox_id, _ in pairs],
            "recipients": [recipient_id for _, recipient_id in pairs],
            "day": day,
            "longest": LONGEST,
        },
    )
    for row in found:
        threads[row["place"] - 1] = Thread(row["thread_id"], row["answers_id"], row["before_id"], row["turn"])
    return threads
