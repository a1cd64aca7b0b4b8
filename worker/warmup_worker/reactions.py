"""What the worker does about a mail that was not sent: how long the mailbox rests and why, who else pauses. Pure.

```
no reply of the server (network, our own words) -> the mailbox backs off
a reply -> replies.classify -> scope: message, mailbox                     -> the mailbox's own hold
                                      recipient, tenant, domain, provider,
                                      egress                               -> a Pause for all workers, and the mailbox backs off
```
Invariants: the sending mailbox always rests, so nothing is tried in a tight loop, and no rest is shorter than the server asked
for. A label (``rule``) comes from a closed set; only ``hold`` and ``Pause.reason`` quote the server.
A mailbox whose recipients are refused three times running is the odd one itself: it backs off, and no further recipient pays.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from warmup_core import pacing, providers
from warmup_core.replies import Phase, Scope, Verdict, classify
from warmup_core.replies import Reaction as Does

UNTIL_FIXED_SECONDS: Final = 10 * 365 * 86_400.0
"""A hold that no clock ends: an import that changes the mailbox does."""
SLOW_PER_MINUTE: Final = 10
"""What a provider gets from the whole fleet while it is slowed."""
_BLAMELESS_RECIPIENTS: Final = 2
"""Recipients in a row that may pay for a refusal before the mailbox is the suspect."""
_REPLY: Final = re.compile(r"[2-5][0-9]{2}( |$)")
_PHASES: Final = {
    "connect": Phase.BANNER,
    "tls": Phase.STARTTLS,
    "auth": Phase.AUTH,
    "mail": Phase.MAIL,
    "rcpt": Phase.RCPT,
    "data": Phase.DATA,
    "body": Phase.DATA,
    "dot": Phase.AFTER_DOT,
}
_OWN: Final = {Scope.MESSAGE, Scope.MAILBOX}


@dataclass(frozen=True)
class Pause:
    """Somebody beyond the mailbox pauses for ``seconds`` (None: until a person acts), or is slowed to ``per_minute``."""

    scope: Scope
    key: str
    seconds: float | None
    per_minute: int | None
    attempt: int
    rule: str
    reason: str


@dataclass(frozen=True)
class Reaction:
    """``rest``: seconds that the mailbox rests, ``hold`` why; ``strike``: whether it counts against the mailbox's health."""

    rest: float
    hold: str
    strike: bool = False
    pause: Pause | None = None
    alert: bool = False


@dataclass(frozen=True)
class Concerned:
    """Whom a refusal may concern: the sending mailbox's user, address and host, and its recipient if one was named."""

    user_id: int
    address: str
    host: str
    recipient_id: int | None = None

    def key(self, scope: Scope) -> str | None:
        """The key of a scope in the table of pauses; None where the scope is not one that pauses there."""
        host = self.host.lower()
        match scope:
            case Scope.RECIPIENT:
                return None if self.recipient_id is None else str(self.recipient_id)
            case Scope.TENANT:
                return f"{self.user_id}/{host}"
            case Scope.DOMAIN:
                return self.address.rpartition("@")[2].lower()
            case Scope.PROVIDER | Scope.EGRESS:
                return host
        return None


def react(
    phase: str,
    reply: str,
    who: Concerned,
    failures: int,
    draw: float,
    attempt: Callable[[Scope, str, str], int],
) -> Reaction:
    """What to do about a failure in ``phase`` of the mailer.

    ``failures``: those of the mailbox in a row before this one. ``draw``: jitter in [0, 1). ``attempt``: how often a rule had
    paused a scope's key in a row before.
    """
    backoff = pacing.backoff(failures + 1, draw)
    if phase not in _PHASES or not _REPLY.match(reply):
        return Reaction(backoff, f"{phase}: {reply}")
    provider = providers.provider_of(who.host)
    verdict = classify(_PHASES[phase], reply, provider, attempt=failures)
    hold = f"{verdict.rule}: {verdict.reason}"
    key = who.key(verdict.scope)
    if verdict.scope in _OWN or key is None:
        rest = _own_rest(verdict, failures, backoff, draw)
        return Reaction(rest, hold, verdict.counts_against_mailbox_health, alert=verdict.alert)
    if verdict.scope is Scope.RECIPIENT:
        if failures >= _BLAMELESS_RECIPIENTS:
            return Reaction(backoff, hold)
        return Reaction(0.0, hold, pause=_pause(verdict, key, 0, draw), alert=verdict.alert)
    before = attempt(verdict.scope, key, verdict.rule)
    verdict = classify(_PHASES[phase], reply, provider, attempt=before)
    return Reaction(backoff, hold, pause=_pause(verdict, key, before, draw), alert=verdict.alert)


def _own_rest(verdict: Verdict, failures: int, backoff: float, draw: float) -> float:
    """The mailbox's own rest. A reaction that waits for nothing does so once, then it backs off."""
    if verdict.wait is None:
        return UNTIL_FIXED_SECONDS
    if verdict.reaction is Does.FAIL_MESSAGE or (failures and not verdict.wait):
        return backoff
    return _spread(verdict.wait, draw)


def _pause(verdict: Verdict, key: str, attempt: int, draw: float) -> Pause:
    return Pause(
        scope=verdict.scope,
        key=key,
        seconds=None if verdict.wait is None else _spread(verdict.wait, draw),
        per_minute=SLOW_PER_MINUTE if verdict.reaction is Does.SLOW_PROVIDER else None,
        attempt=attempt,
        rule=verdict.rule,
        reason=verdict.reason,
    )


def _spread(seconds: float, draw: float) -> float:
    """Up to a quarter longer, so that not all come back together."""
    return seconds * (1 + draw / 4)
