"""A fleet that really sends: the operator, its pods as worker processes, a submission server; and who judges all of it.

The server's log and the ledger are the judges: no mail twice, none lost, one at a time a mailbox, no quota or cooldown broken.
"""

import os
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from json import dumps
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.fleet.scene import FLEETS, Scene
from tests.integration.worker.fleet import KEY_LINE, QUICK, Fleet, about_noon
from tests.submission.server import Submission
from tests.waiting import PATIENCE, until
from warmup_core.ledger import parse_message_id
from warmup_worker.timing import Timing

STEADY = replace(QUICK, heartbeat=0.5, lease=2.0, sweep_every=0.5)
"""For many workers on few processors: their heartbeats cost less than QUICK's. One that stalls for 2 s is taken for dead."""

PATIENT = replace(
    STEADY,
    lease=40.0,
    statement=15.0,
    claim=30.0,
    claim_to_mail=20.0,
    sweep=50.0,
    dialogue=120.0,
    reply=300.0,
    hand_back=20.0,
    refresh_lease=30.0,
)
"""Where no worker dies, for a test that says what became of each mail or that no worker was down: a machine that stalls for ten
seconds makes none seem dead, whose mails the others would put in doubt, hands back no mail, and gives up no reply."""


def pod_environment(timing: Timing = STEADY) -> dict[str, str]:
    """What an image would set: where the code is, and the constants made small."""
    return {"PYTHONPATH": os.pathsep.join(sys.path), "WARMUP_TIMING": dumps(asdict(timing))}


_BETWEEN_CLOCKS = timedelta(seconds=0.1)
"""This process's and the database's: one machine's, each read in its own way."""


class Sending:
    """One fleet ``main`` in a scene, its mailboxes at the submission server."""

    def __init__(
        self, scene: Scene, engine: AsyncEngine, submission: Submission, timing: Timing = STEADY
    ) -> None:
        """``timing``: the workers'."""
        self.scene, self.submission, self.timing = scene, submission, timing
        self.fleet = Fleet(engine, scene.url, submission, Path())
        self.cooldown = timedelta()

    async def create(
        self, workers: int, mailboxes: int, quota: int, cooldown: tuple[int, int], **spec: Any
    ) -> None:
        """The fleet, its Secrets and mailboxes. ``cooldown`` in milliseconds.

        Most of the day is over. Of a small quota every mail is due, and the window has ten minutes more; of a large one nearly
        every mail is, and the window is open for much longer than any test takes.
        """
        await self.fleet.enrol(mailboxes)
        scene, shortest = self.scene, cooldown[0]
        self.cooldown = timedelta(milliseconds=shortest)
        scene.create_secret("main-database", url=scene.url)
        scene.create_secret("main-keys", keys=KEY_LINE)
        authority = {
            "metadata": {"name": "main-ca"},
            "data": {"ca.crt": self.submission.authority.pem.decode()},
        }
        scene.control_plane.request("POST", scene.path("api/v1", "configmaps"), authority)
        zone, noon = about_noon(datetime.now(UTC))
        closes = noon + (600 if quota < 10 else 3600)
        scene.create_fleet(
            emailsPerMailboxPerDay=quota,
            timeZone=zone,
            schedule={"from": "00:00", "to": str(timedelta(seconds=closes)).zfill(8)},
            workers={"replicas": workers},
            pacing={"cooldown": {"min": f"{shortest}ms", "max": f"{cooldown[1]}ms"}},
            smtp={"allowedNetworks": ["127.0.0.0/8"], "caConfigMapRef": {"name": "main-ca"}},
            **spec,
        )

    def change(self, **spec: Any) -> None:
        """Change the fleet's spec."""
        self.scene.merge(FLEETS, "warmupfleets", "main", {"spec": spec})

    def wish(self, workers: int) -> None:
        """As ``kubectl scale`` does."""
        self.change(workers={"replicas": workers})

    async def asked(self, replicas: int) -> None:
        """Wait until so many pods are asked for."""
        await until(lambda: self.scene.replicas() == replicas, f"{replicas} replicas")

    async def live(self, number: int) -> None:
        """Wait until this worker's lease runs."""
        rows = "SELECT 1 FROM workers WHERE number = :n AND lease_until > clock_timestamp()"
        await until(lambda: self.fleet.rows(rows, n=number), f"worker {number} is live")

    async def claiming(self, *numbers: int) -> None:
        """Wait until each of these claims under the epoch of now."""

        async def all_do() -> bool:
            rows = await self.fleet.rows(
                "SELECT DISTINCT m.number FROM mails m JOIN fleet f ON m.epoch = f.epoch"
            )
            return {row.number for row in rows} >= set(numbers)

        await until(all_do, f"{numbers} claim")

    async def pods_are(self, *numbers: int) -> None:
        """Wait until these are the pods, and no others."""
        names = [f"main-{number}" for number in numbers]
        await until(
            lambda: [pod["metadata"]["name"] for pod in self.scene.items("api/v1", "pods")] == names,
            f"{names}",
        )

    async def judge(self) -> None:
        """Pause, wait until no mail is open, and look at everything that was sent."""
        self.change(paused=True)
        # The claim looks at the row, so nothing is claimed once it says paused: none open before that would be luck.
        closed = "SELECT 1 FROM fleet WHERE paused AND NOT EXISTS (SELECT FROM mails WHERE state = 'intent')"
        await until(lambda: self.fleet.rows(closed), "no mail is open", 2 * self.timing.sweep + PATIENCE)
        await self.fleet.adds_up()
        mails = {
            (row.day, row.id): row
            for row in await self.fleet.rows("SELECT day, id, claimed_at, dot_at FROM mails")
        }
        begun: dict[int, datetime] = {}
        accepted: list[tuple[datetime, datetime, datetime, str | None]] = []
        for event in self.submission.journal.events:
            if event.kind == "mail-from":
                begun[event.connection] = event.at
            elif event.kind == "accepted":
                name = parse_message_id(event.message_id or "")
                assert name is not None
                mail, at = mails[(name.day, name.mail_id)], begun[event.connection]
                assert mail.dot_at is None or mail.dot_at > at - _BETWEEN_CLOCKS, "a dot before its mail"
                # A rest runs from the dot, and a server that stands still takes note of it later than it was written; so does
                # the ledger where a worker stood still between looking at its clock and writing. Neither is ever too early.
                dot = min(mail.dot_at, event.at) if mail.dot_at else mail.claimed_at
                accepted.append((mail.claimed_at, at, dot, event.mail_from))
        last: dict[str | None, datetime] = {}
        # One by one as they were claimed: a worker that stands still right before its dot sends late, which costs the rest and
        # nothing else. By the server's order its mail would seem to follow the next one's.
        for _, at, dot, sender in sorted(accepted):
            rest = at - last[sender] if sender in last else self.cooldown
            assert rest >= self.cooldown, f"{sender} rested {rest}, not {self.cooldown}"
            last[sender] = dot
        overlapping = await self.fleet.rows(
            "SELECT a.id FROM mails a JOIN mails b ON a.mailbox_id = b.mailbox_id AND a.id < b.id"
            " AND b.claimed_at < a.settled_at AND b.claimed_at < a.claimed_at + make_interval(secs => :sweep)",
            sweep=self.timing.sweep,
        )
        assert not overlapping, "a mailbox had two mails in flight"
        stale = await self.fleet.rows(
            "SELECT a.id FROM mails a JOIN mails b ON a.number = b.number AND a.incarnation < b.incarnation"
            " AND a.claimed_at > b.claimed_at"
        )
        assert not stale, "a replaced process claimed"
