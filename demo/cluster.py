"""`make demo`: a real cluster, PostgreSQL and a mail server in it, the operator by Helm, 200 mailboxes, 600 mails, their account.

The steps are those of a real installation, and each is said before it is taken. The account is drawn from the mail server's own
log against the ledger; exit code 0 only if it is complete. On failure the conditions, events and logs that tell why are printed.
Nothing is left behind, also not on Ctrl-C.
"""

import argparse
import contextlib
import json
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from demo import mailboxes
from demo.accounting import LEDGER, Acceptance, Account, LedgerMail, account, parse_ledger
from demo.current import CurrentClusterError, current_cluster
from demo.progress import Progress
from demo.target import NAMESPACE, OPERATOR_NAMESPACE, Target, own_node
from demo.window import ShortWindow, soon
from tests.cluster.debian import PackageError
from tests.cluster.images import ImageError
from tests.cluster.node import NodeError
from tests.cluster.steps import StepError
from tests.submission import journal
from tests.submission.authority import in_directory

FLEET = "main"
_CHECKOUT = Path(__file__).parents[1]
CHART = _CHECKOUT / "helm" / "warmup-fleet"
_OPERATOR = ("-n", OPERATOR_NAMESPACE, "deploy/warmup-fleet")
_SLOTS = 100
"""Of a worker: one mail host gets half of them, and the demo has one."""
_LENGTH = timedelta(hours=1)
"""Of the day. The mails take a thirtieth of that, so nothing hangs on how long before the end of its hours one is due."""
_RUNS: dict[str, Any] = {
    "every": "1s",
    "batchSize": 3,
    "batchDelay": "0s",
    "stagger": {"min": "0s", "max": "0s"},
}
"""Of each worker: 600 mails in less than two minutes, at an even pace."""
_READY_SECONDS = 240
_SENT_SECONDS = 900
"""Patience for what takes a hundred seconds on a machine with nothing else to do."""
_LOOK_SECONDS = 2.5


class DemoFailed(Exception):
    """A step of the demo did not come to its end; the message says which and why."""


def run(target: Target, progress: Progress) -> Account:
    """The demo's whole path on a cluster, up to the account. Raises DemoFailed and the target's own errors."""
    with progress.step("PostgreSQL and the mail server"):
        serve(target)
    with progress.step("helm install warmup-fleet helm/warmup-fleet"):
        install(target)
        for name in ("postgres", "submission"):
            words = ("rollout", "status", "-n", NAMESPACE, f"deploy/{name}", f"--timeout={_READY_SECONDS}s")
            target.kubectl(*words, timeout=_READY_SECONDS + 30)
    with progress.step("keys for the stored credentials: warmup keys new"):
        keys = target.kubectl("exec", *_OPERATOR, "--", "warmup", "keys", "new").strip()
        secret(target, "main-keys", keys=keys)
    window = soon(datetime.now(UTC), timedelta(0), _LENGTH)
    manifest = manifest_in(window)
    manifest["spec"]["pacing"] |= {"mode": "Interval", "interval": _RUNS}
    progress.say("kubectl apply -f examples/fleet.yaml, for a day of an hour whose mails go out at once:")
    progress.say(f'    timeZone: {window.zone}\n    schedule: {{from: "{window.start}", to: "{window.end}"}}')
    progress.say(f"    workers: {{maxConcurrentSends: {_SLOTS}}}")
    progress.say(
        f"    pacing: {{mode: Interval, interval: {{every: {_RUNS['every']}, batchSize: {_RUNS['batchSize']}, ...}}}}"
    )
    target.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    with progress.step("the operator takes the database: schema, ownership"):
        until_database(target)
    with progress.step("warmup --fleet mail/main mailboxes import - < examples/mailboxes.csv"):
        progress.say(import_mailboxes(target))
    addresses = mailboxes.addresses((_CHECKOUT / "examples" / "mailboxes.csv").read_text().splitlines())
    quotas = dict.fromkeys(addresses, int(manifest["spec"]["emailsPerMailboxPerDay"]))
    progress.say("kubectl get warmupfleets, until all is sent:")
    _watch(target, progress, sum(quotas.values()))
    progress.say(target.kubectl("get", "pods", "-n", NAMESPACE))
    with progress.step("the mail server's own log against the ledger"):
        return account(accepted(target), ledger(target), quotas)


