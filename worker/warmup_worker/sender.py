"""One mailbox's turn: connect, claim, send, settle. Every way out is named here, and none leaves a claim without an outcome.

```
no recipient ----------------------> look again later
no credential, no connection ------> defer: a rest and its reason, no quota spent
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
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from warmup_core import providers
from warmup_core.credentials import Keys, Undecipherable
from warmup_core.templates import Template
from warmup_core.types import MailState
from warmup_worker import mailer
from warmup_worker.batches import Claims, Outcomes
from warmup_worker.claiming import Ask, Claim, Refusal
from warmup_worker.clock import DatabaseClock, boottime
from warmup_worker.content import Unwritable, compose
from warmup_worker.gates import Gates
from warmup_worker.keeper import Keeper
from warmup_worker.lease import Lease, Orders
from warmup_worker.limits import Limits, scopes_of
from warmup_worker.mailer import Login, NotConnected, Server, Session, Verdict
from warmup_worker.metrics import Metrics
from warmup_worker.network import parse_networks
from warmup_worker.reactions import Concerned, Reaction, react
from warmup_worker.settling import Deferral, Outcome
from warmup_worker.shard import Mailbox, Shard
from warmup_worker.timing import Timing

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Turn:
    """A turn under way. ``free`` gives its slot back, once."""

    mailbox: Mailbox
    free: Callable[[], None]
    session: Session | None = None
    claim: Claim | None = None
    settled: asyncio.Future[None] | None = None
    """Set when the outcome is queued, done when it is committed. From then on no other outcome counts."""
    task: asyncio.Task[None] = field(init=False)

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
        clock: DatabaseClock,
        timing: Timing,
        metrics: Metrics,
        keys: Callable[[], Keys],
        authorities: Callable[[], ssl.SSLContext],
        templates: Callable[[], Sequence[Template]],
        local_hostname: str,
    ) -> None:
        self._lease, self._shard, self._keeper = lease, shard, keeper
        self._claims, self._outcomes = claims, outcomes
        self._limits, self._gates = limits, gates
        self._clock, self._timing, self._metrics = clock, timing, metrics
        self._keys, self._authorities, self._local_hostname = keys, authorities, local_hostname
        self._templates = templates

    async def take(self, turn: Turn) -> None:
        """The whole turn of a mailbox. Cancelled, it still settles what it claimed."""
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
        if turn.settled is not None:
            await asyncio.shield(turn.settled)

    async def _take(self, turn: Turn) -> None:
        mailbox, orders = turn.mailbox, self._lease.orders
        assert orders is not None  # whoever starts turns has looked
        recipient = self._keeper.pool.recipient(
            mailbox.id,
            orders.token,
            orders.day,
            mailbox.spent + mailbox.failed,
            orders.settings.reply_percent,
        )
        if recipient is None:
            self._shard.no_recipient(mailbox, self._clock.now())
            return
        try:
            turn.session = await self._open(mailbox, orders)
        except NotConnected as failure:
            self._metrics.failures.labels(failure.phase).inc()
            self._defer(mailbox, failure.phase, failure.reason)
            return
        settings = orders.settings
        cooldown = random.randint(settings.cooldown_min_ms, settings.cooldown_max_ms)  # noqa: S311 - pacing
        allowed = providers.mailbox_limit(mailbox.smtp_host, settings.per_mailbox_per_day_limits)
        most_a_day = allowed.mails if allowed else None
        scopes = scopes_of(self._limits.scoped, mailbox.user_id, mailbox.address)
        ask = Ask(mailbox.id, recipient.mailbox_id, cooldown, most_a_day, scopes, recipient.answers)
        answer = await self._claims.ask(ask)
        if not isinstance(answer, Claim):
            if answer.reason is Refusal.REPLACED:
                self._lease.replaced.set()
            elif answer.reason in {Refusal.EPOCH, Refusal.PAUSED, Refusal.NO_FLEET, Refusal.NOT_MINE}:
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
        self._shard.claimed(mailbox, answer)
        self._gates.claimed(mailbox, answer.claimed_at.timestamp())
        verdict = await self._deliver(turn.session, answer, mailbox, orders.token)
        self._settle(turn, answer, verdict)
        turn.free()
        await turn.session.quit()

    async def _open(self, mailbox: Mailbox, orders: Orders) -> Session:
        """A session for this mailbox. Raises NotConnected, also where its credential cannot be read."""
        if mailbox.sealed is None or mailbox.username is None:
            raise NotConnected("credential", "none is stored; import the mailbox again")
        try:
            password = self._keys().open(mailbox.address, mailbox.sealed)
        except Undecipherable as error:
            raise NotConnected("credential", str(error)) from None
        session = await Session.open(
            Server(mailbox.smtp_host, mailbox.smtp_port, mailbox.smtp_security),
            Login(mailbox.username, password),
            context=self._authorities(),
            allowed=parse_networks(orders.settings.smtp_allowed_networks),
            local_hostname=self._local_hostname,
            timing=self._timing,
        )
        if not mailbox.address.isascii() and not session.international:
            session.close()
            raise NotConnected(
                "mail",
                f"its address is not ASCII and needs SMTPUTF8, which {mailbox.smtp_host} does not offer",
            )
        return session

    async def _deliver(self, session: Session, claim: Claim, mailbox: Mailbox, token: str) -> Verdict:
        try:
            mail = compose(claim, mailbox.address, mailbox.display_name, token, self._templates())
        except Unwritable as error:
            return Verdict(MailState.FAILED, "mail", mailer.readable(str(error)))
        return await session.deliver(mail, lambda: claim.age)

    def _defer(self, mailbox: Mailbox, phase: str, reason: str) -> None:
        reaction = self._react(mailbox, phase, reason)
        self._outcomes.defer(Deferral(mailbox.id, int(reaction.rest * 1000), reaction.hold, reaction.strike))
        now = self._clock.now()
        self._shard.deferred(mailbox, reaction.hold, now + reaction.rest, now)

    def _react(self, mailbox: Mailbox, phase: str, reply: str, recipient_id: int | None = None) -> Reaction:
        """What a failure asks for; whom it concerns beyond the mailbox pauses here at once, elsewhere with the heartbeat."""
        who = Concerned(mailbox.user_id, mailbox.address, mailbox.smtp_host, recipient_id)
        pauses, now = self._keeper.pauses, self._clock.now()
        reaction = react(
            phase,
            reply,
            who,
            mailbox.failures,
            random.random(),  # noqa: S311 - jitter, no secret
            lambda scope, key, rule: pauses.attempt(scope, key, rule, now),
        )
        if (pause := reaction.pause) is not None:
            if pauses.begin(pause, now):
                self._metrics.pauses.labels(pause.scope, pause.rule).inc()
                level = logging.ERROR if reaction.alert else logging.WARNING
                log.log(level, "%s %s pauses: %s", pause.scope, pause.key, pause.reason)
            self._outcomes.pause(pause)
            self._keeper.suspend_recipients()
        elif reaction.alert:
            log.error("mailbox %d: %s", mailbox.id, reaction.hold)
        return reaction

    def _settle(self, turn: Turn, claim: Claim, verdict: Verdict) -> None:
        """Queue the outcome, once; when it is committed the mailbox rests."""
        if turn.settled is not None:
            return
        mailbox = turn.mailbox
        dotted = turn.session.dotted if turn.session is not None else None
        hold, rest, strike = None, claim.cooldown_ms / 1000, False
        if verdict.state is MailState.FAILED and not verdict.handed_back:
            reaction = self._react(mailbox, verdict.phase, verdict.reply, claim.recipient_id)
            hold, rest, strike = reaction.hold, max(rest, reaction.rest), reaction.strike
        outcome = Outcome(
            mailbox_id=mailbox.id,
            day=claim.day,
            mail_id=claim.mail_id,
            state=verdict.state,
            phase=verdict.phase,
            reply=verdict.reply,
            rest_ms=int(rest * 1000),
            hold=hold,
            dotted=dotted,
            strike=strike,
        )
        until = self._clock.now() + rest - (0.0 if dotted is None else boottime() - dotted)
        turn.settled = self._outcomes.settle(outcome)
        turn.settled.add_done_callback(
            lambda _: self._shard.ended(mailbox, verdict.state, claim.day, hold, until, self._clock.now())
        )

    def _break_off(self, turn: Turn, why: str, *, error: bool = False) -> None:
        """End a turn that did not come to its own end, by what is known: failed before the dot, in doubt after it."""
        if turn.claim is None:
            if error:
                self._defer(turn.mailbox, "error", why)
            return
        dotted = turn.session is not None and turn.session.dotted is not None
        if dotted:
            verdict = Verdict(MailState.IN_DOUBT, "dot", f"{why}: the reply to the dot was not awaited")
        else:
            verdict = Verdict(MailState.FAILED, "claim", f"handed back: {why}", handed_back=not error)
        self._settle(turn, turn.claim, verdict)
