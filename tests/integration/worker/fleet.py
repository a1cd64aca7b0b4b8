"""A small fleet for the worker's tests: enrolled mailboxes in a real database, a real submission server, workers on demand."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from demo import window
from tests.submission.server import Submission
from tests.waiting import broken, minding, until
from warmup_core import connections, database, fleet, partitions
from warmup_core.credentials import Keys, parse_keys
from warmup_core.fleet import Owner
from warmup_core.settings import FleetSettings
from warmup_worker.connection import Database
from warmup_worker.engine import Engine
from warmup_worker.lease import Identity
from warmup_worker.settings import WorkerSettings
from warmup_worker.timing import Timing

OWNER = Owner("cluster", "mail", "main", "uid")
KEY_LINE = f"first:{base64.b64encode(bytes(range(32))).decode()}"
KEYS: Keys = parse_keys(KEY_LINE)

QUICK = Timing(
    heartbeat=0.2,
    lease=1.0,
    statement=1.0,
    claim=4.0,
    claim_to_mail=1.0,
    sweep=5.0,
    reply=20.0,
    dialogue=3.0,
    refresh=2.0,
    refresh_lease=3.5,
    application_wait=0.5,
    goodbye=0.5,
    calm=0.001,
    gather=0.005,
    sweep_every=0.3,
    reread_every=2.0,
    hand_back=0.5,
    margin=0.5,
)
"""The protocol's constants made small, for tests that wait until a deadline passes; they relate as the real ones do."""
PATIENT = replace(
    QUICK,
    lease=30.0,
    statement=20.0,
    claim=40.0,
    claim_to_mail=30.0,
    sweep=60.0,
    reply=90.0,
    dialogue=60.0,
    refresh=20.0,
    refresh_lease=60.0,
    margin=5.0,
)
"""What comes again and again comes as soon, but no deadline passes while a machine stands still for some seconds. A mail that a
stall makes a worker give up is no fault of the worker's, and no test of anything else may fail for it."""
UNHURRIED = replace(PATIENT, heartbeat=0.5, sweep_every=2.0)
"""For many workers on one event loop, or a slow database: their heartbeats cost less."""

EAGER = FleetSettings(
    emails_per_mailbox_per_day=3,
    ramp_type="None",
    cooldown_min_ms=0,
    cooldown_max_ms=0,
    max_concurrent_sends=20,
    smtp_allowed_networks=("127.0.0.0/8",),
)

RUNNING = {"pacing_mode": "Interval", "batch_delay_ms": 0, "stagger_min_ms": 0, "stagger_max_ms": 0}
"""Added to it: sends in runs, with no wait but the interval's."""


def about_noon(now: datetime) -> tuple[str, int]:
    """A zone where it is between 12:00 and 13:00 now, and the seconds since its midnight."""
    local = window.about_noon(now)
    return str(local.tzinfo), local.hour * 3600 + local.minute * 60 + local.second


def password_of(address: str) -> str:
    """Each address's own password."""
    return f"secret-of-{address}"


