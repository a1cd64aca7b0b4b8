"""F23: the reply to a COMMIT is lost. What was written is read again by its key; nothing is sent twice, nothing is forgotten."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.integration.worker.fleet import EAGER, QUICK, Fleet
from tests.postgres.proxy import Proxy
from tests.waiting import until

HASTY = replace(QUICK, statement=0.8, claim=1.2, sweep=2.0)
"""A claim that nobody knows of is closed after ``claim`` and ``statement``."""


@pytest.fixture
async def proxy(fleet: Fleet) -> AsyncIterator[Proxy]:
    async with Proxy(fleet.url) as running:
        yield running


CLAIM, SETTLE, REGISTER = "'intent', $", "settled_at = clock_timestamp(), dot_at", "INSERT INTO workers"


@pytest.mark.parametrize(
    ("lost", "failed"),
    [
        pytest.param({CLAIM: 2}, True, id="of claims"),
        pytest.param({SETTLE: 2}, False, id="of outcomes"),
        pytest.param({REGISTER: 1, CLAIM: 1, SETTLE: 1}, True, id="of one of each"),
    ],
)
async def test_whatever_commit_is_lost_every_mail_is_sent_once(
    fleet: Fleet, proxy: Proxy, lost: dict[str, int], failed: bool
) -> None:
    left = Counter(lost)

    def loses(transaction: str) -> bool:
        found = [marker for marker in left if marker in transaction and left[marker]]
        left.subtract(found)
        return bool(found)

    proxy.loses = loses
    await fleet.start(EAGER.model_copy(update={"emails_per_mailbox_per_day": 2}))
    await fleet.enrol(6)
    fleet.url = proxy.url
    async with fleet.worker(timing=HASTY) as worker:
        await fleet.mails("sent", 12)
        await until(lambda: worker.report.in_flight == 0, "all is settled")
        assert left.total() == 0, "each was lost"
    states = await fleet.states()
    assert states.keys() == ({"sent", "failed"} if failed else {"sent"})
    replies = await fleet.rows("SELECT DISTINCT reply FROM mails WHERE state = 'failed'")
    assert [row.reply for row in replies] == ["handed back: the claim's commit was unknown"] * failed
    assert len(fleet.server.journal.accepted) == 12
    assert not await fleet.rows("SELECT 1 FROM mailboxes WHERE in_flight IS NOT NULL")
    await fleet.adds_up()
