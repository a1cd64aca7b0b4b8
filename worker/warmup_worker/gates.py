"""Gates in the wake loop: where a due mailbox waits whose host has no share left, or whose user or domain has no token.

It is set aside in a queue of its own and blocks nobody behind it. A host's queue moves when one of its sends ends. A scope (the
bucket of a user or a domain) is shut when a claim found it empty; from the instant its next token is due it lets one mailbox
through a step, which is as fast as its bucket fills, so nobody logs in for nothing. With nobody waiting it is open again, and so
is every scope when a limit has changed: what was found out holds under that limit only.
Invariants: at most ``share`` turns of one host hold a slot. ``open_due`` looks at every queue that can move, so none is
forgotten; an entry whose mailbox went elsewhere meanwhile is skipped. In memory only: the database decides anyway.
"""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from warmup_core.limits import SECOND, Kind, Limit
from warmup_worker.limits import scopes_of
from warmup_worker.mailbox import Mailbox
from warmup_worker.shard import Shard
from warmup_worker.tally import Standing


@dataclass
class _Shut:
    """A scope that was found empty: the next mailbox may pass at ``opens_at``. ``passes``: those that may and have not yet."""

    kind: Kind
    step: float
    opens_at: float
    passes: int = 0


class Gates:
    """All gates of one worker. Instants are the database's, in seconds since the epoch."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._inside: Counter[str] = Counter()
        self._aside: dict[str, OrderedDict[int, None]] = {}
        """Who waits, in the order of coming: who comes again, after a reading, keeps its place."""
        self._called: dict[str, set[int]] = {}
        """Who was brought back for a host's free places and has not come to ``admit`` yet: those places are taken."""
        self._shut: dict[str, _Shut] = {}
        self._openings: list[tuple[float, str]] = []
        self._scoped: Mapping[Kind, Limit] = {}

    def obey(self, scoped: Mapping[Kind, Limit], now: float) -> None:
        """Take over the limits of users and domains in force. Under others all that is shut is open again, and who waits asks."""
        if scoped == self._scoped:
            return
        self._scoped = scoped
        self._shut.clear()
        self._openings.clear()
        for key in [it for it in self._aside if not it.startswith("host/")]:
            self._bring_back(key, now, len(self._aside[key]))

    def admit(self, mailbox: Mailbox, share: int) -> bool:
        """Let a due mailbox begin, counted at its host; or set it aside."""
        host = mailbox.enrolment.smtp_host
        if (called := self._called.get(host)) is not None:
            called.discard(mailbox.id)
        if self._inside[host] >= share:
            self._set_aside(mailbox, f"host/{host}", Kind.HOST)
            return False
        mine = self._shut_for(mailbox)
        for scope, shut in mine:
            if not shut.passes:
                self._set_aside(mailbox, scope, shut.kind)
                return False
        for _, shut in mine:
            shut.passes -= 1
        self._inside[host] += 1
        return True

    def leave(self, host: str) -> None:
        """A turn of this host gave its slot back."""
        self._inside[host] -= 1
        if not self._inside[host]:
            del self._inside[host]

    def shut(self, mailbox: Mailbox, kind: Kind, scope: str, limit: Limit, opens_at: float) -> None:
        """The claim of this mailbox found its scope empty until ``opens_at``: it waits with the others."""
        self._set_aside(mailbox, scope, kind)
        self._shut[scope] = shut = _Shut(kind, limit.step_us / SECOND, opens_at)
        self._open_at(scope, shut, opens_at)

    def claimed(self, mailbox: Mailbox, claimed_at: float) -> None:
        """A claim took a token of scopes that are shut: the next one is due a step later."""
        for scope, shut in self._shut_for(mailbox):
            self._open_at(scope, shut, max(shut.opens_at, claimed_at + shut.step))

    def open_due(self, now: float, share: int) -> None:
        """Bring back those who may try again: as many as a host has room for, one of each scope whose next token is due."""
        for key in [it for it in self._aside if it.startswith("host/")]:
            host = key.removeprefix("host/")
            called = self._still_called(host)
            called.update(self._bring_back(key, now, share - self._inside[host] - len(called)))
            if called:
                self._called[host] = called
        while self._openings and self._openings[0][0] <= now:
            at, scope = heapq.heappop(self._openings)
            shut = self._shut.get(scope)
            if shut is None or shut.opens_at != at:
                continue
            if self._bring_back(scope, now, 1):
                shut.passes = 1
                self._open_at(scope, shut, now + shut.step)
            else:
                del self._shut[scope]

    @property
    def hosts_full(self) -> bool:
        """Whether any mailbox waits for a send to its host to end."""
        return any(queue and key.startswith("host/") for key, queue in self._aside.items())

    def next_opening(self) -> float | None:
        """When the first scope opens; None while none is shut."""
        return self._openings[0][0] if self._openings else None

    def _still_called(self, host: str) -> set[int]:
        """Those who may still come: others were dropped, paused or placed anew meanwhile."""
        known = self._shard.mailboxes
        called = self._called.pop(host, set())
        return {it for it in called if it in known and known[it].standing is Standing.BEHIND}

    def _shut_for(self, mailbox: Mailbox) -> list[tuple[str, _Shut]]:
        """The scopes of this mailbox that are shut."""
        if not self._shut:
            return []
        scopes = scopes_of((Kind.USER, Kind.DOMAIN), mailbox.enrolment.user_id, mailbox.enrolment.address)
        return [(scope, self._shut[scope]) for scope in scopes if scope in self._shut]

    def _open_at(self, scope: str, shut: _Shut, at: float) -> None:
        """Note when a scope opens; an earlier note of it counts no more."""
        shut.opens_at = at
        heapq.heappush(self._openings, (at, scope))

    def _set_aside(self, mailbox: Mailbox, key: str, kind: Kind) -> None:
        self._shard.set_aside(mailbox, key, kind)
        self._aside.setdefault(key, OrderedDict())[mailbox.id] = None

    def _bring_back(self, key: str, now: float, most: int) -> list[int]:
        """Wake the first ``most`` that still wait for this; returns who that was."""
        queue, woken = self._aside.get(key), list[int]()
        while queue and len(woken) < most:
            mailbox_id, _ = queue.popitem(last=False)
            if self._shard.bring_back(mailbox_id, key, now):
                woken.append(mailbox_id)
        if not queue:
            self._aside.pop(key, None)
        return woken
