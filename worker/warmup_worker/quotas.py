"""The SQL of a day's quotas: what mailboxes owe is planned (``warmup_core.planning``) and written where it is missing or wrong.

A quota is never written below what is already spent, and under the mailbox's lock like every write to it. Mails are counted in
the ledger only for mailboxes whose windows do not fit the quota day.
Fails: the caller's transaction; a page is planned again whole.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

from asyncpg import Record
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core import planning
from warmup_core.days import DayPlan
from warmup_core.hours import OwnHours
from warmup_core.pacing import Window
from warmup_core.planning import Case, Counted, Planned, Planner

# The days are given as values, so that the planner sees their partitions and no others.
_SPENT = text("""
SELECT day, mailbox_id FROM quotas
WHERE day = ANY (CAST(:days AS date[])) AND mailbox_id = ANY (CAST(:ids AS bigint[])) AND spent > 0
""")

# ``ramp_on`` is the working day that a mailbox was planned for last, ``ramp_day`` the days before it that it sent mails on
# (``warmup_core.planning``): a day off, a pause, a long hold leave the ramp where it is.
_PLAN = text("""
WITH given AS (
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:quotas AS integer[]), CAST(:misseds AS integer[]),
        CAST(:ramp_days AS integer[]), CAST(:ramp_ons AS date[])) AS g (id, quota, missed, ramp_day, ramp_on)
), locked AS MATERIALIZED (
    SELECT id FROM mailboxes WHERE id = ANY (CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE
), ramped AS (
    UPDATE mailboxes m SET ramp_day = g.ramp_day, ramp_on = g.ramp_on FROM locked JOIN given g USING (id)
    WHERE m.id = g.id AND m.id = ANY (CAST(:ids AS bigint[]))
        AND g.ramp_on IS NOT NULL AND (m.ramp_on IS NULL OR m.ramp_on < g.ramp_on)
)
INSERT INTO quotas AS q (day, mailbox_id, quota, missed)
SELECT :day, id, quota, missed FROM locked JOIN given USING (id)
ON CONFLICT (day, mailbox_id) DO UPDATE SET quota = greatest(excluded.quota, q.spent), missed = excluded.missed
WHERE q.quota <> greatest(excluded.quota, q.spent) OR q.missed <> excluded.missed
""")

# A window's mails are those claimed inside it: a claim is made only while its window is open.
_COUNT = text("""
SELECT w.mailbox_id, w.opens_on, count(*) FILTER (WHERE l.day < :day) AS before, count(*) FILTER (WHERE l.day = :day) AS today
FROM unnest(CAST(:ids AS bigint[]), CAST(:opens_ons AS date[]), CAST(:opens AS timestamptz[]), CAST(:closes AS timestamptz[]))
    AS w (mailbox_id, opens_on, opens, closes)
JOIN mails l ON l.mailbox_id = w.mailbox_id AND l.claimed_at >= w.opens AND l.claimed_at < w.closes
WHERE l.state <> 'failed' AND l.day BETWEEN CAST(:first AS date) - 1 AND :day
GROUP BY 1, 2
""")


class Owed(NamedTuple):
    """What a mailbox owes on the day: ``quota`` as it is written, ``missed`` of them by parts of the day that are over."""

    day: DayPlan
    quota: int
    missed: int = 0


class _Alike(NamedTuple):
    """Rows that agree in all that their day depends on. ``owed`` is None where their mails have to be counted first, ``write``
    where it stands in the tables already: quota, missed, ramp_day, ramp_on."""

    case: Case
    owed: Owed | None = None
    write: tuple[int, int, int, date | None] | None = None


async def plan(connection: AsyncConnection, planner: Planner, rows: Sequence[Record]) -> list[Owed]:
    """What each of these rows of ``roster`` owes, in their order. Rows that are alike are planned once."""
    spent = await _spent(
        connection, [row for row in rows if row["ramp_on"] is not None and row["ramp_on"] < planner.day]
    )
    alike: dict[tuple[object, ...], _Alike] = {}
    planned: list[_Alike] = []
    windows: dict[int, Sequence[tuple[date, Window]]] = {}
    for row in rows:
        sent_then = bool(spent) and (row["ramp_on"], row["id"]) in spent
        key = (sent_then, row[_ALIKE])
        found = alike.get(key)
        if found is None:
            case = _case(row, sent_then)
            counts = planner.to_count(case)
            found = alike[key] = _Alike(case) if counts else _judged(row, case, planner.plan(case))
        if found.owed is None:
            windows[row["id"]] = planner.to_count(found.case)
        planned.append(found)
    if windows:
        at = await connection.scalar(text("SELECT clock_timestamp()"))
        counted = await _count(connection, planner.day, windows)
        for n, row in enumerate(rows):
            if (seen := counted.get(row["id"])) is not None:
                case = planned[n].case
                day = planner.plan(case, seen)
                planned[n] = _judged(row, case, day, planning.missed(day.day, seen, at))
    wrong = [(row["id"], *it.write) for row, it in zip(rows, planned, strict=True) if it.write is not None]
    if wrong:
        ids, quotas, misseds, ramp_days, ramp_ons = map(list, zip(*wrong, strict=True))
        values = {
            "day": planner.day,
            "ids": ids,
            "quotas": quotas,
            "misseds": misseds,
            "ramp_days": ramp_days,
            "ramp_ons": ramp_ons,
        }
        await connection.execute(_PLAN, values)
    return [it.owed for it in planned if it.owed is not None]


def _judged(row: Record, case: Case, planned: Planned, missed: int = 0) -> _Alike:
    """What such a row owes by the plan, and what of it stands otherwise in the tables."""
    quota = max(planned.day.mails, row["spent"])
    missed = min(missed, quota - row["spent"])  # what is spent in another part of the day is not missed
    ramps = planned.ramp_on is not None and (case.ramp_on is None or case.ramp_on < planned.ramp_on)
    wrong = ramps or row["quota"] != quota or row["missed"] != missed
    write = (quota, missed, planned.ramp_day, planned.ramp_on) if wrong else None
    return _Alike(case, Owed(planned.day, quota, missed), write)


COLUMNS = (
    "m.ramp_day", "m.ramp_on", "m.smtp_host", "m.quota_override", "m.window_from", "m.window_to", "m.time_zone", "m.days",
    "q.quota", "coalesce(q.spent, 0) AS spent", "coalesce(q.missed, 0) AS missed",
)  # fmt: skip
"""What a row's day depends on; the reading of ``roster`` begins with it."""
_ALIKE = slice(len(COLUMNS))


def _case(row: Record, sent_then: bool) -> Case:
    own = OwnHours(row["window_from"], row["window_to"], row["time_zone"], row["days"])
    return Case(row["ramp_day"], row["ramp_on"], sent_then, row["smtp_host"], row["quota_override"], own)


async def _spent(connection: AsyncConnection, rows: Sequence[Record]) -> set[tuple[date, int]]:
    """Which of these mailboxes spent anything on the day of their ``ramp_on``: (day, mailbox id)."""
    if not rows:
        return set()
    values = {"days": list({row["ramp_on"] for row in rows}), "ids": [row["id"] for row in rows]}
    found = {(row.day, row.mailbox_id) for row in await connection.execute(_SPENT, values)}
    return found & {(row["ramp_on"], row["id"]) for row in rows}


async def _count(
    connection: AsyncConnection, day: date, windows: Mapping[int, Sequence[tuple[date, Window]]]
) -> dict[int, dict[date, Counted]]:
    """The mails of these mailboxes' windows, by the day on which they open; each window is in the answer."""
    asked = [(id_, opens_on, window) for id_, found in windows.items() for opens_on, window in found]
    counts = {id_: {opens_on: Counted() for opens_on, _ in found} for id_, found in windows.items()}
    rows = await connection.execute(
        _COUNT,
        {
            "day": day,
            "first": min(opens_on for _, opens_on, _ in asked),
            "ids": [id_ for id_, _, _ in asked],
            "opens_ons": [opens_on for _, opens_on, _ in asked],
            "opens": [window.opens for _, _, window in asked],
            "closes": [window.closes for _, _, window in asked],
        },
    )
    for row in rows:
        counts[row.mailbox_id][row.opens_on] = Counted(row.before, row.today)
    return counts
