"""``warmup plan`` for options and manifests: its exit code, its tables, its JSON, and what it says of bad input."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from warmup_cli.main import app
from warmup_core.types import Refused

MANIFEST = """
apiVersion: warmupfleet.io/v1alpha1
kind: WarmupFleet
metadata: {name: main, namespace: mail}
spec:
  limits: {perHour: 10000}
  database: {urlSecretRef: {name: main-database}}
  encryption: {keysSecretRef: {name: main-keys}}
"""
COMPANY = ("--mailboxes", "100000", "--users", "1000", "--domains", "1000")
NO_DATABASE = {"DATABASE_URL": "", "DATABASE_URL_FILE": ""}


def run(*arguments: str, stdin: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, ["plan", *arguments], input=stdin, env=NO_DATABASE)
    if isinstance(done.exception, Refused):
        raise done.exception
    return done.exit_code, done.stdout


def document(*arguments: str, stdin: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json", stdin=stdin)[1])
    return found


def refusal(*arguments: str) -> str:
    with pytest.raises(Refused) as refused:
        run(*arguments)
    return str(refused.value)


def test_a_manifest_whose_limit_is_too_low_and_what_would_be_if() -> None:
    code, out = run("-f", "-", *COMPANY, stdin=MANIFEST)
    assert code == 3
    assert out.startswith("Plan for the manifest of mail/main, on a working day on which every ramp is over.")
    assert out.endswith(
        "It does not fit:\n  limits.perHour of 10,000 lets 238,739 of the 3,000,000 mails of the fleet through in 24h;"
        " it has to be at least 125,119.\n"
    )
    code, out = run("-f", "-", *COMPANY, "--per-hour", "125119", stdin=MANIFEST)
    assert (code, out.splitlines()[-1]) == (0, "It fits: every quota can be met, and no limit is too low.")
    assert document("-f", "-", *COMPANY, stdin=MANIFEST)["limits"][1]["needed"] == 125_119


def test_the_schemes_variables_as_options() -> None:
    interval = ("--every", "15m", "--batch-size", "100", "--concurrent", "20", "--batch-delay", "5s")
    none = ("--stagger-min", "0s", "--stagger-max", "0s", "--per-hour", "none", "--per-minute", "none")
    found = document(*COMPANY, "--mails", "30", *interval, *none, "--workers", "1")
    assert found["worker"] == {
        "mailsPerDay": 9_600,
        "mailboxes": 320,
        "reason": "a batch of 100 every 15m",
        "sendSeconds": 8,
        "sendIs": "assumed",
        "runsPerDay": 96,
        "runSeconds": {"sends": 40, "delays": 25, "total": 65},
    }
    assert found["workers"]["byMailsWithoutHeadroom"] == 313
    [short] = found["shortfalls"]
    assert (short["name"], short["value"], short["needed"]) == ("workers.replicas", 1, 313)
    assert (found["limits"], found["mails"]["perHour"], found["fits"]) == ([], 125_000, False)
    assert found["staying"]["user"] == {"percent": 0, "largest": 100, "ofLargestPercent": 0}
    costs = {it["name"]: (it["least"], it["most"]) for it in found["costs"]}
    assert costs["t3.small, spot"] == (4.5, 4.5)
    assert costs["mail provider"] == (90_000, 180_000)


def test_the_tables_carry_every_part() -> None:
    _, out = run(*COMPANY, "--every", "8m", "--batch-size", "500", "--concurrent", "100", "--workers", "50")
    for words in (
        "mailboxes   100,000 of 1,000 users, 30 mails a day each",
        "mails       3,000,000 a day, 125,000 an hour, 34.7 a second; the window is 24h",
        "workers     50, sized by Fixed\n            workers.replicas fixes the count at 50\n",
        "one worker  90,000 mails a day: a batch of 500 every 8m",
        "180 runs a day; a run takes 50 s of sends + 10 s of delay = 60 s",
        "the fleet   4,500,000 mails a day, 187,500 an hour; room for 150,000 mailboxes",
        "must stay   inside a user: none; inside a domain: none",
        "180 kB a day, 5.4 MB in 30 days, 65.7 MB a year; nobody removes them",
        "limits.perHour    150,000  125,119  enough",
        "t3.medium, spot       50 x 9 ",
        "mail provider         90,000,000 mails at 1 to 2 per 1,000  90,000 to 180,000",
    ):
        assert words in out, words
    assert not any(line.endswith(" ") for line in out.splitlines())


@pytest.mark.parametrize(
    ("options", "path", "value"),
    [
        (("--mails", "7"), ("mails", "perDay"), 70),
        (("--window", "08:00-20:00"), ("mails", "windowSeconds"), 43_200),
        (("--send", "4s"), ("worker", "mailsPerDay"), 1_080_000),
        (("--concurrent", "5"), ("worker", "mailsPerDay"), 54_000),
        (("--mode", "Interval"), ("worker", "mailsPerDay"), 28_800),
        (("--per-worker-per-hour", "10"), ("worker", "reason"), "limits.perWorkerPerHour is 10"),
        (("--workers", "4"), ("workers", "wanted"), 4),
        (("--min", "3"), ("workers", "wanted"), 3),
        (("--max-mailboxes-per-worker", "2"), ("workers", "wanted"), 5),
        (("--max-mailboxes-per-worker", "2", "--max", "4"), ("workers", "by"), "Max"),
        (("--max-mailboxes-per-worker", "none"), ("workers", "by"), "Mails"),
        (("--headroom", "0"), ("workers", "byMails"), 1),
        (("--hosts", "1"), ("worker", "mailsPerDay"), 270_000),
        (("--users", "1"), ("staying", "user"), {"percent": 100, "largest": 10, "ofLargestPercent": 100}),
        (("--mail-bytes", "1000"), ("inbox", "bytesPerDay"), 30_000),
    ],
)
def test_each_option_does_what_it_says(options: tuple[str, ...], path: tuple[str, str], value: Any) -> None:
    assert document("--mailboxes", "10", *options)[path[0]][path[1]] == value


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("--per-minute", "1"), "limits.perMinute"),
        (("--per-hour", "1"), "limits.perHour"),
        (("--per-worker-per-hour", "1"), "limits.perWorkerPerHour"),
        (("--per-user-per-hour", "1", "--users", "1"), "limits.perUserPerHour"),
        (("--per-domain-per-day", "1", "--domains", "1"), "limits.perDomainPerDay"),
        (("--cooldown-min", "1h", "--cooldown-max", "1h"), "pacing.cooldown"),
    ],
)
def test_each_limit_can_be_too_low(options: tuple[str, ...], name: str) -> None:
    assert name in {it["name"] for it in document("--mailboxes", "100", *options)["shortfalls"]}


def test_bad_input_is_refused_whole(tmp_path: Path) -> None:
    told = refusal(
        *(
            "--mailboxes",
            "10",
            "--per-hour",
            "many",
            "--mails",
            "0",
            "--every",
            "soon",
            "--min",
            "3",
            "--max",
            "2",
        )
    )
    for words in (
        "--per-hour: ",
        "--mails: ",
        "--every: ",
        "workers.min must not be greater than workers.max",
    ):
        assert words in told
    times = refusal("--mailboxes", "10", "--send", "quick", "--window", "all day")
    assert "--send: 'quick' is not a duration" in times
    assert "--window: 'all day' is no window" in times
    assert "--send: a send takes some time" in refusal("--mailboxes", "10", "--send", "0s")
    prices = tmp_path / "prices.yaml"
    prices.write_text("currency: euros\nmachines: [{name: small, onDemand: cheap}]\n")
    told = refusal("--mailboxes", "10", "--costs", str(prices))
    assert "currency: " in told
    assert "machines.0.onDemand: " in told
    assert "cannot be read" in refusal("--mailboxes", "10", "--costs", str(tmp_path / "none.yaml"))


def test_a_price_list_of_ones_own(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("currency: EUR\nmachines: [{name: rack, onDemand: 99.5, workers: 10}]\n")
    found = document("--mailboxes", "10", "--workers", "11", "--costs", str(prices))
    assert (found["currency"], found["costs"]) == (
        "EUR",
        [{"name": "rack, on demand", "basis": "2 x 99.5", "least": 199, "most": 199}],
    )


def test_without_mailboxes_and_without_a_fleet_it_asks_for_them() -> None:
    assert "Give --mailboxes N, or let the running fleet tell" in refusal()
