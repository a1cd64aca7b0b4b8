"""The worker as a process: killed, frozen, stopped at the worst moments. The server's journal is the judge."""

import asyncio
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.integration.worker.fleet import EAGER, PATIENT, QUICK, Fleet, about_noon
from tests.integration.worker.process import Process, environment, started
from tests.submission import faults
from tests.submission.faults import Exchange, Step
from tests.waiting import until
from warmup_core.partitions import name_of


async def test_killed_between_the_dot_and_the_record_the_mail_is_in_doubt_and_never_sent_again(
    fleet: Fleet, tmp_path: Path
) -> None:
    """F19: the server has taken the mail, its 250 is under way, the worker dies."""
    await fleet.start()
    await fleet.enrol(4)
    let_go = asyncio.Event()
    fleet.server.faults[Step.REPLY] = faults.first(4, faults.hold(let_go))
    with started(environment(fleet), tmp_path / "first.log") as process:
        taken = await fleet.server.journal.until("accepted", 4)
        assert await fleet.states() == {"intent": 4}
        process.kill()
    let_go.set()
    await fleet.time_passes()
    names = {event.message_id for event in taken}
    with started(environment(fleet), tmp_path / "second.log"):
        await fleet.mails("in_doubt", 4)
        await fleet.mails("sent", 8)
        await asyncio.sleep(3 * QUICK.heartbeat)  # nothing more may come
    assert await fleet.states() == {"in_doubt": 4, "sent": 8}
    accepted = [event.message_id for event in fleet.server.journal.accepted]
    assert len(accepted) == len(set(accepted)) == 12
    assert names < set(accepted)
    await fleet.adds_up()
    assert {(row.spent, row.sent, row.in_doubt) for row in await fleet.rows("SELECT * FROM quotas")} == {
        (3, 2, 1)
    }


@pytest.mark.parametrize("step", [Step.CONNECT, Step.AUTH, Step.MAIL, Step.RCPT, Step.DATA, Step.BODY])
async def test_killed_before_the_dot_no_mail_goes_out_twice_and_all_others_are_sent(
    fleet: Fleet, tmp_path: Path, step: Step
) -> None:
    """F15: with or without a claim, the ledger alone decides what the next process may send."""
    await fleet.start()
    await fleet.enrol(4)
    reached = asyncio.Event()

    async def stall(_: Exchange) -> str | None:
        reached.set()
        await asyncio.Event().wait()
        return None

    fleet.server.faults[step] = stall
    with started(environment(fleet), tmp_path / "first.log") as process:
        await until(reached.is_set, f"the first is at {step}")
        process.kill()
    await fleet.alone()  # a claim of its may have been on its way to the database
    begun = (await fleet.states()).get("intent", 0)
    assert begun == 0 if step in {Step.CONNECT, Step.AUTH} else begun >= 1
    del fleet.server.faults[step]
    await fleet.time_passes()
    with started(environment(fleet), tmp_path / "second.log"):
        await fleet.mails("sent", 12 - begun)
        await fleet.mails("in_doubt", begun)
    assert await fleet.states() == {"sent": 12 - begun} | ({"in_doubt": begun} if begun else {})
    assert len(fleet.server.journal.accepted) == 12 - begun
    await fleet.adds_up()


async def test_frozen_between_claim_and_dot_it_wakes_and_hands_back(fleet: Fleet, tmp_path: Path) -> None:
    """F13 and F36: SIGSTOP until lease, claim and sweep have run out; another process has put its mails in doubt."""
    await fleet.start(EAGER.model_copy(update={"emails_per_mailbox_per_day": 1}), workers=2)
    await fleet.enrol(4)
    let_go = asyncio.Event()
    fleet.server.faults[Step.DATA] = faults.hold(let_go)
    mine = {row.id for row in await fleet.rows("SELECT id FROM mailboxes WHERE id % 2 = 0")}
    short = replace(QUICK, dialogue=60.0)  # a dialogue that a stall ended would leave nothing to be frozen
    with started(environment(fleet, 1, short), tmp_path / "frozen.log") as frozen:
        await fleet.server.journal.until("mail-from", len(mine))
        frozen.signal(signal.SIGSTOP)
        fleet.server.faults.clear()
        with started(environment(fleet, 2, short), tmp_path / "other.log"):
            await fleet.mails("in_doubt", len(mine))
            let_go.set()
            frozen.signal(signal.SIGCONT)
            # It knows that its dots were never written, takes the doubt back and sends under new names.
            await fleet.mails("sent", 4)
    await fleet.adds_up()
    assert (await fleet.states()).get("in_doubt", 0) == 0
    assert len(fleet.server.journal.accepted) == 4


