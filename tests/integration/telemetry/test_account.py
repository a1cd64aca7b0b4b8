"""The day's account of a worker in all its forms, while it works and while its database is away."""

import json
import re
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from tests.integration.telemetry.asking import get, quota
from tests.integration.worker.fleet import UNHURRIED, Fleet
from tests.submission import faults
from tests.submission.faults import Step
from tests.waiting import until
from warmup_core import database
from warmup_worker.metrics import TIMED


def values(text: str, parse: Any = prometheus) -> dict[str, float]:
    """The samples of an exposition by name and label values."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in parse(text)
        for sample in family.samples
    }


async def test_a_worker_tells_what_it_does(fleet: Fleet) -> None:
    await fleet.start()
    ids = await fleet.enrol(4)
    await fleet.execute("UPDATE mailboxes SET quota_override = 1 WHERE id = :id", id=ids[0])
    fleet.server.faults[Step.RCPT] = faults.first(1, faults.refuse("550 5.1.1 No such user"))
    async with fleet.worker(timing=UNHURRIED) as worker:
        await fleet.mails("failed", 1)
        await fleet.mails("sent", 10)  # the refused recipient rests, not the mailbox that wrote to it
        await until(lambda: worker.report.account().sent == 10, "counted in memory")
        assert await get(worker, "/healthz") == (200, "text/plain", "ok\n")
        assert await get(worker, "/readyz") == (200, "text/plain", "Worker 1 of 1.\n")

        _, kind, body = await get(worker, "/api/warmup/metrics")
        figures = json.loads(body)
        assert kind == "application/json"
        lines = body.strip().splitlines()[1:-1]
        assert all(re.fullmatch(r'  "warmup_[a-z_]+": [^{\[]+,?', line) for line in lines)
        assert len(lines) == len(figures)
        assert figures["warmup_mailboxes"] == 4
        assert figures["warmup_mails_sent"] == figures["warmup_mails_due"] == 10
        assert figures["warmup_mails_sent_last_hour"] == 10
        assert figures["warmup_mailboxes_met"] == 4
        assert figures["warmup_emails_per_mailbox_per_day"] == 3
        assert figures["warmup_mailboxes_sent_at_least"] == 3
        assert figures["warmup_worker_mails_sent_total"] == 10
        assert figures["warmup_worker_failures_rcpt_total"] == 1

        _, account = await quota(worker)
        assert account["due"] == sum(
            account[part] for part in ("sent", "in_doubt", "in_flight", "scheduled", "deferred", "skipped")
        )
        assert account["reasons"] == {"quota met": 4}
        asked = (
            "mailboxes",
            "due",
            "sent",
            "in_flight",
            "scheduled",
            "met",
            "mailboxes_sent_at_least",
            "behind",
        )
        assert [account[it] for it in asked] == [4, 10, 10, 0, 0, 4, 3, 0]
        assert account["emails_per_mailbox_per_day"] == 3
        assert re.search(r"sent=10 failed=1 in_doubt=0 in_flight=0 .* mailboxes=4 ", worker.report.summary())

        _, _, body = await get(worker, "/metrics")
        seen = values(body)
        assert seen["warmup_worker_mails_total sent"] == 10
        assert seen["warmup_worker_failures_total rcpt"] == 1
        # A host of no known provider: its name is in no label.
        provider = "warmup_worker_provider_mails_total other"
        assert (seen[f"{provider} sent"], seen[f"{provider} failed"]) == (10, 1)
        assert seen["warmup_worker_mailboxes"] == seen["warmup_worker_mailboxes_met"] == 4
        assert seen["warmup_worker_mailboxes_sent_at_least"] == 3
        assert seen["warmup_worker_mailboxes_standing quota met"] == 4
        assert "example" not in body, "no address in a metric"
        counts = {phase: seen[f"warmup_worker_send_seconds_count {phase}"] for phase in TIMED}
        refused = sum(
            it for name, it in seen.items() if name.startswith("warmup_worker_claims_refused_total ")
        )
        claims = (
            11 + refused
        )  # one that is refused after a stall, since the last heartbeat is old, had connected too
        assert counts == {
            **dict.fromkeys(("connect", "tls", "auth", "claim"), claims),
            **dict.fromkeys(("mail",), 11),
            **dict.fromkeys(("data", "dot"), 10),
        }


EXPOSITION, OPENMETRICS, JSON = "text/plain", "application/openmetrics-text", "application/json"
SCRAPE = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"


FORMS = {
    None: JSON,
    "*/*": JSON,
    "application/json": JSON,
    "text/html,application/xhtml+xml,*/*;q=0.8": JSON,
    "application/json, text/plain, */*": JSON,
    "text/plain; q=rather": JSON,
    "text/plain": EXPOSITION,
    "text/plain;version=0.0.4": EXPOSITION,
    "Text/Plain; q=0.9, application/json; q=0.1": EXPOSITION,
    "application/openmetrics-text": OPENMETRICS,
    SCRAPE: OPENMETRICS,
}


async def test_the_metrics_come_in_the_form_that_is_asked_for(fleet: Fleet) -> None:
    async with fleet.worker(timing=UNHURRIED) as worker:
        for accept, kind in FORMS.items():
            status, found, body = await get(worker, "/api/warmup/metrics", accept)
            assert (status, found) == (200, kind), accept
            if kind == JSON:
                assert json.loads(body)["warmup_worker"] == 1
            else:
                names = values(body, openmetrics if kind == OPENMETRICS else prometheus)
                assert "warmup_worker_mailboxes" in names
                assert all(name.startswith("warmup_worker_") for name in names)


async def test_the_figures_of_two_workers_add_up_to_those_of_the_fleet(fleet: Fleet) -> None:
    """A figure that each worker read for the whole fleet would count twice in a dashboard's sum."""
    await fleet.start(workers=2)
    ids = await fleet.enrol(7)
    await fleet.execute("UPDATE mailboxes SET quota_override = 2 WHERE id = :id", id=ids[0])
    fleet.server.faults[Step.CONNECT] = faults.only(
        lambda _: len(fleet.server.journal.accepted) >= 5, faults.refuse("421 4.3.2 Try again later")
    )
    async with fleet.worker(1, UNHURRIED) as first, fleet.worker(2, UNHURRIED) as second:

        def at_rest() -> bool:
            return all(
                it.report.account().deferred
                and not (it._turns or it.report.in_flight or it._outcomes.waiting)
                and set(it.report.account().reasons)
                <= {"quota met"}
                | {name for name in it.report.account().reasons if name.startswith(("paused", "deferred"))}
                for it in (first, second)
            )

        await until(at_rest, "all have come to rest, and some are deferred")
        both = [values((await get(worker, "/metrics"))[2]) for worker in (first, second)]
        [truth] = await fleet.rows(
            "SELECT count(*) AS mailboxes, sum(quota) AS due, sum(sent) AS sent, sum(quota - spent) AS open,"
            " count(*) FILTER (WHERE sent >= quota) AS met, count(*) FILTER (WHERE sent >= 3) AS full FROM quotas"
        )
    names = {name for each in both for name in each}
    total = {name: sum(each.get(name, 0) for each in both) for name in names}
    assert total["warmup_worker_mailboxes"] == truth.mailboxes == 7
    assert total["warmup_worker_due"] == truth.due == 20
    assert total["warmup_worker_sent"] == truth.sent == total["warmup_worker_mails_total sent"]
    assert total["warmup_worker_mailboxes_met"] == truth.met
    assert total["warmup_worker_mailboxes_sent_at_least"] == truth.full
    assert sum(value for name, value in total.items() if "_mailboxes_standing " in name) == 7
    left = sum(total[f"warmup_worker_{part}"] for part in ("scheduled", "deferred", "skipped", "in_flight"))
    assert left == truth.open
    per_fleet = [name for name in names if re.search("workers|epoch|warmup_worker_pauses( |$)", name)]
    assert not per_fleet, "what is true of the whole fleet is the operator's to tell"


async def test_a_database_that_is_away_makes_a_worker_unready_and_not_dead(fleet: Fleet) -> None:
    url = database.parse_url("postgresql://nobody:hidden@127.0.0.1:1/none")
    async with fleet.worker(current_url=lambda: url) as worker:
        await until(lambda: "127.0.0.1:1/none" in worker.report.readiness().reason, "the reason")
        status, _, body = await get(worker, "/readyz")
        assert status == 503
        assert "hidden" not in body
        assert (await get(worker, "/healthz"))[0] == 200
        assert (await get(worker, "/api/warmup/quota"))[0] == 200
        assert (await get(worker, "/metrics"))[0] == 200
        status, answer = await quota(worker, mailbox="1")
        assert status == 503
        assert "127.0.0.1:1/none" in answer["error"]
        assert "hidden" not in answer["error"]
