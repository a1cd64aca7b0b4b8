"""A fleet small enough to be driven through any order of events: real Postgres and our own SQL, everything else played.

Played are the processes (which may freeze between any two steps, die, or be doubled), two operators with views as old as may be,
the StatefulSet, the server that takes mails, and time. Time passes by moving every instant in the tables into the past, so that
``clock_timestamp()`` in the SQL sees it pass; a claim's age is what the world's clock says. That one goes on between the leaps as
the database's does, for the steps themselves take time, and on a slow machine seconds.

``check`` holds what must hold after every step, ``settle_down`` that the goal is reachable from wherever the steps led.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.integration.worker.fleet import EAGER, OWNER, about_noon
from warmup_core import fleet, shards
from warmup_core.fleet import FleetRow
from warmup_core.types import CLAIM_SECONDS, LEASE_SECONDS, STATEMENT_SECONDS, SWEEP_SECONDS, MailState
from warmup_operator import resize
from warmup_worker.claiming import Ask, Claim, claim
from warmup_worker.clock import DatabaseClock, boottime
from warmup_worker.connection import Database
from warmup_worker.lease import Lease
from warmup_worker.settling import Outcome, open_intents, settle, sweep
from warmup_worker.timing import Timing

MAILBOXES, QUOTA, COOLDOWN = 4, 4, 30.0
LARGEST = 3
TIMING = Timing(calm=0.001)
"""The protocol's own constants, but a newcomer takes its number at once: the worst case for whoever has it."""
Key = tuple[date, int]

_PASS = [
    text(f"UPDATE {table} SET " + ", ".join(f"{it} = {it} - make_interval(secs => :s)" for it in instants))
    for table, instants in {
        "workers": ["lease_until"],
        "mailboxes": ["not_before"],
        "mails": ["claimed_at", "dot_at", "settled_at"],
        "fleet": ["growing_since", "retry_after", "resized_at"],
    }.items()
]


@dataclass
class Held:
    """A claim in a process's hands. ``at``: when it left. ``froze``: its process froze between the last check and the dot."""

    claim: Claim
    at: float
    checked: bool = False
    froze: bool = False
    dotted: float | None = None
    accepted: bool = False

    @property
    def key(self) -> Key:
        return self.claim.day, self.claim.mail_id


@dataclass
class Process:
    """One process of a number. A frozen one does nothing until it is thawed, and knows nothing of it."""

    lease: Lease
    number: int
    frozen: bool = False
    draining: bool = False
    held: dict[int, Held] = field(default_factory=dict)
    """By mailbox."""

    @property
    def may_claim(self) -> bool:
        return self.lease.orders is not None and not (self.draining or self.lease.replaced.is_set())


@dataclass
class Operator:
    """What it saw last: the row, who was live, the replicas and their version."""

    row: FleetRow
    live: frozenset[int]
    replicas: int
    version: int