class Fleet:
    """One fleet in one database. ``server``: where its mailboxes submit."""

    def __init__(self, engine: AsyncEngine, url: str, server: Submission, ca_file: Path) -> None:
        self.engine, self.url, self.server, self.ca_file = engine, url, server, ca_file
        self.day: date

    async def start(self, settings: FleetSettings = EAGER, workers: int = 1) -> None:
        """Write the fleet's row as an operator would, with the count already flipped.

        It is about noon in the fleet's zone, and the window closes minutes later: in the last tenth of its last slot, so that
        every mail of the day is due already. Slots of a large quota are shorter than a test, so of that nearly every mail is,
        and the window is open for longer than any test takes.
        """
        zone, noon = about_noon(datetime.now(UTC))
        quota = settings.emails_per_mailbox_per_day
        closes = max(int(noon * quota / (quota - 0.1)), noon + (180 if quota <= 25 else 1800))
        settings = settings.model_copy(update={"window_to_seconds": closes})
        async with self.engine.begin() as connection:
            await fleet.own(
                connection,
                OWNER,
                generation=1,
                token="t0ken",
                settings=settings,
                time_zone=zone,
                paused=False,
            )
            await connection.execute(text("UPDATE fleet SET worker_count = :n"), {"n": workers})
            self.day = await connection.scalar(text("SELECT fleet_day()"))
        await partitions.upkeep(self.engine.begin, self.day, 90)

    async def enrol(self, count: int, users: int = 2, **columns: Any) -> list[int]:
        """``count`` mailboxes in turn of ``users`` users, each with its credential. Returns their ids."""
        values = {
            "smtp_host": self.server.host,
            "smtp_port": self.server.port,
            "smtp_security": "starttls",
            "display_name": "A Tester",
            **columns,
        }
        ids = []
        async with self.engine.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO users (name) SELECT 'user-' || n FROM generate_series(1, :n) n ON CONFLICT DO NOTHING"
                ),
                {"n": users},
            )
            known = [row.id for row in await connection.execute(text("SELECT id FROM users ORDER BY id"))]
            already = await connection.scalar(text("SELECT count(*) FROM mailboxes"))
            for number in range(already, already + count):
                address = f"box{number}@domain{number % 3}.example"
                mailbox_id = await connection.scalar(
                    text(
                        "INSERT INTO mailboxes (user_id, address, display_name, smtp_host, smtp_port, smtp_security)"
                        " VALUES (:user, :address, :display_name, :smtp_host, :smtp_port, :smtp_security) RETURNING id"
                    ),
                    {**values, "user": known[number % len(known)], "address": address},
                )
                sealed = KEYS.seal(address, password_of(address), os.urandom(12))
                await connection.execute(
                    text("INSERT INTO credentials VALUES (:id, :username, :key, :nonce, :ciphertext)"),
                    {
                        "id": mailbox_id,
                        "username": address,
                        "key": sealed.key_id,
                        "nonce": sealed.nonce,
                        "ciphertext": sealed.ciphertext,
                    },
                )
                ids.append(mailbox_id)
        return ids

    def settings(self, number: int = 1, timing: Timing = PATIENT, **changes: Any) -> WorkerSettings:
        """A worker's settings for this fleet."""
        url = database.parse_url(self.url)
        made = WorkerSettings(
            number=number,
            url=url,
            current_url=lambda: url,
            keys=lambda: KEYS,
            ca_file=self.ca_file,
            telemetry_host="127.0.0.1",
            telemetry_port=0,
            grace_seconds=60.0,
            timing=timing,
        )
        return replace(made, **changes)

    @asynccontextmanager
    async def worker(
        self, number: int = 1, timing: Timing = PATIENT, **changes: Any
    ) -> AsyncIterator[Engine]:
        """A worker on this event loop, drained at the end if it has not ended before."""
        worker = Engine(self.settings(number, timing, **changes), "client.example")
        running = asyncio.create_task(worker.run())
        try:
            with minding(lambda: broken(running)):
                yield worker
        finally:
            worker.stop()
            await running

    async def rows(self, statement: str, **values: Any) -> Sequence[Any]:
        """The rows of a query."""
        async with self.engine.begin() as connection:
            return (await connection.execute(text(statement), values)).all()

    async def execute(self, statement: str, **values: Any) -> None:
        """One statement."""
        async with self.engine.begin() as connection:
            await connection.execute(text(statement), values)

    async def time_passes(self) -> None:
        """An hour, for whoever has died: what stands open is old, its rest and every lease are over. Nothing waits for it."""
        hour = "interval '1 hour'"
        async with self.engine.begin() as connection:
            await connection.execute(text(f"UPDATE workers SET lease_until = lease_until - {hour}"))
            await connection.execute(text(f"UPDATE mailboxes SET not_before = not_before - {hour}"))
            await connection.execute(text(f"UPDATE mails SET claimed_at = claimed_at - {hour}"))

    async def waits_for_a_lock(self) -> bool:
        """Whether somebody in this database does."""
        return bool(
            await self.rows(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
        )

    async def alone(self) -> None:
        """Wait until nobody but this test has a session: what a killed process had sent is done, or never will be."""
        await self.engine.dispose()

        async def nobody_else() -> bool:
            return not await self.rows(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND usesysid IS NOT NULL"
                " AND pid <> pg_backend_pid()"
            )

        await until(nobody_else, "the sessions of others end")

    async def states(self) -> dict[str, int]:
        """Mails by state."""
        return {
            row.state: row.n for row in await self.rows("SELECT state, count(*) AS n FROM mails GROUP BY 1")
        }

    async def mails(self, state: str, count: int) -> None:
        """Wait until the ledger holds ``count`` mails in ``state``."""

        async def enough() -> bool:
            return (await self.states()).get(state, 0) >= count

        await until(enough, f"{count} mails {state}")

    async def register(self, number: int = 1, lease_seconds: float = 60.0) -> Identity:
        """A process of this number that beats no more: a row in ``workers``."""
        rows = await self.rows(
            "INSERT INTO workers AS w (number, incarnation, lease_until)"
            " VALUES (:n, nextval('incarnations'), clock_timestamp() + make_interval(secs => :s))"
            " ON CONFLICT (number) DO UPDATE SET incarnation = excluded.incarnation, lease_until = excluded.lease_until"
            " RETURNING incarnation",
            n=number,
            s=lease_seconds,
        )
        return Identity(number, rows[0].incarnation)

    async def plan(self, quota: int) -> None:
        """Today's quota for every mailbox, as a worker leaves it that has planned the day."""
        await self.execute(
            "INSERT INTO quotas (day, mailbox_id, quota) SELECT fleet_day(), id, :quota FROM mailboxes",
            quota=quota,
        )
        await self.execute("UPDATE mailboxes SET ramp_on = fleet_day(), ramp_day = 0")

    async def adds_up(self) -> None:
        """Check the ledger against itself and against the server's own journal."""
        odd = await self.rows(
            "SELECT q.*, m.* FROM quotas q LEFT JOIN LATERAL ("
            " SELECT count(*) FILTER (WHERE state = 'sent') AS l_sent, count(*) FILTER (WHERE state = 'in_doubt') AS l_doubt,"
            "  count(*) FILTER (WHERE state = 'intent') AS l_open, count(*) FILTER (WHERE state = 'failed') AS l_failed"
            " FROM mails l WHERE l.day = q.day AND l.mailbox_id = q.mailbox_id) m ON true"
            " WHERE q.spent <> l_sent + l_doubt + l_open OR q.sent <> l_sent OR q.in_doubt <> l_doubt"
            " OR q.failed <> l_failed OR q.spent > q.quota"
        )
        assert not odd
        ledger = {
            f"<{row.day:%Y%m%d}.{row.id}.{row.token}@{row.address.partition('@')[2]}>": row.state
            for row in await self.rows(
                "SELECT l.*, m.address, f.token FROM mails l JOIN mailboxes m ON m.id = l.mailbox_id CROSS JOIN fleet f"
            )
        }
        accepted = [event.message_id for event in self.server.journal.accepted]
        assert len(accepted) == len(set(accepted)), "a mail was accepted twice"
        for name in accepted:
            assert name in ledger, f"{name} was accepted and stands in no row"
            assert ledger[name] != "failed", f"{name} was accepted and is called failed"
        for name, state in ledger.items():
            assert state != "sent" or name in accepted, f"{name} is called sent and was never accepted"


def as_database(url: str) -> Database:
    """A worker's own way to the database, for a test's own hands: with the patience of ``judge``."""
    made = Database(lambda: database.parse_url(url), 300.0)
    made.hold(connections.MOST)
    return made
