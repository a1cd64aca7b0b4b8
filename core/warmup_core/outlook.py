"""Why a mailbox sends nothing this instant, and when it may next, told from what the tables hold. Pure.

For people who ask without a worker. The worker that owns the mailbox knows more: the place in the window that it was given, a
limit without tokens. So ``at`` is the earliest instant, not the planned one.
"""

from dataclasses import dataclass
from datetime import datetime

from warmup_core import pacing
from warmup_core.pacing import WakeReason, Window


@dataclass(frozen=True)
class Outlook:
    """``at``: the earliest instant of its next mail today; None: not before something changes. ``reason``: a sentence."""

    at: datetime | None
    reason: str


def outlook(
    now: datetime,
    window: Window | None,
    *,
    active: bool,
    fleet_paused: bool,
    in_flight: bool,
    quota: int | None,
    spent: int,
    not_before: datetime | None,
    hold: str | None,
    pause: tuple[str, datetime | None] | None,
) -> Outlook:
    """What stands in the way, the most lasting thing first. ``pause``: the rule and the end of one that stops it beyond itself.

    ``window``: today's; None while there is no fleet. ``hold`` counts as long as ``not_before`` lies ahead.
    """
    if window is None:
        return Outlook(None, "There is no fleet in this database yet.")
    if not active:
        return Outlook(None, "It is not active and takes no part.")
    if fleet_paused:
        return Outlook(None, "The fleet is paused.")
    if in_flight:
        return Outlook(None, "A mail is in flight.")
    if quota is None:
        return Outlook(None, "No worker has planned its day yet.")
    if pause is not None:
        rule, until = pause
        return Outlook(until, f"A pause beyond this mailbox holds it: {rule}.")
    found = pacing.ready(now, window, quota, spent, not_before or now)
    match found.reason:
        case WakeReason.QUOTA_MET:
            return Outlook(None, "Today's quota is spent." if quota else "It owes nothing today.")
        case WakeReason.COOLDOWN:
            return Outlook(found.at, f"It is held: {hold}" if hold else "It rests from its last mail.")
        case WakeReason.WINDOW_OVER if hold and not_before and not_before > now and now < window.closes:
            return Outlook(None, f"It is held beyond the end of today's window: {hold}")
        case WakeReason.WINDOW_OVER:
            return Outlook(None, "Today's window is over.")
        case WakeReason.NO_WINDOW:
            return Outlook(None, "The clock skips the window today.")
    if now < window.opens:
        return Outlook(found.at, "The window has not opened yet.")
    return Outlook(found.at, "It may send; its worker spreads the rest of the day.")