def accepted(target: Target) -> list[Acceptance]:
    """The mails that the mail server took, by its own log."""
    log = target.kubectl("exec", "-n", NAMESPACE, "deploy/submission", "--", "cat", "/log/events.jsonl")
    return [
        Acceptance(event.message_id, event.mail_from, event.rcpt_to)
        for event in journal.parse(log.splitlines())
        if event.kind == "accepted"
    ]


def ledger(target: Target) -> list[LedgerMail]:
    """The mails that the database knows of."""
    ask = ("python", "-m", "demo.postgres", "query", LEDGER)
    return parse_ledger(target.kubectl("exec", "-n", NAMESPACE, "deploy/postgres", "--", *ask))


def serve(target: Target, *, seconds: float = 0.0) -> None:
    """What a real installation has already: a database, and a mail server that takes ``seconds`` over each mail."""
    target.kubectl("create", "namespace", NAMESPACE)
    owner, worker = secrets.token_hex(16), secrets.token_hex(16)
    secret(target, "demo-postgres", owner=owner, worker=worker)
    secret(
        target, "main-database-owner", url=f"postgresql://owner:{owner}@postgres.{NAMESPACE}.svc:5432/warmup"
    )
    secret(target, "main-database", url=f"postgresql://worker:{worker}@postgres.{NAMESPACE}.svc:5432/warmup")
    with tempfile.TemporaryDirectory(prefix="warmup-demo-") as folder:
        identity = in_directory(Path(folder), mailboxes.SERVER)
        authority = (Path(folder) / "ca.crt").read_text()
    secret(
        target,
        "demo-submission-tls",
        **{"ca.crt": authority, "tls.crt": identity.certificate.decode(), "tls.key": identity.key.decode()},
    )
    _object(target, "ConfigMap", "main-ca", {"data": {"ca.crt": authority}})
    file = (_CHECKOUT / "examples" / "mailboxes.csv").read_text()
    secret(target, "demo-submission-mailboxes", **{"mailboxes.csv": file})
    for name in ("postgres.yaml", "submission.yaml"):
        manifest = (_CHECKOUT / "demo" / name).read_text()
        said = manifest.replace("localhost/warmup-demo:dev", target.image("warmup-demo"))
        target.kubectl("apply", "-f", "-", stdin=said.replace('--seconds, "0"', f'--seconds, "{seconds}"'))


def install(target: Target, **values: Any) -> str:
    """Install the operator's chart with ``values`` beside what the demo needs; the notes."""
    repository, _, tag = target.image("warmup-operator").rpartition(":")
    return target.helm(
        *("install", "warmup-fleet", str(CHART), "-n", OPERATOR_NAMESPACE, "--create-namespace"),
        *("--wait", "--timeout", f"{_READY_SECONDS}s"),
        *settings(image={"repository": repository, "tag": tag}),
        *settings(workerImage=target.image("warmup-worker"), idleSeconds=2, **values),
    )


def settings(**values: Any) -> list[str]:
    """Values of the chart as arguments of helm."""
    return [word for name, value in values.items() for word in ("--set-json", f"{name}={json.dumps(value)}")]


def secret(target: Target, name: str, **data: str) -> None:
    _object(target, "Secret", name, {"stringData": data})


def _object(target: Target, kind: str, name: str, content: dict[str, Any]) -> None:
    metadata = {"name": name, "namespace": NAMESPACE}
    manifest = {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}
    target.kubectl("create", "-f", "-", stdin=json.dumps(manifest))


def manifest_in(window: ShortWindow) -> dict[str, Any]:
    """The example's fleet, with this window for its day, and as many sends at a time as a day so short asks of two workers."""
    manifest: dict[str, Any] = yaml.safe_load((_CHECKOUT / "examples" / "fleet.yaml").read_text())
    manifest["spec"] |= {"timeZone": window.zone, "schedule": {"from": window.start, "to": window.end}}
    manifest["spec"]["workers"]["maxConcurrentSends"] = _SLOTS
    return manifest


