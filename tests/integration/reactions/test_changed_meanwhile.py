"""An import while a server makes up its mind: what it says then is said of the login and the host that were asked."""

import asyncio

import pytest

from tests.integration.worker.fleet import EAGER, KEYS, Fleet, password_of
from tests.submission.faults import Exchange, Fault, Step
from tests.waiting import until
from warmup_core import enrolment, mailboxes
from warmup_worker.engine import Engine

ONE = EAGER.model_copy(update={"emails_per_mailbox_per_day": 1})
BOX = "box0@domain0.example"


async def enrol(fleet: Fleet, text: str) -> None:
    async with fleet.engine.begin() as connection:
        await mailboxes.enrol(connection, enrolment.parse(text.encode()), KEYS, dry_run=False)


async def known(fleet: Fleet, worker: Engine) -> None:
    """Wait until the worker has read what an import wrote."""
    (row,) = await fleet.rows(
        "SELECT id, date_part('epoch', changed_at) AS at FROM mailboxes WHERE address = :it", it=BOX
    )
    await until(lambda: worker.shard.mailboxes[row.id].enrolment.changed_at == row.at, "the change is read")


class Slow:
    """A server that thinks about the first mail or login of one sender until it may answer."""

    def __init__(self, reply: str) -> None:
        self.asked, self.may_answer, self._reply = asyncio.Event(), asyncio.Event(), reply

    @property
    def fault(self) -> Fault:
        async def first(exchange: Exchange) -> str | None:
            if self.asked.is_set() or BOX not in {exchange.mail_from, exchange.credential, exchange.login}:
                return None
            self.asked.set()
            await self.may_answer.wait()
            return self._reply

        return first


@pytest.mark.parametrize("read", [False, True], ids=["before it is read", "after"])
async def test_a_refusal_of_the_old_password_does_not_undo_the_import_of_the_new(
    fleet: Fleet, read: bool
) -> None:
    await fleet.start(ONE)
    await fleet.enrol(2)
    await enrol(fleet, f"email,password\n{BOX},{BOX}\n")
    slow = Slow("535 5.7.8 Username and Password not accepted")
    fleet.server.faults[Step.LOGIN] = slow.fault
    async with fleet.worker() as worker:
        await slow.asked.wait()
        await enrol(fleet, f"email,password\n{BOX},{password_of(BOX)}\n")
        if read:
            await known(fleet, worker)
        await fleet.mails("sent", 1)
        slow.may_answer.set()
        await fleet.mails("sent", 2)
    rows = await fleet.rows("SELECT hold_reason, strikes FROM mailboxes")
    assert rows == [(None, 0), (None, 0)]


async def test_what_the_old_host_says_late_is_said_of_the_old_host(fleet: Fleet) -> None:
    await fleet.start(ONE)
    await fleet.enrol(2)
    slow = Slow("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using Spamhaus")
    fleet.server.faults[Step.DOT] = slow.fault
    async with fleet.worker() as worker:
        await slow.asked.wait()
        await enrol(fleet, f"email,smtp_host\n{BOX},localhost\n")
        await known(fleet, worker)
        await fleet.mails("sent", 1)
        slow.may_answer.set()
        await fleet.mails("sent", 2)
    [pause] = await fleet.rows("SELECT scope, key, rule FROM pauses")
    assert pause == ("egress", fleet.server.host, "ip-listed")
    assert await fleet.states() == {"sent": 2, "failed": 1}
    await fleet.adds_up()
