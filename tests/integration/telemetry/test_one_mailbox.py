"""The day of one mailbox: asked of its worker, of another, of the database without a worker."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from tests.command import warmup
from tests.integration.telemetry.asking import get, quota
from tests.integration.worker.fleet import EAGER, UNHURRIED, Fleet
from tests.submission import faults
from tests.submission.faults import Step, refuse
from tests.waiting import until


def said(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    """The status and the sentence of a refusal."""
    status, body = answer
    assert list(body) == ["error"]
    return status, body["error"]


async def test_the_day_of_one_that_has_met_its_quota_and_of_one_that_is_held(fleet: Fleet) -> None:
    await fleet.start()
    ids = await fleet.enrol(4)
    wrong = "box1@domain1.example"
    accounts = fleet.server.accounts
    fleet.server.accounts = lambda login, password: None if login == wrong else accounts(login, password)
    fleet.server.faults[Step.RCPT] = faults.first(1, refuse("452 4.2.2 The mailbox is full"))
    async with fleet.worker(timing=UNHURRIED) as worker:
        await fleet.mails("sent", 9)
        reasons = {"quota met": 3, "deferred: bad-credentials": 1}
        await until(lambda: worker.report.account().reasons == reasons, "counted in memory")
        await until(
            lambda: fleet.rows("SELECT 1 FROM mailboxes WHERE hold_reason IS NOT NULL"), "in the table"
        )
        days = {
            row.id: (await quota(worker, mailbox=str(row.id)))[1]
            for row in await fleet.rows("SELECT id FROM mailboxes")
        }
        met = days[ids[0]]
        assert {name: met[name] for name in ("quota", "spent", "sent", "in_doubt", "in_flight", "strikes")} == {
            "quota": 3, "spent": 3, "sent": 3, "in_doubt": 0, "in_flight": 0, "strikes": 0,
        }  # fmt: skip
        assert (met["standing"], met["reason"]) == ("quota met", "Today's quota is spent.")
        assert (met["worker"], met["workers"], met["address"]) == (1, 1, "box0@domain0.example")
        assert met["next_wake"] is met["hold"] is None
        [window] = met["windows"]
        assert window["from"] < window["to"]
        assert (window["opens_on"], window["mails"]) == (fleet.day.isoformat(), 3)
        assert [it["state"] for it in met["outcomes"]].count("sent") == 3
        assert met["outcomes"] == sorted(met["outcomes"], key=lambda it: it["claimed_at"], reverse=True)
        [failed] = [it for day in days.values() for it in day["outcomes"] if it["state"] == "failed"]
        assert (failed["phase"], failed["reply"]) == ("rcpt", "452 4.2.2 The mailbox is full")
        assert sum(day["failed"] for day in days.values()) == 1

        held = days[ids[1]]
        assert held["standing"] == "deferred: bad-credentials"
        assert held["reason"].startswith(f"It is held until {held['not_before']}: bad-credentials: ")
        assert "give new credentials" in held["hold"]
        assert (held["strikes"], held["sent"], held["outcomes"]) == (1, 0, [])

        by_address = await quota(worker, mailbox="BOX0@Domain0.example")
        assert by_address == (200, met)

        shown = await warmup("mailboxes", "show", "box1@domain1.example", url=fleet.url)
        lines = {line[:14].strip(): line[14:] for line in shown.out.splitlines()}
        assert lines["worker"] == "1 of 1"
        assert lines["today"] == "0/3 sent, 0 in doubt, 0 failed, 0 in flight, 0 of the quota spent"
        assert lines["strikes"] == "1"
        assert lines["because"].startswith("It is held")
        assert "bad-credentials: " in lines["held"]
        by_id = await warmup("mailboxes", "show", str(ids[0]), url=fleet.url)
        assert "Today's quota is spent." in by_id.out
        assert by_id.out.count(": sent (dot: 250") == 3


async def test_a_pause_that_holds_it_comes_with_its_end_and_the_servers_words(fleet: Fleet) -> None:
    await fleet.start(
        EAGER.model_copy(
            update={"emails_per_mailbox_per_day": 40, "cooldown_min_ms": 300, "cooldown_max_ms": 300}
        )
    )
    ids = await fleet.enrol(6, users=3)
    fleet.server.faults[Step.DOT] = faults.first(
        1, refuse("550 5.7.233 Message blocked: the tenant exceeded its daily limit")
    )
    async with fleet.worker(timing=UNHURRIED) as worker:

        def paused() -> list[int]:
            return [it.id for it in worker.shard.mailboxes.values() if it.standing == "paused"]

        [one] = await until(paused, "the other mailbox of the user waits")
        await until(lambda: fleet.rows("SELECT 1 FROM pauses"), "in the table")
        _, day = await quota(worker, mailbox=str(one))
        [pause] = day["pauses"]
        assert (pause["scope"], pause["rule"]) == ("tenant", "quota-of-a-period")
        assert pause["key"].endswith(f"/{fleet.server.host}")
        assert "daily limit" in pause["reason"]
        assert pause["until"] > day["day"]
        assert day["standing"] == "paused: quota-of-a-period"
        assert day["reason"].startswith(
            "A pause beyond this mailbox holds it: quota-of-a-period. It asks again at "
        )
        others = [await quota(worker, mailbox=str(it)) for it in ids if it != one]
        assert sum(bool(day["pauses"]) for _, day in others) == 1, (
            "the one that heard it; other users' have none"
        )
    shown = await warmup("mailboxes", "show", str(one), url=fleet.url)
    assert "A pause beyond this mailbox holds it: quota-of-a-period." in shown.out
    assert "pauses        tenant user-" in shown.out


async def test_who_asks_the_wrong_worker_or_nonsense_is_told_so(fleet: Fleet) -> None:
    await fleet.start(workers=3)
    ids = await fleet.enrol(4)
    other = next(it for it in ids if it % 3 == 1)
    mine = next(it for it in ids if it % 3 == 0)
    async with fleet.worker(timing=UNHURRIED) as worker:
        await until(lambda: mine in worker.shard.mailboxes, "the shard is read")
        assert said(await quota(worker, mailbox=str(other))) == (
            404,
            f"Mailbox {other} belongs to worker 2 of 3, this is worker 1: ask that one, or `warmup mailboxes show {other}`.",
        )
        status, sentence = said(await quota(worker, mailbox="9999"))
        assert (status, "No mailbox 9999 is enrolled" in sentence) == (404, True)
        assert said(await quota(worker, mailbox="nobody@tea.example"))[0] == 404
        for nonsense in (
            "",
            "0x1",
            "-1",
            "1.5",
            "one",
            "9" * 30,
            "@",
            "a b",
            "1;DROP TABLE mailboxes",
            "\x00",
        ):
            status, sentence = said(await quota(worker, mailbox=nonsense))
            assert (status, "neither an id nor an address" in sentence) == (400, True), nonsense
        assert said(await quota(worker, mailbx="1"))[0] == 400
        twice = await get(worker, f"/api/warmup/quota?mailbox={mine}&mailbox={mine}")
        assert twice[0] == 400
        await fleet.execute(
            "UPDATE mailboxes SET active = false, changed_at = clock_timestamp() WHERE id = :id", id=mine
        )
        await until(lambda: mine not in worker.shard.mailboxes, "it is dropped")
        assert said(await quota(worker, mailbox=str(mine))) == (
            404,
            f"Mailbox {mine} is not active: no worker has it.",
        )
    absent = await warmup("mailboxes", "show", "9999", url=fleet.url)
    assert (absent.code, absent.err) == (
        2,
        "warmup: Mailbox 9999 is not enrolled; `warmup mailboxes list` shows who is.\n",
    )


@pytest.mark.parametrize("askers", [30])
async def test_many_who_ask_for_one_while_the_database_hangs_keep_nobody_else_waiting(
    fleet: Fleet, askers: int
) -> None:
    """Memory answers for what it has, the crowd is sent away, and liveness answers meanwhile."""
    await fleet.start(EAGER.model_copy(update={"emails_per_mailbox_per_day": 1}))
    [one, *_] = await fleet.enrol(3)
    async with fleet.worker(timing=UNHURRIED) as worker:
        await fleet.mails("sent", 3)
        await until(lambda: worker.report.account().met == 3, "counted in memory")
        async with fleet.engine.begin() as connection:
            await connection.execute(text("LOCK TABLE mailboxes IN ACCESS EXCLUSIVE MODE"))
            asked = [asyncio.create_task(quota(worker, mailbox=str(one))) for _ in range(askers)]
            await until(lambda: any(it.done() for it in asked), "the crowd is sent away")
            assert (await get(worker, "/healthz"))[0] == 200
            assert (await get(worker, "/metrics"))[0] == 200
            answers = await asyncio.gather(*asked)
    statuses = [status for status, _ in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) <= 8
    [some, *_] = [body for status, body in answers if status == 200]
    assert (some["sent"], some["standing"]) == (1, "quota met")
    assert some["not_known_now"]
    assert "strikes" not in some
