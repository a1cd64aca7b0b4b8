"""The pauses in force as this worker knows them: which mailbox may begin a turn, which recipient is passed over.

What this process heard itself holds at once; what others heard comes with the heartbeat. A pause that slows gives each mailbox
that asks a place in a queue, as many a minute as this worker's share of what the scope gets. At the end of any pause the first
that waited goes on and finds out, the others each at its own place (``Mailbox.comes_back``), or all that waited would go in one
second, to be refused again. The place is drawn, not remembered: whoever asks, before a restart or after, hears the same.
In memory only: after a restart the table tells. Instants are the database's, in seconds since the epoch.
Invariant: an entry changes by the same rule as its row (``warmup_worker.pausing``), so both agree whoever comes first.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from warmup_core.replies import Scope
from warmup_worker.mailbox import Mailbox
from warmup_worker.pausing import REMEMBERED_SECONDS, PauseRow
from warmup_worker.reactions import Concerned, Pause

_SENDING: Final = (Scope.EGRESS, Scope.PROVIDER, Scope.TENANT, Scope.DOMAIN, Scope.APPLICATION)

Gate = tuple[Scope, str]


@dataclass(frozen=True)
class Held:
    """Why a mailbox may not begin: the pause's gate and rule, which may be over for others; it may ask again at ``at``, None:
    when the pause changes."""

    gate: Gate
    rule: str
    at: float | None


@dataclass
class _Queue:
    """The places of a scope that is slowed."""

    next: float = 0.0
    places: dict[int, float] = field(default_factory=dict)


class Pauses:
    """All pauses that one worker knows."""

    def __init__(self) -> None:
        self._known: dict[Gate, PauseRow] = {}
        self._queues: dict[Gate, _Queue] = {}
        self._first: dict[Gate, tuple[float, int]] = {}
        """The mailbox that goes on first after the pause that ends then."""

    def begin(self, pause: Pause, now: float) -> bool:
        """Take up what this worker heard itself; False where a pause in force is as strong already."""
        until = None if pause.seconds is None else now + pause.seconds
        new = PauseRow(pause.scope, pause.key, until, pause.per_minute, pause.attempt, pause.rule, now)
        old = self._known.get((pause.scope, pause.key))
        if old is not None and not _outweighs(new, old, now):
            return False
        self._known[(pause.scope, pause.key)] = _going_on(new, old, now)
        return (
            old is None or not _in_force(old, now) or (old.rule, old.per_minute) != (new.rule, new.per_minute)
        )

    def take_in(self, rows: Iterable[PauseRow], now: float, *, whole: bool) -> set[Gate]:
        """Take over rows as read, all of them or what changed. Returns the gates that opened more: who waits there may ask."""
        read = {(row.scope, row.key): row for row in rows}
        over = {gate for gate, it in self._known.items() if whole and gate not in read and _in_force(it, now)}
        opened = over | {
            gate
            for gate, row in read.items()
            if (old := self._known.get(gate)) and _in_force(old, now) and _outweighs(old, row, now)
        }
        for gate in over:
            self._known[gate] = replace(self._known[gate], until=now)
        for gate, row in read.items():
            self._known[gate] = _going_on(row, self._known.get(gate), now)
        for gate in [it for it, row in self._known.items() if _end(row) + REMEMBERED_SECONDS < now]:
            del self._known[gate]
            self._first.pop(gate, None)
        for gate in [
            it for it in self._queues if it not in self._known or not _in_force(self._known[it], now)
        ]:
            del self._queues[gate]
        return opened

    def holding(self, mailbox: Mailbox, now: float, workers: int) -> Held | None:
        """What keeps this mailbox from a turn now. One that may go on uses its place where its scope is slowed."""
        if not self._known:
            return None
        enrolled = mailbox.enrolment
        who = Concerned(
            enrolled.user_id, enrolled.address, enrolled.smtp_host, application=enrolled.application
        )
        for scope in _SENDING:
            gate = (scope, who.key(scope) or "")
            pause = self._known.get(gate)
            if pause is not None and (at := self._opens(pause, gate, mailbox, now, workers)) > now:
                return Held(gate, pause.rule, None if at == math.inf else at)
        return None

    def _opens(self, pause: PauseRow, gate: Gate, mailbox: Mailbox, now: float, workers: int) -> float:
        """When a mailbox that is due may pass this pause."""
        end = _end(pause)
        if end > now and pause.per_minute is not None:
            at = self._place(gate, mailbox.id, now, workers * 60 / pause.per_minute)
            if at < end:
                return at
        if end == math.inf or mailbox.not_before > end:  # it has sent since, or comes from a rest of its own
            return end
        first = self._first.get(gate)
        if first is None or first[0] != end:
            first = self._first[gate] = (end, mailbox.id)
        return end if first[1] == mailbox.id else mailbox.comes_back(end, _waited(pause))

    def stops(self, scope: Scope, key: str, now: float) -> bool:
        """Whether this key is paused now."""
        pause = self._known.get((scope, key))
        return pause is not None and pause.per_minute is None and _in_force(pause, now)

    def _place(self, gate: Gate, mailbox_id: int, now: float, step: float) -> float:
        """When this mailbox may pass a scope that is slowed, one mailbox a ``step``."""
        queue = self._queues.setdefault(gate, _Queue())
        at = queue.places.pop(mailbox_id, None)
        if at is None:
            at = max(now, queue.next)
            queue.next = at + step
        if at > now:
            queue.places[mailbox_id] = at
        return at

    def attempt(self, scope: Scope, key: str, rule: str, now: float) -> int:
        """How often this rule had made this key pause in a row before a pause that begins now."""
        known = self._known.get((scope, key))
        if known is None or known.rule != rule or _end(known) + REMEMBERED_SECONDS < now:
            return 0
        return known.attempt + (not _in_force(known, now))

    def since(self, scope: Scope, key: str, rule: str) -> float | None:
        """When this rule made this key pause the last time; None where it did not, or long ago."""
        known = self._known.get((scope, key))
        return known.since if known is not None and known.rule == rule else None

    def in_force(self, now: float) -> list[PauseRow]:
        """Every pause in force, the latest first."""
        return sorted((it for it in self._known.values() if _in_force(it, now)), key=lambda it: -it.since)

    def counts(self, now: float) -> Counter[Scope]:
        """How many of each scope are in force."""
        return Counter(it.scope for it in self._known.values() if _in_force(it, now))


def _end(pause: PauseRow) -> float:
    return math.inf if pause.until is None else pause.until


def _going_on(new: PauseRow, old: PauseRow | None, now: float) -> PauseRow:
    """A pause that was made longer or ended early, each of which its row says to have begun then: since when it was in truth."""
    if old is not None and (_in_force(old, now) or _end(new) <= new.since):
        return replace(new, since=min(old.since, new.since))
    return new


def _waited(pause: PauseRow) -> float:
    """How long mailboxes may have waited for its end, by it and those before it in a row."""
    length = _end(pause) - pause.since
    return min(length * (pause.attempt + 1), REMEMBERED_SECONDS) if length > 0 else REMEMBERED_SECONDS


def _in_force(pause: PauseRow, now: float) -> bool:
    return _end(pause) > now


def _outweighs(new: PauseRow, old: PauseRow, now: float) -> bool:
    """Whether ``new`` takes the place of ``old``: over, weaker, or of the same kind and shorter."""
    if not _in_force(old, now):
        return True
    if (new.per_minute is None) != (old.per_minute is None):
        return new.per_minute is None
    return _end(new) > _end(old)
