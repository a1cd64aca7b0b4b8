"""Every figure of the scheme that this fleet grew out of comes out of a plan, and so does every mistake of it."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

import warmup_cli
from warmup_core import costs, plan, shortfalls
from warmup_core.plan import Enrolled, Plan
from warmup_core.settings import FleetSettings
from warmup_core.shortfalls import Shortfall
from warmup_core.sizing import Rules

PRICES = costs.parse((Path(warmup_cli.__file__).parent / "costs.yaml").read_text(), "the built-in price list")
COMPANY = Enrolled.evenly(100_000, users=1_000, domains=1_000)
"""1,000 users with 100 mailboxes each."""


@dataclass(frozen=True)
class Column:
    """One column of the scheme: its variables, and what they make."""

    workers: int
    batch: int
    concurrent: int
    minutes: int
    per_hour: int
    per_minute: int
    per_worker: int | None
    delay_ms: int
    stagger_ms: tuple[int, int] = (0, 0)

    def settings(self) -> FleetSettings:
        return FleetSettings(
            ramp_type="None",
            pacing_mode="Interval",
            interval_ms=self.minutes * 60_000,
            interval_batch=self.batch,
            batch_delay_ms=self.delay_ms,
            stagger_min_ms=self.stagger_ms[0],
            stagger_max_ms=self.stagger_ms[1],
            max_concurrent_sends=self.concurrent,
            per_minute_limit=self.per_minute,
            per_hour_limit=self.per_hour,
            per_worker_per_hour_limit=self.per_worker,
        )

    def plan(self, **rules: int | None) -> tuple[Plan, tuple[Shortfall, ...]]:
        given = Rules(fixed=self.workers) if not rules else Rules(**rules)  # type: ignore[arg-type]
        made = plan.make(self.settings(), given, COMPANY, PRICES)
        return made, shortfalls.find(made, self.settings(), given)


ONE = Column(1, 100, 20, 15, 10_000, 200, None, 5_000)
HUNDRED = Column(100, 200, 50, 10, 150_000, 2_500, 1_500, 2_000, (500, 2_000))
FIFTY = Column(50, 500, 100, 8, 200_000, 3_500, None, 1_000, (100, 1_000))
COLUMNS = [ONE, HUNDRED, FIFTY]


@pytest.mark.parametrize(("column", "runs"), list(zip(COLUMNS, (96, 144, 180), strict=True)))
def test_runs_a_day(column: Column, runs: int) -> None:
    assert column.plan()[0].worker.runs == runs


@pytest.mark.parametrize(("column", "mails"), list(zip(COLUMNS, (9_600, 28_800, 90_000), strict=True)))
def test_mails_per_worker_per_day(column: Column, mails: int) -> None:
    assert column.plan()[0].worker.capacity.mails == mails


@pytest.mark.parametrize(("column", "mailboxes"), list(zip(COLUMNS, (320, 960, 3_000), strict=True)))
def test_mailboxes_per_worker_at_30_a_day(column: Column, mailboxes: int) -> None:
    assert column.plan()[0].worker.mailboxes == mailboxes


@pytest.mark.parametrize(("column", "mails"), list(zip(COLUMNS, (9_600, 2_880_000, 4_500_000), strict=True)))
def test_mails_of_the_fleet_per_day(column: Column, mails: int) -> None:
    assert column.plan()[0].fleet.per_day == mails


@pytest.mark.parametrize(("column", "mailboxes"), list(zip(COLUMNS, (320, 96_000, 150_000), strict=True)))
def test_mailboxes_of_the_fleet_at_30_a_day(column: Column, mailboxes: int) -> None:
    assert column.plan()[0].fleet.mailboxes == mailboxes


@pytest.mark.parametrize(("column", "mails"), list(zip(COLUMNS, (400, 120_000, 187_500), strict=True)))
def test_mails_of_the_fleet_per_hour(column: Column, mails: int) -> None:
    assert column.plan()[0].fleet.per_hour == mails


def test_a_run_takes_65_seconds() -> None:
    run = ONE.plan()[0].worker.run
    assert run is not None
    assert [part.total_seconds() for part in (*run, run[0] + run[1])] == [40, 25, 65]


def test_what_a_day_of_the_company_asks_for() -> None:
    mails = FIFTY.plan()[0].mails
    assert (mails.per_day, mails.per_hour, mails.per_month) == (3_000_000, 125_000, 90_000_000)
    assert round(mails.per_second) == 35


def test_enough_for_100_000_mailboxes_only_with_50_large_workers() -> None:
    assert FIFTY.plan()[1] == ()
    assert [it.name for it in ONE.plan()[1]] == ["workers.replicas", "limits.perMinute", "limits.perHour"]
    [short] = HUNDRED.plan()[1]
    assert (short.name, short.value, short.needed) == ("workers.replicas", 100, 105)
    assert short.reason == (
        "workers.replicas of 100: 100 x 28800 mails a day are 2880000 of 3000000,"
        " 96000 < 100000 mailboxes at 30 a day; 105 are needed"
    )


def test_313_workers_for_3_000_000_at_9_600() -> None:
    made, missing = ONE.plan()
    assert made.fleet.without_headroom == 313
    assert missing[0].needed == 313
    sized, _ = ONE.plan(maximum=1_000, headroom_percent=0)
    assert (sized.fleet.sizing.wanted, sized.fleet.sizing.by) == (313, "Mails")
    _, missing = ONE.plan(maximum=100)
    assert (missing[0].name, missing[0].value, missing[0].needed) == ("workers.max", 100, 313)


def test_10_000_an_hour_and_200_a_minute_are_too_low_for_125_000_an_hour() -> None:
    needed = {it.name: (it.value, it.needed) for it in ONE.plan()[1]}
    assert needed["limits.perHour"] == (10_000, 125_119)
    assert needed["limits.perMinute"] == (200, 2_202)
    assert all(it.ok for column in (HUNDRED, FIFTY) for it in column.plan()[0].limits)


def test_1_500_an_hour_and_worker_would_cap_50_workers_at_75_000_an_hour() -> None:
    capped = Column(50, 500, 100, 8, 200_000, 3_500, 1_500, 1_000, (100, 1_000))
    missing = {it.name: it for it in capped.plan()[1]}
    assert missing["limits.perWorkerPerHour"].needed == 2_549
    assert missing["limits.perWorkerPerHour"].reason == (
        "limits.perWorkerPerHour of 1500 lets 35151 of the 60000 mails of each of 50 workers through in 24h,"
        " 75000 an hour together; it has to be at least 2549"
    )
    assert missing["workers.replicas"].needed == 86


@pytest.mark.parametrize(
    ("column", "machine", "cost"),
    [
        (ONE, "t3.small, on demand", 15),
        (HUNDRED, "t3.small, on demand", 1_500),
        (HUNDRED, "t3.small, spot", 450),
        (FIFTY, "t3.small, on demand", 750),
        (FIFTY, "t3.small, spot", 225),
        (FIFTY, "t3.medium, on demand", 1_500),
        (FIFTY, "t3.medium, spot", 450),
    ],
)
def test_machines_a_month(column: Column, machine: str, cost: int) -> None:
    bill = {it.name: it for it in column.plan()[0].costs}
    assert bill[machine].least == bill[machine].most == Decimal(cost)


def test_mail_and_mailboxes_a_month_beside_the_machines() -> None:
    bill = {it.name: (it.least, it.most) for it in FIFTY.plan()[0].costs}
    assert bill["mail provider"] == (Decimal(90_000), Decimal(180_000))
    assert bill["Google Workspace"] == (Decimal(600_000), Decimal(600_000))
