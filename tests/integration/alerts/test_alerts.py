"""The shipped alerts as Prometheus' own promtool judges them: each fires for what it is for, and for nothing less."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import panels
from tests.cluster import debian
from tests.integration.alerts.series import (
    OPERATOR,
    fleet,
    healthy,
    holds,
    mails,
    of_worker,
    ready,
    refreshes,
    swept,
    through,
    told_by,
    unit_test,
)

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[3]
RULES = ROOT / "helm" / "warmup-fleet" / "files" / "alerts.yaml"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
AT = "4h"

PAUSES = f'warmup_worker_pauses_begun_total{{{of_worker(1)},scope="provider",rule="ip-blocked"}}'
LOOKS = f"warmup_operator_reconcile_seconds_count{{{OPERATOR}}}"
ERRORS = f'warmup_operator_reconcile_errors_total{{{OPERATOR},reason="Timeout"}}'
FORBIDDEN = ERRORS.replace("Timeout", "Forbidden")
SERVED = f"warmup_operator_fleets{{{OPERATOR}}}"

# A growth that fails: ten minutes of it, then held back for 10, 20 and 40.
GROWING: dict[str, str] = {
    fleet("workers_wanted"): "1x169 2x130",
    holds("Resizing"): "0x169 1x9 0x9 1x9 0x19 1x9 0x69",
    holds("Degraded"): "0x179 1x9 0x9 1x19 0x9 1x69",
}
STOPPED: dict[str, str] = {
    fleet("mailboxes_unowned"): "1000x300",
    fleet("workers_wanted"): "0x300",
    fleet("workers_live"): "0x300",
    ready("Running"): "",
    ready("Stopped"): "0x300",
}
"""By a person: nobody owns its mailboxes."""
SLOW: dict[str, str] = {fleet("mails_behind"): "400x300", fleet("mails_sent"): "3000+10x300"}
# Behind, and just fast enough: with a rate of less than half an hour it would not be. The operator's pod is another since 220.
REPLACED: dict[str, str] = {
    fleet("mails_behind"): "400x300",
    fleet("mails_sent"): "",
    told_by("old", "mails_sent"): "3000+27x220 _x79",
    told_by("new", "mails_sent"): "_x221 8967+27x78",
}
LOOKED_AT = fleet("looked_at_seconds")
# It alone of five is not looked at, so most looks end well.
ONE_OF_FIVE: dict[str, str] = {
    **{LOOKED_AT.replace('"main"', f'"other-{it}"'): "0+60x300" for it in range(4)},
    LOOKED_AT: "0+60x200 12000x100",
    LOOKS: "0+20x300",
    ERRORS: "0+6x300",
}
FIRES: Mapping[str, list[dict[str, str]]] = {
    "WarmupQuotaAtRisk": [SLOW, {fleet("sizing_mails_demanded"): "36100x300"}],
    "WarmupQuotaMissed": [{fleet("attainment_yesterday_ratio"): "0.98x300"}],
    "WarmupMailboxesUnowned": [{fleet("mailboxes_unowned"): "1x300"}],
    "WarmupMailboxesOwnedTwice": [{fleet("mailboxes_owned_twice"): "1x300"}],
    # The reason turns meanwhile, the fleet is not ready all the same.
    "WarmupFleetNotReady": [
        {
            ready("Running"): "",
            ready("WorkersDown"): "0x234",
            ready("DatabaseTimeout"): "_x234 0x60",
        }
    ],
    "WarmupFleetDegraded": [{holds("Degraded"): "1x300"}],
    "WarmupResizeStuck": [{holds("Resizing"): "1x300"}, GROWING],
    # The second: of workers that died, so no worker counts them among its own.
    "WarmupMailsInDoubt": [mails(1, in_doubt=12), {swept(1): "0+12x300"}],
    # The second: one provider of two, and of all mails together fewer than one in twenty.
    "WarmupMailsFailing": [mails(1, failed=60), through(1, "gmail", sent=10, failed=1)],
    "WarmupProviderPaused": [{PAUSES: "_x225 1x60"}, {PAUSES: "1x225 2x60"}],
    "WarmupTokenRefreshFailing": [refreshes(1, grant_refused=2), refreshes(1, application_refused=2)],
    "WarmupDatabaseConnectionsNearBudget": [{fleet("database_connections"): "149x300"}],
    "WarmupPartitionMissing": [{fleet("database_rows_without_partition"): "1x300"}],
    # The second: no look since the operator began.
    "WarmupFleetNotLookedAt": [ONE_OF_FIVE, {LOOKED_AT: "0x300"}],
    "WarmupOperatorErrors": [
        {ERRORS: "0+2x300"},
        {FORBIDDEN: "0+1x300"},
        {FORBIDDEN: "0+1x300", LOOKS: "0x300", SERVED: "0x300"},
    ],
    "WarmupOperatorAbsent": [{SERVED: "", LOOKS: ""}],
}
SILENT: Mapping[str, list[dict[str, str]]] = {
    "WarmupQuotaAtRisk": [
        {fleet("mails_behind"): "400x300"},  # behind, and fast enough
        {fleet("mails_sent"): "3000+10x300"},  # slow, and not behind
        SLOW | {fleet("mails_behind"): "300x300"},  # one in a hundred, not more
        {**SLOW, ready("Running"): "", ready("Paused"): "0x300"},
        {fleet("mails_behind"): "10x230 400x60", fleet("mails_sent"): "3000+10x300"},  # for ten minutes
        {fleet("mails_sent"): "25000+20x225 0+100x60"},  # the day has turned
        REPLACED,
    ],
    "WarmupQuotaMissed": [{fleet("attainment_yesterday_ratio"): "0.99x300"}],
    "WarmupMailboxesUnowned": [
        {fleet("mailboxes_unowned"): "0x235 9x60"},
        STOPPED,
        # Its database goes away: the figures stand as they were.
        STOPPED | {ready("Stopped"): "0x230", ready("DatabaseTimeout"): "_x230 0x60"},
    ],
    "WarmupMailboxesOwnedTwice": [{fleet("mailboxes_owned_twice"): "0x230 9x60"}],
    "WarmupFleetNotReady": [
        {ready("Running"): "", ready(reason): "0x300"}
        for reason in ("Paused", "Stopped", "NoMailboxes", "MailboxesTooFew")
    ],
    "WarmupFleetDegraded": [{holds("Degraded"): "0x220 1x60"}],
    "WarmupResizeStuck": [
        {holds("Resizing"): "0x200 1x60"},
        {fleet("workers_wanted"): "1x200 2x60", holds("Resizing"): "0x200 1x9 0x9 1x60"},
    ],
    "WarmupMailsInDoubt": [
        mails(1, in_doubt=9),
        mails(1, in_doubt=5) | {swept(1): "0+4x300"},
        mails(1, sent=0, failed=0, in_doubt=0),
        {**mails(1, sent=0, failed=0, in_doubt=0), swept(1): "0x200 4x60"},
    ],
    "WarmupMailsFailing": [
        mails(1, failed=50),
        through(1, "gmail", sent=100, failed=5),
        through(1, "gmail", sent=0, failed=0, in_doubt=0),
    ],
    "WarmupProviderPaused": [{PAUSES: "1x300"}, {PAUSES.replace("provider", "recipient"): "0+1x300"}],
    "WarmupTokenRefreshFailing": [refreshes(1, refreshed=30, grant_refused=1, superseded=9)],
    "WarmupDatabaseConnectionsNearBudget": [{fleet("database_connections"): "147x300"}],
    "WarmupPartitionMissing": [{fleet("database_rows_without_partition"): "0x180 500x90"}],
    "WarmupFleetNotLookedAt": [
        {LOOKED_AT: " ".join(f"{at}x4" for at in range(0, 18000, 300))},  # the longest idleSeconds
        {LOOKED_AT: "0+60x226 13560x70"},  # for less than a quarter of an hour
        {LOOKED_AT: "0+60x200 _x100"},  # the fleet is gone
        {
            LOOKED_AT: "",
            told_by("old", "looked_at_seconds"): "0+60x229 _x70",
            told_by("new", "looked_at_seconds"): "_x230 0x3 14040+60x66",
        },
    ],
    "WarmupOperatorErrors": [{ERRORS: "0+0.5x300"}, {FORBIDDEN: "0+1x220 220x80"}],
    "WarmupOperatorAbsent": [{SERVED: "1x100 _x5 1x200"}],
}


def promtool(*arguments: str | Path) -> str:
    debian.ensure("prometheus")
    program = debian.find("prometheus")
    assert program is not None
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def judge(folder: Path, cases: list[tuple[dict[str, str], dict[str, int]]]) -> None:
    """One run of promtool over all cases, each the series and the alerts that fire, all others being silent."""
    whole = unit_test(str(RULES), {}, AT, {})
    whole["tests"] = [unit_test(str(RULES), series, AT, expected)["tests"][0] for series, expected in cases]
    file = folder / "alerts_test.yaml"
    file.write_text(yaml.safe_dump(whole))
    promtool("test", "rules", file)


def test_promtool_takes_the_rules() -> None:
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool("check", "rules", RULES)


def test_every_alert_is_tried_and_says_what_to_do() -> None:
    names = [alert["alert"] for alert in ALERTS]
    assert names == list(FIRES) == list(SILENT)
    pages = set()
    for alert in ALERTS:
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert alert["for"]
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
        page = re.sub(
            r"^https://github.com/warmup-fleet/warmup-fleet/blob/main/",
            "",
            alert["annotations"]["runbook_url"],
        )
        text = (ROOT / page).read_text()
        assert f"`{alert['alert']}`" in text
        assert [line for line in text.splitlines() if line.startswith("## ")] == [
            "## What it means",
            "## What to look at",
            "## What to do",
        ]
        pages.add(page)
    assert pages == {str(it.relative_to(ROOT)) for it in (ROOT / "docs" / "runbooks").glob("*.md")}


def test_each_fires_for_what_it_is_for(tmp_path: Path) -> None:
    judge(tmp_path, [(healthy(1) | it, {name: 1}) for name, changes in FIRES.items() for it in changes])


def test_none_fires_for_less(tmp_path: Path) -> None:
    judge(tmp_path, [(healthy(1) | changed, {}) for changes in SILENT.values() for changed in changes])


def test_the_truth_does_not_hang_on_the_number_of_workers(tmp_path: Path) -> None:
    """field-038: what is a share or a figure of the whole fleet fires at the same value, however many workers tell of it."""
    cases: list[tuple[dict[str, str], dict[str, int]]] = []
    for replicas in (1, 3, 5):
        below, above = healthy(replicas), healthy(replicas)
        for number in range(1, replicas + 1):
            below |= mails(number, failed=50, in_doubt=9) | refreshes(number, grant_refused=1)
            above |= mails(number, failed=60, in_doubt=14) | refreshes(number, grant_refused=2)
        shares = {"WarmupMailsInDoubt": 1, "WarmupMailsFailing": 1, "WarmupTokenRefreshFailing": 1}
        full, risk = ({fleet("sizing_mails_demanded"): f"{it}x300"} for it in (36000, 36001))
        cases += [(healthy(replicas), {}), (below, {}), (above, shares)]
        cases += [(healthy(replicas) | full, {}), (healthy(replicas) | risk, {"WarmupQuotaAtRisk": 1})]
    judge(tmp_path, cases)


def test_promtool_takes_every_panel_of_the_dashboard(tmp_path: Path) -> None:
    queries = [query for _, row in panels.ROWS for panel in row for query in panel.queries]
    rules = [
        {"record": f"panel:{number}", "expr": query.expression.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries)
    ]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"SUCCESS: {len(queries)} rules found" in promtool("check", "rules", file)
