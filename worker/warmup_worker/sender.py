"""One mailbox's turn: connect, claim, send, settle. Every way out is named here, and none leaves a claim without an outcome.

```
no recipient ----------------------> look again later
no credential, connection, token --> consequences: no claim, no quota spent
claim refused ---------------------> goodbye, wake again when the row says
claimed ---> verdict, or a cancellation: failed before the dot, in doubt after it ---> settle, goodbye, rest
```
The slot is free as soon as the outcome is queued; goodbye and the commit of the outcome follow. A mailbox is in flight in
memory until its outcome is committed, as it is in the database.
Fails: an unexpected exception settles the mail by the same rule as a cancellation, is counted and logged, and touches no
other mailbox.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from warmup_core import providers
from warmup_core.replies import Scope
from warmup_core.templates import Template
from warmup_core.types import MailState
from warmup_worker.batches import Claims
from warmup_worker.claiming import Ask, Claim, Refusal
from warmup_worker.clock import DatabaseClock, boottime
from warmup_worker.consequences import Consequences
from warmup_worker.content import Unwritable, compose
from warmup_worker.gates import Gates
from warmup_worker.keeper import Keeper
from warmup_worker.lease import Lease
from warmup_worker.limits import Limits, scopes_of
from warmup_worker.logins import Logins
from warmup_worker.mailbox import Mailbox
from warmup_worker.mailer import Mailer, Verdict
from warmup_worker.metrics import Metrics
from warmup_worker.network import parse_networks
from warmup_worker.outcomes import Outcomes
from warmup_worker.reactions import Reaction
from warmup_worker.redaction import readable
from warmup_worker.roster import Enrolment
from warmup_worker.session import NotConnected, Session
from warmup_worker.settling import Outcome
from warmup_worker.shard import Shard
from warmup_worker.throughput import Throughput
from warmup_worker.tokens import NoToken

log = logging.getLogger(__name__)

_HURRY = {Refusal.EPOCH, Refusal.PAUSED, Refusal.HELD, Refusal.NO_FLEET, Refusal.NOT_MINE}
"""Refusals that the next heartbeat explains: it is worth having at once."""

_NOTHING = Reaction(0.0, "")
"""What a mail asks for with which nothing is wrong."""


class Slot:
    """Gives a slot back when called first, nothing after."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def __call__(self) -> None:
        if self._give_back is not None:
            self._give_back()
            self._give_back = None


@dataclass(eq=False)
class Turn:
    """A turn under way. ``free`` gives its slot back, once. ``at``: when it begins, by the database's clock. ``enrolled``: the
    mailbox as it was enrolled then, since what a server says is said of that."""

    mailbox: Mailbox
    free: Callable[[], None]
    at: float = 0.0
    session: Session | None = None
    claim: Claim | None = None
    settled: asyncio.Future[MailState] | None = None
    """Set when the outcome is queued, done with the state that was committed. From then on no other outcome counts."""
    task: asyncio.Task[None] = field(init=False)
    enrolled: Enrolment = field(init=False)

    def __post_init__(self) -> None:
        self.enrolled = self.mailbox.enrolment

    @property
    def dotted(self) -> bool:
        """Whether the dot was written: from then on the mail may have been accepted."""
        return self.session is not None and self.session.dotted is not None


