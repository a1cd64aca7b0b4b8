"""The day of one mailbox for whoever asks its worker: what memory knows beside what the tables tell.

Memory knows where it stands and when it wakes; the tables know its strikes, the words of its pauses, how its latest mails ended.
Bounded: one look at the tables at a time, by key; a few askers wait, the others are told to ask again. So no number of questions
takes the worker's connections from its mails.
Fails: never with an exception. While the database is away memory answers alone and says what it cannot know.
"""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from warmup_core import mailbox_day, shards
from warmup_core.database import Unreachable
from warmup_core.mailbox_day import MailboxDay
from warmup_worker.connection import Database, Rejected
from warmup_worker.lease import Orders
from warmup_worker.mailbox import Mailbox
from warmup_worker.report import Report
from warmup_worker.shard import Shard
from warmup_worker.tally import Standing, reason_of

_MOST_WAITING: Final = 8
_LONGEST_SECONDS: Final = 2.0
"""That anybody waits for an answer, whoever asked before."""

Answer = tuple[int, dict[str, object]]
"""An HTTP status, and what to say."""


class OneMailbox:
    """Answers for the mailboxes of one worker."""

    def __init__(self, report: Report, shard: Shard, database: Database) -> None:
        self._report, self._shard, self._database = report, shard, database
        self._turn = asyncio.Lock()
        self._asking = 0

    async def day(self, asked: str) -> Answer:
        """200 with the day; 400, 404 or 503 with a sentence under ``error``."""
        try:
            who = mailbox_day.parse(asked)
        except ValueError as error:
            return _no(400, f"mailbox={asked!r} is neither an id nor an address: {error}.")
        if self._report.orders is None:
            return _no(503, self._report.readiness().reason)
        if self._asking >= _MOST_WAITING:
            return _no(503, f"{_MOST_WAITING} others are asking for a mailbox; ask again.")
        self._asking += 1
        try:
            async with asyncio.timeout(_LONGEST_SECONDS), self._turn, self._database.reading() as connection:
                found = await mailbox_day.find(connection, who)
                day = None if found is None else await mailbox_day.read(connection, found)
        except TimeoutError:
            return self._without_tables(who, f"The database did not answer within {_LONGEST_SECONDS:.0f} s.")
        except (Unreachable, Rejected) as error:
            return self._without_tables(who, str(error))
        finally:
            self._asking -= 1
        orders = self._report.orders
        if orders is None or day is None:
            return _no(404, f"No mailbox {who} is enrolled; `warmup mailboxes list` shows who is.")
        mailbox = self._shard.mailboxes.get(day.id)
        if mailbox is None:
            return self._not_here(day.id, orders, active=day.active)
        return 200, {**self._memory(mailbox, orders), **_tables(day)}

    def _without_tables(self, who: int | str, trouble: str) -> Answer:
        orders, mailbox = (
            self._report.orders,
            self._shard.mailboxes.get(who) if isinstance(who, int) else None,
        )
        if orders is not None and mailbox is not None:
            return 200, {**self._memory(mailbox, orders), "not_known_now": trouble}
        if (
            orders is not None
            and isinstance(who, int)
            and not shards.owns(self._report.number, who, orders.worker_count)
        ):
            return self._not_here(who, orders)
        return _no(503, trouble)

    def _not_here(self, mailbox_id: int, orders: Orders, *, active: bool = True) -> Answer:
        owner = shards.owner(mailbox_id, orders.worker_count)
        if not active:
            return _no(404, f"Mailbox {mailbox_id} is not active: no worker has it.")
        if owner is None:
            return _no(404, f"Mailbox {mailbox_id} belongs to no worker: the fleet has none.")
        if owner != self._report.number:
            return _no(
                404,
                f"Mailbox {mailbox_id} belongs to worker {owner} of {orders.worker_count}, this is worker"
                f" {self._report.number}: ask that one, or `warmup mailboxes show {mailbox_id}`.",
            )
        return _no(
            503, f"Mailbox {mailbox_id} has not been read yet; it comes with one of the next heartbeats."
        )

    def _memory(self, mailbox: Mailbox, orders: Orders) -> dict[str, object]:
        return {
            "mailbox": mailbox.id,
            "address": mailbox.enrolment.address,
            "worker": self._report.number,
            "workers": orders.worker_count,
            "day": orders.day.isoformat(),
            "windows": [
                {
                    "opens_on": it.opens_on.isoformat(),
                    "from": _at(it.window.opens),
                    "to": _at(it.window.closes),
                    "mails": it.mails,
                }
                for it in mailbox.plan.portions
            ],
            "quota": mailbox.quota,
            "spent": mailbox.spent,
            "sent": mailbox.sent,
            "in_doubt": mailbox.in_doubt,
            "failed": mailbox.failed,
            "missed": mailbox.missed,
            "in_flight": mailbox.spent - mailbox.sent - mailbox.in_doubt,
            "standing": reason_of(mailbox),
            "reason": _sentence(mailbox, paused=orders.paused),
            "next_wake": _instant(mailbox.wakes_at),
            "not_before": _instant(mailbox.not_before),
            "hold": mailbox.hold,
        }


