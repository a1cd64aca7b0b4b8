"""``warmup pauses`` and ``warmup replies`` as a person runs them, beside a running worker."""

import asyncio
import os
import sys

from tests.integration.reactions.test_reactions import MANY, RARELY
from tests.integration.worker.fleet import KEY_LINE, Fleet
from tests.submission.faults import Step, first, refuse
from tests.waiting import until


async def warmup(fleet: Fleet, *arguments: str) -> tuple[int, str]:
    """Exit code and output of the command on this fleet's database."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "warmup_cli",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "DATABASE_URL": fleet.url,
            "WARMUP_ENCRYPTION_KEYS": KEY_LINE,
        },
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_a_person_sees_a_pause_and_ends_it_and_the_workers_go_on(fleet: Fleet) -> None:
    await fleet.start(MANY)
    await fleet.enrol(4)
    fleet.server.faults[Step.CONNECT] = first(
        1, refuse("554 5.7.1 Client host [192.0.2.1] blocked using Spamhaus")
    )
    async with fleet.worker(timing=RARELY) as worker:
        reasons = worker.report.account
        await until(lambda: reasons().reasons.get("paused: ip-listed"), "it stops")
        await until(lambda: fleet.rows("SELECT 1 FROM pauses"), "it is written")
        code, out = await warmup(fleet, "pauses", "list")
        assert code == 0
        assert "egress" in out
        assert "a person ends it" in out
        assert "ask for its removal" in out
        sent = len(fleet.server.journal.accepted)
        code, out = await warmup(fleet, "pauses", "end", "egress", fleet.server.host)
        assert (code, out) == (0, f"The pause of egress {fleet.server.host} is ended.\n")
        await until(lambda: len(fleet.server.journal.accepted) > sent + 3, "it goes on")
    code, out = await warmup(fleet, "pauses", "end", "egress", fleet.server.host)
    assert code == 2
    assert "is in force" in out


async def test_a_person_releases_what_is_held_until_a_person_acts_and_the_workers_go_on(fleet: Fleet) -> None:
    """What an administrator mended at the provider shows in no file."""
    await fleet.start()
    ids = await fleet.enrol(3)
    off = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox"
    fleet.server.faults[Step.LOGIN] = first(2, refuse(off))
    async with fleet.worker(timing=RARELY):
        await until(
            lambda: fleet.rows("SELECT 1 FROM mailboxes HAVING count(hold_reason) = 2"), "two are held"
        )
        await fleet.mails("sent", 3)
        code, out = await warmup(fleet, "mailboxes", "release", "--reason", "smtp-auth")
        assert (code, "held now: smtp-auth-off (2)" in out) == (2, True)
        code, out = await warmup(fleet, "mailboxes", "release", "--reason", "smtp-auth-off")
        assert (code, out) == (0, "2 mailboxes are released.\n")
        await fleet.mails("sent", 9)
    code, out = await warmup(fleet, "mailboxes", "release", str(ids[0]))
    assert (code, out) == (0, "0 mailboxes are released.\n1 mailbox is not held.\n")
    code, out = await warmup(fleet, "mailboxes", "release", "nobody@orchard.example", str(ids[0]))
    assert (code, "nobody@orchard.example is not enrolled" in out) == (2, True)
    await fleet.adds_up()


async def test_replies_are_explained_by_the_command(fleet: Fleet) -> None:
    code, out = await warmup(fleet, "replies", "explain", "550 5.1.1 No such user", "--phase", "rcpt")
    assert code == 0
    assert "recipient-unknown" in out
