"""Scrapes of a worker with many mailboxes: what they cost does not grow with the mailboxes, nor with the crowd that scrapes."""

import asyncio
import gc
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import FrameType
from typing import Any

from prometheus_client import Metric
from prometheus_client.registry import Collector

from tests.integration.telemetry.asking import get
from tests.integration.worker.fleet import Fleet
from warmup_core.days import DayPlan, Portion
from warmup_core.pacing import Window
from warmup_core.schedules import Continuous
from warmup_worker.engine import Engine
from warmup_worker.exposition import Exposition, as_json
from warmup_worker.roster import Enrolment, MailboxRow

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
DAY = date(2026, 11, 26)
PLAN = DayPlan((Portion(DAY, Window(NOW - timedelta(hours=12), NOW + timedelta(hours=12)), 30),))
ENROLMENT = Enrolment(0, 1, "", "", "mail.example", 587, "starttls", None, None, None, 0.0)
ROW = MailboxRow(ENROLMENT, False, 0.0, None, PLAN, 30, 0, 0, 0, 0, 0, 0.0)


def filled(fleet: Fleet, mailboxes: int) -> Engine:
    """A worker with so many mailboxes in memory, at every stage of their day, in every state a hold gives."""
    worker = Engine(fleet.settings())
    worker.shard.day, worker.shard.schedule = DAY, Continuous(50)
    worker.shard.put(
        (
            replace(
                ROW,
                enrolment=ENROLMENT._replace(id=n, address=f"box{n}@domain{n % 99}.example", user_id=n % 100),
                spent=n % 31,
                sent=n % 31,
                failed=n % 3,
                not_before=NOW.timestamp() + 3600 if n % 7 == 0 else 0.0,
                hold_reason=("auth: no", "connect: no", "bad-credentials: no")[n % 3] if n % 7 == 0 else None,
            )
            for n in range(mailboxes)
        ),
        NOW.timestamp(),
    )
    return worker


def calls(work: Callable[[], Any]) -> int:
    """How many functions a piece of work calls, Python's own included: its cost, counted."""
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    gc.disable()  # what it calls when it likes is no cost of the work
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return counted


def forms(worker: Engine) -> list[Callable[[], Any]]:
    """The work of each kind of scrape, made anew at each call."""
    made = Exposition(worker.report, worker.metrics, clock=iter(range(1000)).__next__)
    return [
        lambda: made.prometheus(""),
        lambda: made.prometheus("application/openmetrics-text"),
        made.figures,
        lambda: made.fresh("quota", lambda: as_json(worker.telemetry.account())),
    ]


async def test_a_scrape_costs_the_same_for_twenty_times_the_mailboxes(fleet: Fleet) -> None:
    """field-039."""
    few, many = filled(fleet, 651), filled(fleet, 651 * 20)
    assert many.report.account().mailboxes == 13_020
    for small, large in zip(forms(few), forms(many), strict=True):
        small(), large()  # what is looked up once
        assert calls(large) <= calls(small) * 1.05
        assert len(str(large())) <= len(str(small())) * 1.05


class Counting(Collector):
    """Counts how often the registry is read."""

    def __init__(self) -> None:
        self.reads = 0

    def collect(self) -> Iterable[Metric]:
        self.reads += 1
        return ()


async def test_a_crowd_of_scrapes_costs_what_one_costs(fleet: Fleet) -> None:
    worker = filled(fleet, 1302)
    counting, now = Counting(), 0.0
    made = Exposition(worker.report, worker.metrics, clock=lambda: now)
    worker.metrics.registry.register(counting)
    before = counting.reads
    bodies = {made.prometheus("text/plain") for _ in range(100)}
    assert (len(bodies), counting.reads - before) == (1, 1)
    now = 0.99
    made.prometheus("text/plain")
    assert counting.reads - before == 1
    now = 1.0
    made.prometheus("text/plain")
    assert counting.reads - before == 2


async def test_a_crowd_is_answered_and_liveness_with_it(fleet: Fleet) -> None:
    """field-039."""
    worker = filled(fleet, 1302)
    counting = Counting()
    worker.metrics.registry.register(counting)
    await worker.telemetry.start()
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        paths = ("/metrics", "/api/warmup/metrics", "/api/warmup/quota", "/healthz")
        answers = await asyncio.gather(*(get(worker, path) for path in paths * 50))
    finally:
        await worker.telemetry.close()
    assert [status for status, _, _ in answers] == [200] * 200
    assert counting.reads <= 2 * (1 + loop.time() - began), "each form is made at most once a second"
