"""The day of one mailbox in lines for a person. Pure; the readings come from ``warmup_core.mailbox_day``."""

from datetime import datetime
from zoneinfo import ZoneInfo

from warmup_core import days, holds, shards
from warmup_core.fleet import FleetRow
from warmup_core.hours import OwnHours
from warmup_core.mailbox_day import MailboxDay, Outcome
from warmup_core.outlook import Outlook, outlook
from warmup_core.pacing import Window
from warmup_core.pauses import Shown as Pause


def lines(day: MailboxDay, fleet: FleetRow | None) -> dict[str, str]:
    """Headings and values; instants in UTC."""
    windows = _windows(day, fleet)
    ahead = _outlook(
        day, fleet, next((it for it in windows if day.at < it.closes), windows[-1] if windows else None)
    )
    return {
        "worker": _worker(day, fleet),
        "day": day.day.isoformat() if day.day else "-",
        "hours": str(_own(day)),
        "window": ", ".join(f"{_at(it.opens)} to {_at(it.closes)}" for it in windows) or "-",
        "today": _account(day),
        "next mail": f"not before {_at(ahead.at)}" if ahead.at else "-",
        "because": ahead.reason,
        "held": _held(day),
        "strikes": str(day.strikes),
        "pauses": "; ".join(_pause(it) for it in day.pauses) or "-",
    }


def _held(day: MailboxDay) -> str:
    if day.hold_reason is None or day.not_before is None or day.not_before <= day.at:
        return "-"
    if day.not_before - day.at < holds.NO_CLOCK:
        return f"until {_at(day.not_before)}: {day.hold_reason}"
    ends = f"`warmup mailboxes release {day.address}` or an import of what was wrong ends it"
    return f"until a person acts: {day.hold_reason}; {ends}"


def outcomes(day: MailboxDay) -> list[str]:
    """The latest mails of the day, the latest first."""
    if not day.outcomes:
        return []
    return ["", "Its latest mails of today:", *(_outcome(it) for it in day.outcomes)]


def _own(day: MailboxDay) -> OwnHours:
    return OwnHours(day.window_from, day.window_to, day.time_zone, day.days)


def _windows(day: MailboxDay, fleet: FleetRow | None) -> list[Window]:
    """What lies in the quota's day of this mailbox's windows, in the order of time."""
    if fleet is None or day.day is None:
        return []
    hours = fleet.settings.hours(fleet.time_zone).of(_own(day))
    span = days.quota_day(day.day, ZoneInfo(fleet.time_zone))
    found = days.windows_in(span, hours.zone, hours.from_seconds, hours.to_seconds)
    return [
        Window(max(it.opens, span.opens), min(it.closes, span.closes))
        for opens_on, it in found
        if hours.open_on(opens_on)
    ]


def _outlook(day: MailboxDay, fleet: FleetRow | None, window: Window | None) -> Outlook:
    if window is None and fleet is not None:
        window = Window(day.at, day.at)  # no window opens today: nothing is owed
    stopping = next((it for it in day.pauses if it.scope != "recipient" and it.per_minute is None), None)
    return outlook(
        day.at,
        window,
        active=day.active,
        fleet_paused=fleet is not None and (fleet.paused or fleet.deleted),
        in_flight=day.in_flight,
        quota=day.quota,
        spent=day.spent,
        not_before=day.not_before,
        hold=day.hold_reason,
        pause=None if stopping is None else (stopping.rule, stopping.until),
    )


def _worker(day: MailboxDay, fleet: FleetRow | None) -> str:
    owner = shards.owner(day.id, fleet.worker_count) if fleet else None
    return (
        "none: the fleet has no workers"
        if owner is None or fleet is None
        else f"{owner} of {fleet.worker_count}"
    )


def _account(day: MailboxDay) -> str:
    if day.quota is None:
        return "no quota yet"
    return (
        f"{day.sent}/{day.quota} sent, {day.in_doubt} in doubt, {day.failed} failed,"
        f" {int(day.in_flight)} in flight, {day.spent} of the quota spent"
    )


def _pause(pause: Pause) -> str:
    until = f"until {_at(pause.until)}" if pause.until else "until a person ends it"
    rate = f", {pause.per_minute} a minute" if pause.per_minute else ""
    return f"{pause.scope} {pause.who} {until}{rate}: {pause.rule}: {pause.reason}"


def _outcome(mail: Outcome) -> str:
    said = f" ({mail.phase}: {mail.reply})" if mail.phase else ""
    return (
        f"  {_at(mail.claimed_at)}  mail {mail.mail_id} to mailbox {mail.recipient_id}"
        f" by worker {mail.worker}: {mail.state}{said}"
    )


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S %Z}"