class World:
    """``begin`` makes an empty database a fleet of ``MAILBOXES`` that wants one worker."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._leapt, self._began = 0.0, boottime()
        self.wanted = 1
        self.generation = 1
        self.replicas, self.version = 0, 1
        self.processes: list[Process] = []
        self.operators: dict[int, Operator | None] = {}
        self.accepted: dict[Key, tuple[int, float, bool]] = {}
        """Mailbox, instant, and whether its process froze after its last check: such a dot may be late."""

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self._leapt + boottime() - self._began

    async def begin(self) -> None:
        zone, _ = about_noon(datetime.now(UTC))
        async with self._database.transaction() as connection:
            for table in ("mails", "quotas", "mailboxes", "users", "workers", "fleet"):
                await connection.execute(text(f"DELETE FROM {table}"))
            await fleet.own(
                connection,
                OWNER,
                generation=1,
                token="t",
                settings=EAGER,
                time_zone=zone,
                paused=False,
            )
            await connection.execute(text("INSERT INTO users (id, name) VALUES (1, 'u')"))
            await connection.execute(
                text(
                    "INSERT INTO mailboxes (id, user_id, address, smtp_host, smtp_port, smtp_security)"
                    " SELECT n, 1, n || '@x.example', 'h', 587, 'tls' FROM generate_series(1, CAST(:n AS integer)) n"
                ),
                {"n": MAILBOXES},
            )
            await connection.execute(
                text("INSERT INTO quotas (day, mailbox_id, quota) SELECT fleet_day(), id, :q FROM mailboxes"),
                {"q": QUOTA},
            )

    # time, and the world around

    async def time_passes(self, seconds: float) -> None:
        self._leapt += seconds
        async with self._database.transaction() as connection:
            for statement in _PASS:
                await connection.execute(statement, {"s": seconds})

    async def sweeps(self) -> None:
        async with self._database.transaction() as connection:
            await sweep(connection, SWEEP_SECONDS)

    # processes

    async def starts(self, number: int) -> Process:
        """A pod's process, or a second one of its number."""
        process = Process(Lease(self._database, number, TIMING, DatabaseClock(), "h", "v"), number)
        await process.lease.register()
        await process.lease._beat()
        self.processes.append(process)
        return process

    async def beats(self, process: Process) -> None:
        await process.lease._beat()

    async def claims(self, process: Process, *, heard: bool = True) -> None:
        """Ask for every mailbox, its own or not. ``heard`` False: the COMMIT's answer is lost, so nothing is sent."""
        orders, me = process.lease.orders, process.lease.identity
        if orders is None or me is None or not process.may_claim:
            return
        asks = [
            Ask(mailbox_id, mailbox_id % MAILBOXES + 1, int(COOLDOWN * 1000))
            for mailbox_id in range(1, MAILBOXES + 1)
            if mailbox_id not in process.held
        ]
        left = self.now
        async with self._database.transaction() as connection:
            granted = await claim(connection, me, orders.epoch, asks, CLAIM_SECONDS, boottime())
            if granted:
                await self._were_right(connection, process, granted)
        for it in granted if heard else []:
            process.held[it.mailbox_id] = Held(it, left)
        if not granted:
            await self.beats(process)  # a refused worker asks at once what has changed

    async def _were_right(
        self, connection: AsyncConnection, process: Process, granted: Sequence[Claim]
    ) -> None:
        row = await fleet.read(connection)
        newest = await connection.scalar(
            text("SELECT incarnation FROM workers WHERE number = :n"), {"n": process.number}
        )
        assert row is not None
        assert process.lease.identity is not None
        assert newest == process.lease.identity.incarnation, "a replaced process claimed"
        for it in granted:
            assert shards.owns(process.number, it.mailbox_id, row.worker_count), "another's mailbox"

    def checks(self, held: Held) -> bool:
        """The last look before the dot: is the claim young? Once a process has looked, it writes the dot, however late."""
        held.checked = held.checked or self.now - held.at < CLAIM_SECONDS
        return held.checked

    def dots(self, held: Held, *, arrives: bool) -> None:
        """Write the dot. ``arrives`` False: the connection breaks, and the server never has the mail."""
        held.dotted = self.now
        if arrives:
            assert held.key not in self.accepted, "a mail was accepted twice"
            self.accepted[held.key] = (held.claim.mailbox_id, self.now, held.froze)
            held.accepted = True

    async def ends(self, process: Process, held: Held, *, heard: bool = True) -> None:
        """Settle what is known: handed back, sent, refused, or in doubt where no reply was ``heard``."""
        state, rest = MailState.FAILED, COOLDOWN
        if held.dotted is not None and not heard:
            state = MailState.IN_DOUBT
        elif held.dotted is not None:
            state = MailState.SENT if held.accepted else MailState.FAILED
        dotted = None if held.dotted is None else boottime() - (self.now - held.dotted)
        outcome = Outcome(
            held.claim.mailbox_id,
            held.claim.day,
            held.claim.mail_id,
            state,
            "dot",
            "",
            None if state is MailState.IN_DOUBT else int(rest * 1000),
            dotted=dotted,
        )
        assert process.lease.identity is not None
        async with self._database.transaction() as connection:
            await settle(connection, process.lease.identity.incarnation, [outcome])
        del process.held[held.claim.mailbox_id]

    async def closes_unknown(self, process: Process) -> None:
        """Its open intents that its memory does not know, older than a claim and a statement may be."""
        me = process.lease.identity
        assert me is not None
        known = {held.claim.mail_id for held in process.held.values()}
        async with self._database.transaction() as connection:
            for day, mail_id, mailbox_id in await open_intents(
                connection, me, CLAIM_SECONDS + STATEMENT_SECONDS
            ):
                if mail_id not in known:
                    outcome = Outcome(mailbox_id, day, mail_id, MailState.FAILED, "claim", "", None)
                    await settle(connection, me.incarnation, [outcome])

    async def goes(self, process: Process) -> None:
        """SIGTERM, or replaced: give back what has no dot; with nothing in hand, release the lease and end."""
        process.draining = True
        for held in list(process.held.values()):
            if held.dotted is None:
                await self.ends(process, held)
        if not process.held:
            await process.lease.release()
            self.processes.remove(process)

    def dies(self, process: Process) -> None:
        self.processes.remove(process)

    # operators

    async def observes(self, operator: int) -> None:
        replicas, version = self.replicas, self.version
        async with self._database.transaction() as connection:
            row = await fleet.read(connection)
            assert row is not None
            self.operators[operator] = Operator(row, await fleet.live_workers(connection), replicas, version)

    async def acts(self, operator: int, *, survives: bool = True) -> None:
        """On what it saw, however old that is; ``survives`` False: it dies between the replicas and the row."""
        view = self.operators.pop(operator, None)
        if view is None:
            return
        unasked = frozenset(n for n in view.live if n > view.replicas)
        going = frozenset(it.number for it in self.processes if it.draining) | unasked
        step = resize.decide(
            self.wanted,
            view.row.worker_count,
            view.live,
            view.row.growth,
            view.row.at,
            resize.Timing(),
            leaving=going,
        )
        if step.replicas != view.replicas:
            if self.version != view.version:
                return
            self.replicas, self.version = step.replicas, self.version + 1
        if not survives:
            return
        async with self._database.transaction() as connection:
            if step.flip_to is not None:
                await fleet.flip(
                    connection, epoch=view.row.epoch, target=step.flip_to, growth=step.growth or None
                )
            elif step.growth is not None:
                await fleet.remember(
                    connection, epoch=view.row.epoch, before=view.row.growth, growth=step.growth
                )

    # what must hold

    async def check(self) -> None:
        """Every promise, from the tables and from the server's own memory."""
        async with self._database.transaction() as connection:
            mails = (
                await connection.execute(text("SELECT day, id, mailbox_id, state FROM mails ORDER BY id"))
            ).all()
            quotas = (await connection.execute(text("SELECT * FROM quotas"))).all()
        open_of = [mail.mailbox_id for mail in mails if mail.state == "intent"]
        assert len(open_of) == len(set(open_of)), "two open intents of one mailbox"
        for quota in quotas:
            states = [mail.state for mail in mails if mail.mailbox_id == quota.mailbox_id]
            counts = [states.count(state) for state in ("intent", "sent", "in_doubt", "failed")]
            assert quota.spent == sum(counts[:3]) <= quota.quota, "the quota"
            assert [quota.sent, quota.in_doubt, quota.failed] == counts[1:], "the day's counters"
        states_of = {(mail.day, mail.id): mail.state for mail in mails}
        for key in self.accepted:
            assert states_of[key] != "failed", "a mail that was handed back was accepted"
        for key, state in states_of.items():
            assert state != "sent" or key in self.accepted, "sent, says the ledger alone"
        last: dict[int, tuple[float, bool]] = {}
        for mailbox_id, at, froze in sorted(self.accepted.values(), key=lambda it: it[1]):
            before, froze_before = last.get(mailbox_id, (at - COOLDOWN, False))
            assert at - before >= COOLDOWN - 1 or froze or froze_before, "the cooldown"
            last[mailbox_id] = (at, froze)

    async def states(self) -> dict[str, int]:
        """Mails by state."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(text("SELECT state, count(*) AS mails FROM mails GROUP BY 1"))
            return {row.state: row.mails for row in rows}

    async def settle_down(self) -> None:
        """No more faults: the wish is reached, every quota is used up, every mail has its final state."""
        self.operators.clear()
        for _ in range(40):
            await self.observes(1)
            await self.acts(1)
            await self.pods_run()
            for process in list(self.processes):
                if not process.frozen:
                    await self._works(process)
            await self.sweeps()
            await self.check()
            if await self._is_done():
                return
            await self.time_passes(COOLDOWN + CLAIM_SECONDS + LEASE_SECONDS)
            for process in self.processes:
                if not process.frozen:
                    await self.beats(process)
        raise AssertionError("the goal is out of reach")

    async def pods_run(self) -> None:
        """Each pod asked for has a process that runs; others, and those that were replaced, go."""
        for process in list(self.processes):
            replaced = process.lease.replaced.is_set()
            if not process.frozen and (process.number > self.replicas or replaced or process.draining):
                await self.goes(process)
        for number in range(1, self.replicas + 1):
            if not any(it.number == number and not it.frozen for it in self.processes):
                await self.starts(number)

    async def _works(self, process: Process) -> None:
        await self.beats(process)
        await self.closes_unknown(process)
        await self.claims(process)
        for held in list(process.held.values()):
            if held.dotted is None and self.checks(held):
                self.dots(held, arrives=True)
            await self.ends(process, held)

    async def _is_done(self) -> bool:
        async with self._database.transaction() as connection:
            row = await fleet.read(connection)
            left = await connection.scalar(
                text("SELECT count(*) FROM quotas WHERE spent < quota OR spent <> sent + in_doubt")
            )
        assert row is not None
        sized = row.worker_count == self.replicas == self.wanted
        return sized and (left == 0 or self.wanted == 0)
