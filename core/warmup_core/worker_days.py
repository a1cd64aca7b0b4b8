"""What each worker owns and has sent on a day, by number. SQL and no policy.

Owning is arithmetic (``shards``): so a worker that is not there is listed as well, with the mailboxes that wait for it.
Fails: DBAPIError; the caller puts it into words.
"""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_WORKERS = text("""
SELECT n.number, w.host, w.version, extract(epoch FROM clock_timestamp() - w.lease_until)::float8 AS silent,
    count(m.id) AS mailboxes, coalesce(sum(q.quota), 0) AS due, coalesce(sum(q.sent), 0) AS sent,
    coalesce(sum(q.in_doubt), 0) AS in_doubt, coalesce(sum(q.spent), 0) AS spent
FROM generate_series(1, CAST(:count AS integer)) AS n (number)
LEFT JOIN workers w USING (number)
LEFT JOIN mailboxes m ON m.active AND m.id % :count = n.number - 1
LEFT JOIN quotas q ON q.mailbox_id = m.id AND q.day = CAST(:day AS date)
GROUP BY n.number, w.host, w.version, w.lease_until ORDER BY n.number
""")


@dataclass(frozen=True)
class WorkerDay:
    """One worker's part of a day, mails in ``due`` to ``in_flight``. ``silent``: seconds since its lease ran out, negative while
    it runs; None where no process ever had the number."""

    number: int
    host: str | None
    version: str | None
    silent: float | None
    mailboxes: int
    due: int
    sent: int
    in_doubt: int
    in_flight: int

    @property
    def live(self) -> bool:
        """Whether its lease runs."""
        return self.silent is not None and self.silent < 0


async def read(connection: AsyncConnection, count: int, day: date) -> list[WorkerDay]:
    """Every worker of ``count``, with its active mailboxes and their mails of ``day``."""
    if not count:
        return []
    rows = await connection.execute(_WORKERS, {"count": count, "day": day})
    return [
        WorkerDay(
            number=row.number,
            host=row.host,
            version=row.version,
            silent=row.silent,
            mailboxes=row.mailboxes,
            due=int(row.due),
            sent=int(row.sent),
            in_doubt=int(row.in_doubt),
            in_flight=int(row.spent - row.sent - row.in_doubt),
        )
        for row in rows
    ]