async def test_sigterm_drains_and_exits_with_zero(fleet: Fleet, tmp_path: Path) -> None:
    """F20."""
    await fleet.start()
    await fleet.enrol(4)
    let_go = asyncio.Event()
    fleet.server.faults[Step.REPLY] = faults.hold(let_go)
    with started(environment(fleet), tmp_path / "log") as process:
        await fleet.server.journal.until("accepted", 4)
        process.signal(signal.SIGTERM)
        process.signal(signal.SIGTERM)
        await until(lambda: "asked to end" in process.text(), "it drains")
        let_go.set()  # not before: with a reply the next mail begins
        assert await asyncio.to_thread(process.popen.wait, 60) == 0
    assert (await fleet.states()) == {"sent": 4}
    assert "drained: sent=4 failed=0" in process.text()


async def test_no_secret_reaches_the_log(fleet: Fleet, tmp_path: Path) -> None:
    await fleet.start()
    await fleet.enrol(3)
    fleet.server.accounts = lambda login, password: None
    url = fleet.url.replace("postgres@", "postgres:hidden-word@")
    with started(environment(fleet, DATABASE_URL=url), tmp_path / "log") as process:
        await until(
            lambda: fleet.rows("SELECT 1 FROM mailboxes WHERE hold_reason IS NOT NULL"), "a refused login"
        )
        await until(lambda: "epoch 1" in process.text(), "the shard is read")
    text = process.text()
    for secret in ("hidden-word", "secret-of", "AAECAwQF"):
        assert secret not in text


async def test_a_rotated_database_password_arrives_without_a_restart(fleet: Fleet, tmp_path: Path) -> None:
    await fleet.start()
    await fleet.enrol(2)
    path = tmp_path / "url"
    path.write_text(fleet.url.replace("postgres@", "nobody@"))
    environ = environment(fleet, DATABASE_URL_FILE=str(path))
    del environ["DATABASE_URL"]
    with started(environ, tmp_path / "log") as process:
        await until(lambda: "not ready" in process.text(), "the refusal")
        path.write_text(fleet.url)
        await fleet.mails("sent", 6)
    assert "nobody" in process.text()


async def test_an_environment_that_cannot_be_used_is_refused_whole(fleet: Fleet, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "WARMUP_WORKER_ID": "main-1", "WARMUP_TELEMETRY_PORT": "x"}
    with started(environ, tmp_path / "log") as process:
        assert await asyncio.to_thread(process.popen.wait, 120) == 2
    text = process.text()
    assert "WARMUP_WORKER_ID='main-1' is not a whole number" in text
    assert "apps.kubernetes.io/pod-index" in text
    assert "WARMUP_TELEMETRY_PORT='x' is not a whole number" in text
    assert "DATABASE_URL or DATABASE_URL_FILE is required" in text
    assert "WARMUP_ENCRYPTION_KEYS or WARMUP_ENCRYPTION_KEYS_FILE is required" in text


