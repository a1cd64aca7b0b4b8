"""The log of a real process: JSON lines, one a state change, none a mail."""

import asyncio
import json
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.integration.worker.fleet import EAGER, UNHURRIED, Fleet
from tests.integration.worker.process import environment, started
from tests.submission.faults import Step, first, refuse
from tests.waiting import until

DAY = EAGER.model_copy(update={"emails_per_mailbox_per_day": 25})


def lines(text: str) -> list[dict[str, Any]]:
    """Each line of the log; every one is an object."""
    return [json.loads(line) for line in text.splitlines()]


async def test_a_run_logs_each_change_once_and_no_mail(fleet: Fleet, tmp_path: Path) -> None:
    """175 mails, a mailbox with a wrong password, a server's no to a user, a resize, SIGTERM."""
    await fleet.start(DAY)
    await fleet.enrol(9, users=9)
    fleet.server.faults[Step.DOT] = first(
        1, refuse("550 5.7.233 Message blocked: the tenant exceeded its daily limit")
    )
    accounts = fleet.server.accounts
    fleet.server.accounts = lambda login, password: None if "box8@" in login else accounts(login, password)
    with started(environment(fleet, 1, UNHURRIED), tmp_path / "log") as process:
        await fleet.mails("sent", 7 * 25)
        await fleet.execute("UPDATE fleet SET worker_count = 2, epoch = epoch + 1")
        await until(lambda: "epoch 2" in process.text(), "the resize")
        process.signal(signal.SIGTERM)
        await asyncio.to_thread(process.popen.wait, 60)
    found = lines(process.text())
    assert all(set(line) >= {"time", "level", "worker", "message"} for line in found)
    assert {line["worker"] for line in found} == {1}
    instants = [datetime.fromisoformat(line["time"]) for line in found]
    assert all(it.utcoffset() is not None for it in instants)
    assert instants == sorted(instants)

    messages = [line["message"] for line in found]
    assert len(messages) == len(set(messages)) < 15, "\n".join(messages)
    about = {key: line for line in found for key in line}
    assert about["incarnation"]["message"].startswith("worker 1 registered")
    assert [line["epoch"] for line in found if "epoch" in line] == [1, 2]
    [pause] = [line for line in found if line.get("scope") == "tenant"]
    assert pause["rule"] == "quota-of-a-period"
    assert {line["level"] for line in found if line is not pause and "mailbox" not in line} == {"info"}
    ids = {str(row.id) for row in await fleet.rows("SELECT id FROM mails WHERE id > 30")}
    words = {word.strip(".,:;()") for line in messages for word in line.split() if "drained" not in line}
    assert not ids & words, "a line about one mail"
    assert "secret-of" not in process.text()
