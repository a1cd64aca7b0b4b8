"""What an SMTP reply means, whom it concerns, what the fleet does: ``classify`` gives a verdict to every reply there can be.

The meaning of each reaction for the engine, with the scopes it may have (``ALLOWED`` is this table; there are no other pairs):

| reaction | scope | what the engine does |
|---|---|---|
| ok | message | goes on with the dialogue; after the dot the mail is ``sent`` |
| retry | message | the mail ends ``failed``, its quota is given back, the mailbox's next mail waits (new connection, backoff) |
| retry_slow | mailbox, tenant | as retry, and that mailbox, or all of that user's, send one at a time and slower |
| slow_provider | provider, egress, domain | as retry, and that provider gets 10 mails a minute from all, that IP or domain |
| other_recipient | recipient | as retry, the mailbox goes on at once with another recipient, this one is written to later |
| suppress_recipient | recipient | as other_recipient, and the recipient leaves the pool for days |
| pause_mailbox | mailbox | as retry, and the mailbox pauses for a time; no strike |
| pause_mailbox_until_fixed | mailbox | as retry, and the mailbox pauses until a person has acted; counts against its health |
| pause_tenant | tenant | as retry, and all mailboxes of the user at that provider pause; alert |
| stop_egress | egress | as retry, and nothing leaves from that IP to that provider; alert |
| stop_domain | domain | as retry, and no mailbox of that domain sends; alert |
| fail_message | message | the mail ends ``failed``, its quota is given back; counts against the mailbox's health |
| in_doubt | message | the mail ends ``in_doubt``: its quota stays spent, it is never sent again |

One ``fail_message`` pauses nobody else; that a host says it to most mails the worker counts (``warmup_worker.refusals``).
``retry`` never sends the same mail again. What a complete reply refuses, or silence before the dot ends, is undelivered; only
silence after the dot is in doubt (RFC 1047). Scope is whom the text names; nobody: before login the provider, then the mailbox.

Invariants: total (any text, bytes, phase), pure, and blind to case, spacing and line wrapping.
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from warmup_core.reply_concepts import CONCEPTS
from warmup_core.reply_rules import ALLOWED, BEFORE_LOGIN, RELAY, RULES, Phase, Reaction, Rule, Scope, Wait
from warmup_core.reply_text import read
from warmup_core.reply_times import seconds_to_wait

__all__ = ["ALLOWED", "RULES", "Phase", "Reaction", "Rule", "Scope", "Verdict", "classify"]

_COUNTS: Final = frozenset({Reaction.PAUSE_MAILBOX_UNTIL_FIXED, Reaction.FAIL_MESSAGE})
_ALERTS: Final = frozenset({Reaction.PAUSE_TENANT, Reaction.STOP_EGRESS, Reaction.STOP_DOMAIN})
_NO_HINT: Final = frozenset(
    {Reaction.OK, Reaction.IN_DOUBT, Reaction.FAIL_MESSAGE, Reaction.PAUSE_MAILBOX_UNTIL_FIXED}
)
_SLOW: Final = frozenset({Reaction.SLOW_PROVIDER, Reaction.RETRY_SLOW})
_WAITS: Final = {
    Reaction.OK: Wait(0),
    Reaction.IN_DOUBT: Wait(0),
    Reaction.FAIL_MESSAGE: Wait(0),
    Reaction.RETRY: Wait(300, 1.3),
    Reaction.RETRY_SLOW: Wait(60, 2, 3_600),
    Reaction.SLOW_PROVIDER: Wait(1_800, 2, 14_400),
    Reaction.OTHER_RECIPIENT: Wait(3_600),
    Reaction.SUPPRESS_RECIPIENT: Wait(3 * 86_400, most=3 * 86_400),
    Reaction.PAUSE_MAILBOX: Wait(86_400),
}
"""Reactions that are not here wait until a person acts."""
_PASSING: Final = Wait(1_800, 2)
"""But for a stop that a 4xx asks for because of our DNS: the receiver's resolver may have failed, and an MTA would ask again."""

_NAMED: Final = (
    (Scope.EGRESS, "our address"),
    (Scope.TENANT, "tenant"),
    (Scope.DOMAIN, "domain"),
    (Scope.MAILBOX, "account"),
)
_LONGEST_ASKED: Final = 7 * 86_400.0
_LONGEST_RETRY: Final = 86_400.0
"""A time in a text is obeyed up to a week, and up to a day where the failure is a passing one: it is a stranger's, and may be
no time to wait at all ("kept for 30 days"). Who is still refused then hears of it then."""
_SHOWN: Final = 400
"""Letters of the reply that a reason holds."""