def _fleet(target: Target) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        target.kubectl("get", "warmupfleet", "-n", NAMESPACE, FLEET, "-o", "json")
    )
    return found.get("status") or {}


def import_mailboxes(target: Target) -> str:
    """Import the example's mailboxes as a person does; what the command said."""
    file = (_CHECKOUT / "examples" / "mailboxes.csv").read_text()
    command = ("warmup", "--fleet", f"{NAMESPACE}/{FLEET}", "mailboxes", "import", "-")
    return target.kubectl("exec", "-i", *_OPERATOR, "--", *command, stdin=file).strip()


def until_database(target: Target) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    message = "the operator has not said anything yet"
    while time.monotonic() < deadline:
        for condition in _fleet(target).get("conditions") or []:
            if condition["type"] == "DatabaseReachable":
                if condition["status"] == "True":
                    return
                message = f"{condition['reason']}: {condition['message']}"
        time.sleep(0.5)
    raise DemoFailed(f"the fleet's database was not reachable within {_READY_SECONDS} s: {message}")


def _watch(target: Target, progress: Progress, due: int) -> None:
    """Show what kubectl shows until the operator counts every mail as sent, or for a while."""
    deadline = time.monotonic() + _SENT_SECONDS
    heading_said = False
    while True:
        heading, row = target.kubectl("get", "warmupfleets", "-n", NAMESPACE).splitlines()[:2]
        if not heading_said:
            progress.say(heading)
            heading_said = True
        progress.live(row)
        today = _fleet(target).get("today") or {}
        if today.get("sent", 0) >= due or time.monotonic() > deadline:
            progress.say(row)
            return
        time.sleep(_LOOK_SECONDS)


def explain(target: Target, progress: Progress) -> None:
    """Print what tells why a demo failed: conditions, events, pods, the last lines of the logs."""
    looks = [
        ("conditions", ("get", "warmupfleets", "-A", "-o", "jsonpath={range .items[*].status.conditions[*]}"
                        "{.type}={.status} {.reason}: {.message}{'\\n'}{end}")),
        ("events", ("get", "events", "-A", "--sort-by=.lastTimestamp")),
        ("pods", ("get", "pods", "-A", "-o", "wide")),
        ("operator", ("logs", *_OPERATOR, "--tail=40")),
        ("workers", ("logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=warmup-worker", "--tail=25", "--prefix")),
        ("postgres", ("logs", "-n", NAMESPACE, "deploy/postgres", "--tail=15")),
        ("submission", ("logs", "-n", NAMESPACE, "deploy/submission", "--tail=15")),
    ]  # fmt: skip
    for title, command in looks:
        progress.say(f"--- {title}")
        try:
            progress.say("\n".join(target.kubectl(*command, timeout=30).splitlines()[-60:]))
        except Exception as error:
            progress.say(f"cannot be had: {error}")


@contextlib.contextmanager
def explained(target: Target, progress: Progress) -> Iterator[None]:
    """Whatever fails inside is explained while the cluster is still there."""
    try:
        yield
    except Exception as error:
        progress.say(f"failed: {error}")
        explain(target, progress)
        raise


def demo(cluster: str, progress: Progress) -> Account:
    """Bring the cluster up, run, and leave nothing behind."""
    where = current_cluster if cluster == "current" else own_node
    with where(progress) as target, explained(target, progress):
        result = run(target, progress)
        if not result.complete:
            raise DemoFailed("\n".join([result.line("demo", progress.seconds), *result.discrepancies[:40]]))
        return result


def main() -> int:
    """Read the arguments; the last line is the account."""
    parser = argparse.ArgumentParser(prog="python -m demo.cluster", description="The demo on a real cluster.")
    parser.add_argument("--cluster", choices=["own", "current"], default="own")
    options = parser.parse_args()
    progress = Progress("demo")
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts its background jobs with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        result = demo(options.cluster, progress)
    except KeyboardInterrupt:
        progress.say("interrupted; everything that was started has ended")
        return 130
    except (
        DemoFailed,
        CurrentClusterError,
        NodeError,
        ImageError,
        StepError,
        PackageError,
        subprocess.SubprocessError,
    ) as error:
        progress.say(f"failed: {error}")
        return 1
    print(result.line("demo", progress.seconds), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
