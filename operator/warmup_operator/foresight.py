"""What the condition QuotaFeasible says: whether every mailbox can send its full number, and what stands in the way. Pure.

The sentences are those of ``warmup plan``, so a fleet that was planned hears nothing new. Figures are those of the full numbers,
not of today's ramps: the condition says beforehand what will be short. Limits of the whole fleet make it not Ready as well.
"""

import math
from datetime import timedelta
from typing import Final

from warmup_core import feasibility, shortfalls
from warmup_core.plan import Enrolled
from warmup_core.sizing import Rules
from warmup_operator.demand import today
from warmup_operator.postgres import View
from warmup_operator.status import Reason, Verdict

_REASONS: Final = (
    ("limits.providers", Reason.PROVIDER_LIMIT),
    ("limits.", Reason.LIMIT_TOO_LOW),
    ("workers.", Reason.WORKERS_TOO_FEW),
    ("", Reason.WINDOW_TOO_SHORT),
)
"""By how the setting's name begins."""
_FIRST: Final = (
    Reason.LIMIT_TOO_LOW,
    Reason.WINDOW_SKIPPED,
    Reason.WINDOW_TOO_SHORT,
    Reason.WORKERS_TOO_FEW,
    Reason.PROVIDER_LIMIT,
)
"""Which reason a condition has where there are several."""


def quota_feasible(view: View | None, rules: Rules | None) -> Verdict:
    """The verdict on the fleet that was seen. ``rules``: what sizes it."""
    if view is None or rules is None:
        return Verdict(None, Reason.UNKNOWN, "It could not be looked at; the condition Ready says why.")
    census, row = view.census, view.row
    if not census.mailboxes:
        return Verdict(None, Reason.NO_MAILBOXES, "No mailbox is active: nothing is asked for.")
    if census.mailboxes == 1:
        return Verdict(
            False, Reason.MAILBOXES_TOO_FEW, "A single mailbox has nobody to write to: nothing is sent."
        )
    enrolled = Enrolled(census.mailboxes, census.users, census.domains, census.hosts, census.alike)
    send = timedelta(
        seconds=max(1, math.ceil(view.demand.send.total_seconds()))
    )  # else each look says it anew
    found = shortfalls.of_fleet(row.settings, rules, enrolled, send)
    reasons = [next(reason for start, reason in _REASONS if it.name.startswith(start)) for it in found]
    sentences = [f"{it.reason}." for it in found]
    hours = row.settings.hours(row.time_zone)
    if change := feasibility.clock_change(today(row), hours.zone, hours.from_seconds, hours.to_seconds):
        sentences.append(f"Today {change}.")
        if change.startswith(feasibility.SKIPPED):
            reasons.append(Reason.WINDOW_SKIPPED)
    if not reasons:
        fits = "Every mailbox can send its full number in its window."
        return Verdict(True, Reason.QUOTA_FITS, " ".join([fits, *sentences]))
    return Verdict(False, min(reasons, key=_FIRST.index), " ".join(sentences))