class Sender:
    """Takes mailboxes through their turns."""

    def __init__(
        self,
        *,
        lease: Lease,
        shard: Shard,
        keeper: Keeper,
        claims: Claims,
        limits: Limits,
        gates: Gates,
        outcomes: Outcomes,
        consequences: Consequences,
        clock: DatabaseClock,
        metrics: Metrics,
        throughput: Throughput,
        logins: Logins,
        templates: Callable[[], Sequence[Template]],
    ) -> None:
        self._lease, self._shard, self._keeper = lease, shard, keeper
        self._claims, self._outcomes, self._consequences = claims, outcomes, consequences
        self._limits, self._gates = limits, gates
        self._clock, self._metrics = clock, metrics
        self._logins, self._templates, self._throughput = logins, templates, throughput
        self.unclaimed: set[Turn] = set()
        """Turns under way that have no claim yet: whoever begins and ends a turn notes it here, its claim takes it out."""

    async def take(self, turn: Turn) -> None:
        """The whole turn of a mailbox, until its outcome is queued. Cancelled, it still settles what it claimed."""
        try:
            await self._take(turn)
        except asyncio.CancelledError:
            self._break_off(turn, "shutdown")
        except Exception:
            log.exception("mailbox %d: its turn ended unexpectedly", turn.mailbox.id)
            self._metrics.errors.labels("turn").inc()
            self._break_off(turn, "an unexpected error, see the worker's log", error=True)
        finally:
            turn.free()
            if turn.session is not None:
                turn.session.close()

    def _paused(self, recipient_id: int) -> bool:
        """Whether a server does not let us write to this mailbox now."""
        return self._keeper.pauses.stops(Scope.RECIPIENT, str(recipient_id), self._clock.now())

    async def _take(self, turn: Turn) -> None:
        mailbox, enrolled = turn.mailbox, turn.enrolled
        if (stagger := turn.at - self._clock.now()) > 0:
            await asyncio.sleep(stagger)
        orders = self._lease.orders
        if orders is None or self._clock.now() >= mailbox.closes:
            self._shard.put_back(mailbox, self._clock.now())
            return
        recipient = self._keeper.pool.recipient(
            mailbox.id,
            orders.token,
            orders.day,
            mailbox.spent + mailbox.failed,
            orders.settings.reply_percent,
            self._paused,
        )
        if recipient is None:
            self._shard.no_recipient(mailbox, self._clock.now())
            return
        opened = boottime()
        try:
            networks = parse_networks(orders.settings.smtp_allowed_networks)
            turn.session = await self._logins.open(enrolled, networks)
        except NotConnected as failure:
            self._metrics.failures.labels(failure.phase).inc()
            self._consequences.defer(mailbox, enrolled, failure.phase, failure.reason)
            return
        except NoToken as failure:
            self._consequences.without_token(mailbox, enrolled, failure, orders.worker_count)
            return
        settings = orders.settings
        cooldown = random.randint(settings.cooldown_min_ms, settings.cooldown_max_ms)  # noqa: S311 - pacing
        allowed = providers.mailbox_limit(enrolled.smtp_host, settings.per_mailbox_per_day_limits)
        most_a_day = allowed.mails if allowed else None
        scopes = scopes_of(self._limits.scoped, enrolled.user_id, enrolled.address)
        connected = boottime()
        closes = datetime.fromtimestamp(mailbox.closes, UTC)
        ask = Ask(mailbox.id, recipient.mailbox_id, cooldown, most_a_day, scopes, recipient.answers, closes)
        answer = await self._claims.ask(ask)
        if not isinstance(answer, Claim):
            if answer.reason is Refusal.REPLACED:
                self._lease.replaced.set()
            elif answer.reason in _HURRY:
                self._lease.hurry()
            elif answer.reason is Refusal.RECIPIENT:
                self._keeper.pool.leave(recipient.mailbox_id)
            self._shard.refused(mailbox, answer, self._clock.now(), random.random())  # noqa: S311
            if answer.limit in self._limits.scoped:
                limit = self._limits.scoped[answer.limit]
                self._gates.shut(mailbox, answer.limit, answer.scope, limit, self._clock.now() + answer.wait)
            turn.free()
            await turn.session.quit()
            return
        turn.claim = answer
        self.unclaimed.discard(turn)
        self._shard.claimed(mailbox, answer)
        self._gates.claimed(mailbox, answer.claimed_at.timestamp())
        granted = boottime()
        verdict = await self._deliver(turn.session, answer, enrolled, orders.token)
        if verdict.state is MailState.SENT:
            self._throughput.sent(enrolled.smtp_host, connected - opened + boottime() - granted)
        self._settle(turn, answer, verdict)
        turn.free()
        await turn.session.quit()

    async def _deliver(self, session: Session, claim: Claim, sender: Enrolment, token: str) -> Verdict:
        try:  # the mail is the mailer's alone, which lets go of it
            delivery = Mailer(session).deliver(
                compose(claim, sender.address, sender.display_name, token, self._templates()),
                lambda: claim.age,
            )
        except Unwritable as error:
            return Verdict(MailState.FAILED, "mail", readable(str(error)))
        return await delivery

    def _settle(self, turn: Turn, claim: Claim, verdict: Verdict) -> None:
        """Queue the outcome, once; when it is committed the mailbox rests."""
        if turn.settled is not None:
            return
        mailbox, enrolled = turn.mailbox, turn.enrolled
        dotted = turn.session.dotted if turn.session is not None else None
        cooldown = claim.cooldown_ms / 1000
        reaction = _NOTHING
        if not verdict.handed_back:
            provider = providers.known_provider(enrolled.smtp_host)
            self._metrics.provider_mails.labels(provider, verdict.state.value).inc()
        if verdict.state is MailState.SENT:
            self._consequences.accepted(enrolled)
        if verdict.state is MailState.FAILED and not verdict.handed_back:
            reaction = self._consequences.react(
                mailbox, enrolled, verdict.phase, verdict.reply, claim.recipient_id
            )
        outcome = Outcome(
            mailbox_id=mailbox.id,
            day=claim.day,
            mail_id=claim.mail_id,
            state=verdict.state,
            phase=verdict.phase,
            reply=verdict.reply,
            rest_ms=claim.cooldown_ms,
            hold=reaction.hold or None,
            hold_ms=int(reaction.rest * 1000),
            changed_at=enrolled.changed_at,
            dotted=dotted,
            strike=reaction.strike,
        )
        began = self._clock.now() - (0.0 if dotted is None else boottime() - dotted)

        def ended(done: asyncio.Future[MailState]) -> None:
            hold = None if mailbox.changed_since(enrolled) else outcome.hold
            until = began + (max(cooldown, reaction.rest) if hold else cooldown)
            self._shard.ended(mailbox, done.result(), claim.day, hold, until, self._clock.now())

        turn.settled = self._outcomes.settle(outcome)
        turn.settled.add_done_callback(ended)

    def _break_off(self, turn: Turn, why: str, *, error: bool = False) -> None:
        """End a turn that did not come to its own end, by what is known: failed before the dot, in doubt after it."""
        if turn.claim is None:
            if error:
                self._consequences.defer(turn.mailbox, turn.enrolled, "error", why)
            return
        dotted = turn.session is not None and turn.session.dotted is not None
        if dotted:
            verdict = Verdict(MailState.IN_DOUBT, "dot", f"{why}: the reply to the dot was not awaited")
        else:
            verdict = Verdict(MailState.FAILED, "claim", f"handed back: {why}", handed_back=not error)
        self._settle(turn, turn.claim, verdict)