def _no(status: int, sentence: str) -> Answer:
    return status, {"error": sentence}


def _tables(day: MailboxDay) -> dict[str, object]:
    return {
        "strikes": day.strikes,
        "pauses": [
            {
                "scope": it.scope,
                "key": it.key,
                "until": None if it.until is None else _at(it.until),
                "per_minute": it.per_minute or 0,
                "rule": it.rule,
                "reason": it.reason,
            }
            for it in day.pauses
        ],
        "outcomes": [
            {name: _at(value) if isinstance(value, datetime) else value for name, value in asdict(it).items()}
            for it in day.outcomes
        ],
    }


def _sentence(mailbox: Mailbox, *, paused: bool) -> str:
    """Why it sends nothing this instant."""
    wakes = _instant(mailbox.wakes_at)
    again = f" It asks again at {wakes}." if wakes else ""
    match mailbox.standing:
        case Standing.SCHEDULED:
            sentence = f"Its next mail has its place in the window at {wakes}."
        case Standing.BEHIND:
            sentence = "It is due and waits for a free slot."
        case Standing.COOLDOWN:
            sentence = f"It rests from its last mail until {wakes}."
        case Standing.DEFERRED:
            sentence = f"It is held until {_instant(mailbox.not_before)}: {mailbox.hold}"
        case Standing.CONNECTING:
            sentence = f"A connection to {mailbox.enrolment.smtp_host} is being made, or waits for its claim."
        case Standing.IN_FLIGHT:
            sentence = "A mail is in flight."
        case Standing.ELSEWHERE:
            sentence = "A mail is in flight under another process; this one waits until it is settled."
        case Standing.LIMITED:
            sentence = f"The limit {mailbox.limit} has no room for it now.{again}"
        case Standing.PAUSED:
            sentence = f"A pause beyond this mailbox holds it: {mailbox.limit}.{again}"
        case Standing.REFUSED:
            sentence = f"The database refused its claim.{again}"
        case Standing.QUOTA_MET:
            sentence = "Today's quota is spent." if mailbox.quota else "It owes nothing today."
        case Standing.WINDOW_OVER:
            sentence = "Today's window is over before its quota is met."
        case Standing.NO_WINDOW:
            sentence = "The clock skips its window today."
        case Standing.NO_RECIPIENT:
            sentence = f"The fleet holds nobody it may write to.{again}"
    return f"The fleet is paused. {sentence}" if paused else sentence


def _instant(seconds: float) -> str | None:
    return _at(datetime.fromtimestamp(seconds, UTC)) if seconds > 0 else None


def _at(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds")
