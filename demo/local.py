"""`make try`: no Kubernetes. PostgreSQL, a submission server and two real workers on this machine, 60 mails, and their account.

Owns every process it starts and ends only those. Nothing is left behind: the database, the certificates and the log lie in a
temporary folder. Exit code 0 only if every mail is accounted for and both workers ended cleanly.
"""

import asyncio
import contextlib
import csv
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from demo import mailboxes
from demo.accounting import LEDGER, Acceptance, Account, account, parse_ledger
from demo.progress import Progress
from demo.window import ShortWindow, begun
from tests.ports import free_port
from tests.postgres.server import Postgres
from tests.submission.accounts import table
from tests.submission.server import Submission

WORKERS = 2
QUOTA = 3
_MAILBOXES = (4, 5)  # users, mailboxes of each
_A_MINUTE = 150
"""The limit that spreads the mails. All are due already, so a machine that is slow takes longer and misses none."""
_SENT_SECONDS = 300.0
"""Patience for what takes half a minute on a machine with nothing else to do."""
_GRACE_SECONDS = 20.0


class TryFailed(Exception):
    """The try could not be carried out; the message says why."""


@dataclass(frozen=True)
class Setting:
    """What the steps share."""

    directory: Path
    progress: Progress
    environ: Mapping[str, str]


def warmup(setting: Setting, *arguments: str, stdin: str = "") -> str:
    """Run the command `warmup` to its end; its output."""
    done = subprocess.run(
        [sys.executable, "-m", "warmup_cli", *arguments],
        env=dict(setting.environ),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode != 0:
        raise TryFailed(
            f"warmup {' '.join(arguments)} ended with code {done.returncode}: {done.stderr.strip()}"
        )
    return done.stdout.strip()


@contextlib.contextmanager
def workers(setting: Setting, window: ShortWindow) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two worker processes with their logs beside the database; ended by SIGTERM, and by force only if that does not help."""
    running = []
    try:
        for number in range(1, WORKERS + 1):
            environ = {
                **setting.environ,
                "WARMUP_WORKER_ID": str(number),
                "WARMUP_WORKER_COUNT": str(WORKERS),
                "WARMUP_EMAILS_PER_MAILBOX_PER_DAY": str(QUOTA),
                "WARMUP_RAMP_TYPE": "None",
                "WARMUP_MAILBOX_COOLDOWN_MIN_MS": "1000",
                "WARMUP_MAILBOX_COOLDOWN_MAX_MS": "2000",
                "WARMUP_WINDOW_FROM": window.start,
                "WARMUP_WINDOW_TO": window.end,
                "WARMUP_TIME_ZONE": window.zone,
                "WARMUP_GLOBAL_MINUTE_LIMIT": str(_A_MINUTE),
                "WARMUP_SMTP_ALLOWED_NETWORKS": "127.0.0.0/8",
                "WARMUP_SMTP_CA_FILE": str(setting.directory / "ca.crt"),
                "WARMUP_TELEMETRY_HOST": "127.0.0.1",
                "WARMUP_TELEMETRY_PORT": str(free_port()),
                "WARMUP_GRACE_SECONDS": str(int(_GRACE_SECONDS)),
            }
            with _log_of(setting, number).open("wb") as log:
                command = [sys.executable, "-m", "warmup_cli", "worker"]
                running.append(
                    subprocess.Popen(
                        command,
                        env=environ,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
        yield running
    finally:
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(_GRACE_SECONDS + 5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _log_of(setting: Setting, number: int) -> Path:
    return setting.directory / f"worker-{number}.log"


def _tail(setting: Setting, number: int) -> str:
    return "\n".join(_log_of(setting, number).read_text(errors="replace").splitlines()[-20:])


def _watch(setting: Setting, server: Submission, running: list[subprocess.Popen[bytes]], due: int) -> None:
    """Show what the server has accepted, until all is sent, or for a while."""
    deadline = time.monotonic() + _SENT_SECONDS
    while time.monotonic() < deadline:
        accepted = len(server.journal.accepted)
        setting.progress.live(f"{accepted} of {due} mails accepted by the submission server")
        if accepted >= due:
            return
        for number, process in enumerate(running, start=1):
            if process.poll() is not None:
                raise TryFailed(
                    f"worker {number} ended with code {process.returncode}:\n{_tail(setting, number)}"
                )
        time.sleep(0.2)


async def _ledger(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval(LEDGER))
    finally:
        await connection.close()


def run(directory: Path, progress: Progress) -> Account:
    """The whole try in ``directory``. Raises TryFailed."""
    with contextlib.ExitStack() as stack:
        with progress.step("PostgreSQL in a temporary folder"):
            postgres = stack.enter_context(Postgres())
            url = postgres.url(asyncio.run(postgres.create_empty("try")))
        passwords: dict[str, str] = {}
        server = stack.enter_context(
            Submission(table(passwords), names=("localhost",), log=directory / "events.jsonl").in_thread()
        )
        (directory / "ca.crt").write_bytes(server.authority.pem)
        progress.say(f"submission server on 127.0.0.1:{server.port}, STARTTLS and AUTH required")
        rows = mailboxes.rows("localhost", server.port, *_MAILBOXES)
        file = io.StringIO()
        mailboxes.write(file, rows)
        passwords.update(
            {row["email"]: row["password"] for row in csv.DictReader(io.StringIO(file.getvalue()))}
        )
        inherited = {
            name: it for name, it in os.environ.items() if not name.startswith(("WARMUP_", "DATABASE_"))
        }
        setting = Setting(directory, progress, {**inherited, "DATABASE_URL": url, "PYTHONUNBUFFERED": "1"})
        with progress.step("warmup database upgrade, keys new, mailboxes import"):
            warmup(setting, "database", "upgrade")
            key = warmup(setting, "keys", "new")
            setting = Setting(directory, progress, {**setting.environ, "WARMUP_ENCRYPTION_KEYS": key})
            progress.say(warmup(setting, "mailboxes", "import", "-", stdin=file.getvalue()))
        window = begun(datetime.now(UTC), QUOTA)
        quotas = dict.fromkeys(passwords, QUOTA)
        progress.say(
            f"{WORKERS} workers, {QUOTA} mails a mailbox, from {window.start} to {window.end} {window.zone},"
            f" at most {_A_MINUTE} a minute"
        )
        with workers(setting, window) as running:
            _watch(setting, server, running, sum(quotas.values()))
        if codes := [process.returncode for process in running if process.returncode != 0]:
            raise TryFailed(f"a worker did not end cleanly on SIGTERM: code {codes[0]}")
        progress.say("both workers have drained and ended")
        accepted = [
            Acceptance(event.message_id, event.mail_from, event.rcpt_to) for event in server.journal.accepted
        ]
        result = account(accepted, parse_ledger(asyncio.run(_ledger(url))), quotas)
        if not result.complete:
            for number in range(1, WORKERS + 1):
                progress.say(f"--- the end of worker {number}'s log\n{_tail(setting, number)}")
        return result


def main() -> int:
    """Run, account, and say so in the last line."""
    progress = Progress("try")
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts its background jobs with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="warmup-try-") as folder:
            result = run(Path(folder), progress)
    except TryFailed as failure:
        progress.say(str(failure))
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted; everything that was started has ended")
        return 130
    for line in result.discrepancies:
        progress.say(line)
    print(result.line("try", progress.seconds), flush=True)
    return 0 if result.complete else 1


if __name__ == "__main__":
    sys.exit(main())
