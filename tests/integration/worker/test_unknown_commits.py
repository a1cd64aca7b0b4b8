"""F23: the reply to a COMMIT is lost. What was written is read again by its key; nothing is sent twice, nothing is forgotten."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from tests.integration.worker.fleet import EAGER, Fleet
from tests.postgres.proxy import Proxy
from tests.waiting import until


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

    async def all_sent() -> bool:
        """A claim that nobody knows of is closed once it is old; no other is for that."""
        async with fleet.engine.begin() as connection:
            await connection.execute(
                text("SELECT FROM mailboxes ORDER BY id FOR UPDATE")
            )  # first, as everybody does
            await connection.execute(
                text("UPDATE mails SET claimed_at = claimed_at - interval '1 h' WHERE state = 'intent'")
            )
            await connection.execute(text("UPDATE mailboxes SET not_before = '-infinity'"))
        return (await fleet.states()).get("sent") == 12

    async with fleet.worker() as worker:
        await until(all_sent, "12 mails sent")
        await until(lambda: worker.report.in_flight == 0, "all is settled")
        assert left.total() == 0, "each was lost"
    states = await fleet.states()
    assert states.keys() == ({"sent", "failed"} if failed else {"sent"})
    replies = await fleet.rows("SELECT DISTINCT reply FROM mails WHERE state = 'failed'")
    assert [row.reply for row in replies] == ["handed back: the claim's commit was unknown"] * failed
    assert len(fleet.server.journal.accepted) == 12
    assert not await fleet.rows("SELECT 1 FROM mailboxes WHERE in_flight IS NOT NULL")
    await fleet.adds_up()