@dataclass(frozen=True)
class Verdict:
    """What a reply means.

    ``retry_after``: seconds that the text asks for, or None. ``wait``: seconds that the scope waits, by the text (a week at most)
    or else by our own schedule, before jitter; None: until a person acts. ``alert``: a person is told now. ``reason``: our words
    and the server's.
    """

    rule: str
    scope: Scope
    reaction: Reaction
    retry_after: int | None
    counts_against_mailbox_health: bool
    reason: str
    wait: float | None
    alert: bool


def classify(
    phase: str,
    reply: str | bytes,
    provider: str | None = None,
    single_recipient: bool = True,
    attempt: int = 0,
) -> Verdict:
    """The verdict on ``reply`` (all its lines) to the command of ``phase``; an unknown phase is read as after the dot.

    ``provider`` is a name such as gmail, microsoft365, ses. ``single_recipient``: the transaction has one. ``attempt``: how often
    the same scope had the same reaction in a row before. Never raises.
    """
    heard = read(reply)
    answered = Phase(phase) if phase in set(Phase) else Phase.AFTER_DOT
    rule, scope, reaction, retry_after = _judge(
        heard.code, heard.enhanced, heard.text, answered, (provider or "").casefold()
    )
    lonely = rule.name.endswith("too-many-recipients") and single_recipient
    said = heard.shown[:_SHOWN] + ("..." if len(heard.shown) > _SHOWN else "")
    return Verdict(
        rule=rule.name,
        scope=scope,
        reaction=reaction,
        retry_after=retry_after,
        counts_against_mailbox_health=reaction in _COUNTS,
        reason=f"{rule.meaning}{', although there was one' if lonely else ''}; the server said: {said or 'nothing'}",
        wait=_wait(rule, heard.code, reaction, retry_after, attempt),
        alert=rule.alert or lonely or reaction in _ALERTS,
    )


@lru_cache(maxsize=4_096)
def _judge(
    code: int | None, enhanced: str, text: str, phase: Phase, provider: str
) -> tuple[Rule, Scope, Reaction, int | None]:
    """Cached, because a provider in trouble gives thousands the same answer (ids are no part of the text)."""
    says = _Saying(text)
    shown = "" if code is None else str(code)
    rule = next(rule for rule in RULES if _matches(rule, shown, enhanced, says, phase, provider))
    scope, reaction = _outcome(rule, says, phase, provider)
    timed = rule.hint and reaction not in _NO_HINT
    return rule, scope, reaction, seconds_to_wait(text) if timed else None


class _Saying:
    """Which concepts a text holds, each looked for once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: dict[str, bool] = {}

    def __call__(self, either: str) -> bool:
        return any(self._one(concept) for concept in either.split("|"))

    def _one(self, concept: str) -> bool:
        if concept not in self._known:
            self._known[concept] = _pattern(CONCEPTS[concept]).search(self._text) is not None
        return self._known[concept]


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _matches(rule: Rule, code: str, enhanced: str, says: _Saying, phase: Phase, provider: str) -> bool:
    return (
        _pattern(rule.codes).fullmatch(code) is not None
        and (rule.phases is None or phase in rule.phases)
        and _pattern(rule.enhanced).fullmatch(enhanced) is not None
        and _pattern(rule.providers).fullmatch(provider) is not None
        and all(says(either) for either in rule.says)
        and not any(says(either) for either in rule.unless)
    )


def _outcome(rule: Rule, says: _Saying, phase: Phase, provider: str) -> tuple[Scope, Reaction]:
    if isinstance(rule.outcome, tuple):
        return rule.outcome
    nobody = Scope.PROVIDER if phase in BEFORE_LOGIN else Scope.MAILBOX
    scope = next((scope for scope, concept in _NAMED if says(concept)), nobody)
    if scope is Scope.MAILBOX and says("account") and _pattern(RELAY).fullmatch(provider):
        scope = Scope.TENANT
    return scope, rule.outcome[scope]


def _wait(
    rule: Rule, code: int | None, reaction: Reaction, retry_after: int | None, attempt: int
) -> float | None:
    if retry_after is not None:
        return min(float(retry_after), _LONGEST_RETRY if reaction is Reaction.RETRY else _LONGEST_ASKED)
    wait = _WAITS.get(reaction) if rule.wait is None or reaction in _SLOW else rule.wait
    if wait is None and rule.passing and code is not None and code < 500:
        wait = _PASSING
    if wait is None:
        return None
    return min(wait.first * wait.growth ** min(attempt, 64), wait.most)