async def test_without_an_operator_worker_1_makes_the_fleet_and_disagreement_is_told_on_every_worker(
    fleet: Fleet, tmp_path: Path
) -> None:
    """field-032, and the figure of field-033. Worker 3 comes late and was given another count."""
    await fleet.enrol(6)
    zone, noon = about_noon(datetime.now(UTC))
    timing = replace(PATIENT, lease=8.0)  # a missing worker is told of after one
    common = {
        "WARMUP_WORKER_COUNT": "3",
        "WARMUP_EMAILS_PER_MAILBOX_PER_DAY": "60",
        "WARMUP_RAMP_TYPE": "None",
        "WARMUP_WINDOW_TO": str(timedelta(seconds=noon + 600)).zfill(8),
        "WARMUP_MAILBOX_COOLDOWN_MIN_MS": "300",
        "WARMUP_MAILBOX_COOLDOWN_MAX_MS": "300",
        "WARMUP_SMTP_ALLOWED_NETWORKS": "127.0.0.0/8",
        "WARMUP_TIME_ZONE": zone,
    }
    with (
        started(environment(fleet, 1, timing, **common), tmp_path / "one.log") as one,
        started(environment(fleet, 2, timing, **common), tmp_path / "two.log") as two,
    ):
        await until(lambda: "3 workers are wanted, 0 are in use; waiting for worker" in one.text(), "waits")
        await until(lambda: "worker [3] not live: 2 mailboxes have no live owner" in one.text(), "told")
        await until(lambda: answers(one, "/metrics", "warmup_fleet_mailboxes_unowned 2.0"), "the figure")
        await until(lambda: senders_are(fleet, {1, 2}), "those who are there send")
        other = environment(fleet, 3, timing, **{**common, "WARMUP_WORKER_COUNT": "4"})
        with started(other, tmp_path / "three.log") as three:
            for process, own, others in ((three, "4", "3 at worker 1"), (two, "3", "4 at worker 3")):
                words = f"WARMUP_WORKER_COUNT is {own} here"

                def said(process: Process = process, words: str = words) -> bool:
                    return words in process.text()

                await until(said, "each says its own")
                # Both sides once both are heard: a stall makes either seem gone for a moment.
                await until(partial(answers, process, "/readyz", words, others), "both sides")
            await until(lambda: senders_are(fleet, {1, 2, 3}), "the row's count is everybody's")
            await until(lambda: "every mailbox has a live owner again" in one.text(), "nobody waits")
            none = "warmup_fleet_mailboxes_unowned 0.0"
            await until(
                lambda: answers(one, "/metrics", none), "the figure, made again at most once a second"
            )
    await fleet.adds_up()
    assert not await fleet.rows("SELECT 1 FROM mails WHERE number <> mailbox_id % 3 + 1")
    partitions = await fleet.rows("SELECT 1 FROM pg_inherits WHERE inhparent = 'mails'::regclass")
    assert len(partitions) > 5


async def test_a_day_whose_partition_cannot_be_made_keeps_worker_1_from_nothing(
    fleet: Fleet, tmp_path: Path
) -> None:
    """F28, without an operator."""
    await fleet.enrol(2)
    day = datetime.now(UTC).date() - timedelta(days=5)
    async with fleet.engine.begin() as connection:
        await connection.exec_driver_sql(f"CREATE TABLE {name_of('mails', day)} (nothing integer)")
        await connection.exec_driver_sql(
            f"INSERT INTO mails VALUES ('{day}', nextval('mail_ids'), 1, 2, 0, 'sent', 1, 1, 1, now(), NULL, now())"
        )
    common = {"WARMUP_WORKER_COUNT": "1", "WARMUP_SMTP_ALLOWED_NETWORKS": "127.0.0.0/8"}
    with started(environment(fleet, 1, **common), tmp_path / "one.log") as one:
        await until(lambda: "the fleet has 1 workers now" in one.text(), "the count is made")
        await until(lambda: f"partitions not kept: {name_of('mails', day)}: " in one.text(), "told")


async def senders_are(fleet: Fleet, numbers: set[int]) -> bool:
    """Whether these workers have sent, and no others."""
    return {row.number for row in await fleet.rows("SELECT DISTINCT number FROM mails")} == numbers


async def answers(process: Process, path: str, *words: str) -> bool:
    """Whether the worker's own server answers with all these words."""
    async with aiohttp.request("GET", f"http://{await process.address()}{path}") as answer:
        text = await answer.text()
    return all(it in text for it in words)
