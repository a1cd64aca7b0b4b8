"""What a failure sets off: the mailbox rests, and whoever else it concerns pauses. ``reactions`` decides, here it is done.

```
the mailbox's own matter --------> a rest and its reason: here at once, in its row with the next outcomes
somebody's beyond the mailbox ---> a pause as well: here at once, at the other workers with their heartbeats
its OAuth application's ---------> a pause instead of the rest: it waits with the application's other mailboxes
its mail alone ------------------> a rest; and a pause of its host where that refuses most mails (``refusals``)
```
Of a mail that was claimed only the reaction is told (``react``): its rest is written with its outcome (``sender``).
Invariants: a mailbox rests for the enrolment that failed; one that is enrolled otherwise by now may begin anew at once. None is
left here without an instant to wake at or a pause that it waits for.
Fails: not at all; what is to be written waits in ``outcomes`` for the database.
"""

import logging
import random

from warmup_core.replies import Scope
from warmup_worker.clock import DatabaseClock
from warmup_worker.keeper import Keeper
from warmup_worker.mailbox import Mailbox
from warmup_worker.metrics import Metrics
from warmup_worker.outcomes import Outcomes
from warmup_worker.reactions import (
    MAILS_REFUSED,
    Concerned,
    Pause,
    Reaction,
    react,
    react_to_refusals,
    react_to_token,
)
from warmup_worker.refusals import Refusals
from warmup_worker.roster import Enrolment
from warmup_worker.settling import Deferral
from warmup_worker.shard import Shard
from warmup_worker.tokens import NoToken

log = logging.getLogger(__name__)


class Consequences:
    """Carries out reactions. ``application_wait``: seconds that a refused OAuth application pauses."""

    def __init__(
        self,
        shard: Shard,
        keeper: Keeper,
        outcomes: Outcomes,
        clock: DatabaseClock,
        metrics: Metrics,
        application_wait: float,
    ) -> None:
        self._shard, self._keeper, self._outcomes = shard, keeper, outcomes
        self._clock, self._metrics, self._application_wait = clock, metrics, application_wait
        self._refusals = Refusals()

    def defer(self, mailbox: Mailbox, enrolled: Enrolment, phase: str, reason: str) -> None:
        """No claim was made: the mailbox rests, and no quota is spent."""
        self._rest(mailbox, enrolled, self.react(mailbox, enrolled, phase, reason))

    def without_token(self, mailbox: Mailbox, enrolled: Enrolment, failure: NoToken, workers: int) -> None:
        """No access token: the mailbox rests, or its application pauses and the mailbox waits with all others of it."""
        pauses, now = self._keeper.pauses, self._clock.now()
        if failure.trouble is not None:
            self._metrics.failures.labels("token").inc()
            reaction = react_to_token(
                failure.application,
                failure.trouble,
                mailbox.failures,
                random.random(),  # noqa: S311 - jitter, no secret
                lambda scope, key, rule: pauses.attempt(scope, key, rule, now),
                self._application_wait,
            )
            if reaction.pause is None:
                self._rest(mailbox, enrolled, reaction)
                return
            self._pause(reaction.pause, reaction.alert, now)
        held = pauses.holding(mailbox, now, workers)
        if held is not None:
            self._shard.pause(mailbox, held.gate, held.rule, held.at)
        else:
            self._shard.place(mailbox, now)  # the pause ended a moment ago

    def react(
        self, mailbox: Mailbox, enrolled: Enrolment, phase: str, reply: str, recipient_id: int | None = None
    ) -> Reaction:
        """What a failure asks for; whom it concerns beyond the mailbox pauses here at once, elsewhere with the heartbeat."""
        who = Concerned(enrolled.user_id, enrolled.address, enrolled.smtp_host, recipient_id)
        pauses, now = self._keeper.pauses, self._clock.now()
        reaction = react(
            phase,
            reply,
            who,
            mailbox.failures,
            random.random(),  # noqa: S311 - jitter, no secret
            lambda scope, key, rule: pauses.attempt(scope, key, rule, now),
        )
        if reaction.pause is not None:
            self._pause(reaction.pause, reaction.alert, now)
        elif reaction.alert:
            log.error("mailbox %d: %s", mailbox.id, reaction.hold, extra={"mailbox": mailbox.id})
        if reaction.refused and recipient_id is not None:
            self._judged(enrolled, reaction.hold, now)
        return reaction

    def accepted(self, enrolled: Enrolment) -> None:
        """A server took a mail."""
        self._judged(enrolled, None, self._clock.now())

    def _judged(self, enrolled: Enrolment, refused: str | None, now: float) -> None:
        """A server took a mail, or refused it for good with a reason; who refuses most of them pauses."""
        pauses, host = self._keeper.pauses, enrolled.smtp_host.lower()
        since = pauses.since(Scope.PROVIDER, host, MAILS_REFUSED)
        if self._refusals.judged(host, refused is not None, since) and refused is not None:
            before = pauses.attempt(Scope.PROVIDER, host, MAILS_REFUSED, now)
            draw = random.random()  # noqa: S311 - jitter, no secret
            self._pause(react_to_refusals(host, refused, draw, before), before == 0, now)

    def _rest(self, mailbox: Mailbox, enrolled: Enrolment, reaction: Reaction) -> None:
        now = self._clock.now()
        if mailbox.changed_since(enrolled):  # what failed is mended, perhaps
            self._shard.place(mailbox, now)
            return
        until = now + reaction.rest
        changed_at = enrolled.changed_at
        self._outcomes.defer(Deferral(mailbox.id, until, reaction.hold, changed_at, reaction.strike))
        self._shard.deferred(mailbox, reaction.hold, until, now)

    def _pause(self, pause: Pause, alert: bool, now: float) -> None:
        if self._keeper.pauses.begin(pause, now):
            self._metrics.pauses.labels(pause.scope, pause.rule).inc()
            level = logging.ERROR if alert else logging.INFO if pause.attempt else logging.WARNING
            about = {"scope": pause.scope, "key": pause.key, "rule": pause.rule}
            log.log(level, "%s %s pauses: %s", pause.scope, pause.key, pause.reason, extra=about)
        self._outcomes.pause(pause)
