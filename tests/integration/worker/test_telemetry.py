"""What a worker answers on its port, while it works and while its database is away."""

import json
import re

import aiohttp

from tests.integration.worker.fleet import Fleet
from tests.submission import faults
from tests.submission.faults import Step
from tests.waiting import until
from warmup_core import database
from warmup_worker.engine import Engine


async def get(worker: Engine, path: str, accept: str | None = None) -> tuple[int, str, str]:
    headers = {"Accept": accept} if accept else {}
    url = f"http://127.0.0.1:{worker.telemetry.port}{path}"
    async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as answer:
        return answer.status, answer.content_type, await answer.text()


async def test_a_worker_tells_what_it_does(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(4)
    fleet.server.faults[Step.RCPT] = faults.first(1, faults.refuse("550 5.1.1 No such user"))
    async with fleet.worker() as worker:
        await fleet.mails("failed", 1)
        await fleet.mails("sent", 12)  # the refused recipient rests, not the mailbox that wrote to it
        await until(lambda: worker.report.account().sent == 12, "counted in memory")
        assert await get(worker, "/healthz") == (200, "text/plain", "ok\n")
        assert await get(worker, "/readyz") == (200, "text/plain", "Worker 1 of 1.\n")

        _, kind, body = await get(worker, "/api/warmup/metrics")
        figures = json.loads(body)
        assert kind == "application/json"
        lines = body.strip().splitlines()[1:-1]
        assert all(re.fullmatch(r'  "warmup_[a-z_]+": [^{\[]+,?', line) for line in lines)
        assert (figures["warmup_mailboxes"], figures["warmup_mails_sent"], figures["warmup_mails_due"]) == (
            4,
            12,
            12,
        )
        assert figures["warmup_worker_mails_sent_total"] == 12
        assert figures["warmup_worker_failures_rcpt_total"] == 1

        _, _, body = await get(worker, "/api/warmup/quota")
        quota = json.loads(body)
        assert quota["due"] == sum(
            quota[part] for part in ("sent", "in_doubt", "in_flight", "scheduled", "deferred", "skipped")
        )
        assert quota["reasons"] == {"quota met": 4}

        for path, accept in (("/metrics", None), ("/api/warmup/metrics", "text/plain")):
            _, kind, body = await get(worker, path, accept)
            assert kind == "text/plain"
            assert 'warmup_worker_mails_total{state="sent"} 12.0' in body
            assert 'warmup_worker_failures_total{phase="rcpt"} 1.0' in body
            assert "warmup_worker_mailboxes 4.0" in body
            assert "example" not in body, "no address in a metric"
        _, kind, body = await get(worker, "/api/warmup/metrics", "application/openmetrics-text")
        assert kind == "application/openmetrics-text"
        assert body.endswith("# EOF\n")
        assert re.search(r"sent=12 failed=1 in_doubt=0 in_flight=0 .* mailboxes=4 ", worker.report.summary())


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
