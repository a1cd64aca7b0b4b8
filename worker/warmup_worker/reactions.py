"""What the worker does about a mail that was not sent: how long the mailbox rests and why, who else pauses. Pure.

```
no reply of the server (network, our own words) -> the mailbox backs off
a reply -> replies.classify -> scope: message, mailbox                     -> the mailbox's own hold
                                      recipient, tenant, domain, provider,
                                      egress                               -> a Pause for all workers, and the mailbox backs off
```
An OAuth token that is not to be had is reacted to likewise (``react_to_token``), and so is a host that refuses most of our mails
(``react_to_refusals``; ``refusals`` counts them).

Invariants: the sending mailbox always rests, so nothing is tried in a tight loop, and no rest is shorter than the server asked
for, up to a week. A label (``rule``) comes from a closed set; only ``hold`` and ``Pause.reason`` quote the server.
A mailbox whose recipients are refused three times running is the odd one itself: it backs off, and no further recipient pays.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from warmup_core import pacing, providers
from warmup_core.oauth import Kind, Trouble
from warmup_core.replies import Phase, Scope, Verdict, classify
from warmup_core.replies import Reaction as Does
from warmup_core.reply_rules import Wait

UNTIL_FIXED_SECONDS: Final = 10 * 365 * 86_400.0
"""A hold that no clock ends: an import of another login or server does, or ``warmup mailboxes release``."""
SLOW_PER_MINUTE: Final = 10
"""What a provider gets from the whole fleet while it is slowed."""
OAUTH_GRANT: Final = "oauth-grant"
"""The rule of a refused refresh token; a hold that it caused begins with it."""
MAILS_REFUSED: Final = "mails-refused"
"""The rule of a host that pauses because it refuses most mails for good."""
_REFUSED_WAIT: Final = Wait(1_800, 2, 14_400)
_ENDPOINT_WAIT: Final = Wait(5, 2, 300)
_LEAST_WAIT: Final = 1.0
_ALARM_AT: Final = 3
"""The pause in a row with which an endpoint that does not answer becomes an alarm."""
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
    """``rest``: seconds that the mailbox rests, ``hold`` why; ``strike``: whether it counts against the mailbox's health;
    ``refused``: whether the server refused the mail itself, for good."""

    rest: float
    hold: str
    strike: bool = False
    refused: bool = False
    pause: Pause | None = None
    alert: bool = False


@dataclass(frozen=True)
class Concerned:
    """Whom a refusal may concern: the sending mailbox's user, address, host and OAuth application, and its recipient if one was
    named."""

    user_id: int
    address: str
    host: str
    recipient_id: int | None = None
    application: str | None = None

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
            case Scope.APPLICATION:
                return self.application
        return None


def react(
    phase: str,
    reply: str,
    who: Concerned,
    failures: int,
    draw: float,
    attempt: Callable[[Scope, str, str], int],
) -> Reaction:
    """What to do about a failure in ``phase`` of a dialogue.

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
        refused = verdict.reaction is Does.FAIL_MESSAGE
        return Reaction(rest, hold, verdict.counts_against_mailbox_health, refused, alert=verdict.alert)
    if verdict.scope is Scope.RECIPIENT:
        if failures >= _BLAMELESS_RECIPIENTS:
            return Reaction(backoff, hold)
        return Reaction(0.0, hold, pause=_pause(verdict, key, 0, draw), alert=verdict.alert)
    before = attempt(verdict.scope, key, verdict.rule)
    verdict = classify(_PHASES[phase], reply, provider, attempt=before)
    return Reaction(backoff, hold, pause=_pause(verdict, key, before, draw), alert=verdict.alert)


def react_to_token(
    application: str,
    trouble: Trouble,
    failures: int,
    draw: float,
    attempt: Callable[[Scope, str, str], int],
    refused_seconds: float,
) -> Reaction:
    """What to do about an access token that is not to be had. ``refused_seconds``: how long a refused application waits.

    Only a refused refresh token is the mailbox's own matter. What concerns the application pauses that: one mailbox tries again
    at the end, and all go on once it succeeds. A person is told once of each trouble, however long it lasts.
    """
    said = f"{application}'s token endpoint said: {trouble.words}"
    if trouble.kind is Kind.GRANT_REFUSED:
        hold = (
            f"{OAUTH_GRANT}: its refresh token is taken no more: sign in again and import the new one; {said}"
        )
        return Reaction(UNTIL_FIXED_SECONDS, hold, strike=True)
    if trouble.kind is Kind.UNCLEAR:
        return Reaction(
            pacing.backoff(failures + 1, draw),
            f"oauth-unclear: no access token of {application}: {trouble.words}",
        )
    if trouble.kind is Kind.APPLICATION_REFUSED:
        rule, first_alarm, wait = "oauth-application", 0, Wait(refused_seconds)
        reason = (
            f"the OAuth application {application} is refused: correct its id, secret, scope or URL; {said}"
        )
    else:
        rule, first_alarm, wait = "oauth-endpoint", _ALARM_AT, _ENDPOINT_WAIT
        reason = f"the token endpoint of the OAuth application {application} gives no token now; {said}"
    before = attempt(Scope.APPLICATION, application, rule)
    seconds = min(wait.first * wait.growth**before, wait.most)
    if trouble.retry_after is not None:
        seconds = max(trouble.retry_after, _LEAST_WAIT)
    pause = Pause(Scope.APPLICATION, application, _spread(seconds, draw), None, before, rule, reason)
    return Reaction(0.0, f"{rule}: {reason}", pause=pause, alert=before == first_alarm)


def react_to_refusals(host: str, last: str, draw: float, before: int) -> Pause:
    """What to do about a host that refuses most of our mails for good, the last one for the reason ``last``.

    ``before``: how often it had paused for that in a row. Nothing goes there for half an hour, then an hour, four hours at most.
    """
    seconds = min(_REFUSED_WAIT.first * _REFUSED_WAIT.growth ** min(before, 64), _REFUSED_WAIT.most)
    reason = f"it refuses most mails for good: look at the texts and at how the domains authenticate; the last one: {last}"
    return Pause(Scope.PROVIDER, host, _spread(seconds, draw), None, before, MAILS_REFUSED, reason)


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
