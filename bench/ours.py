"""Our side of the comparison: a fleet of mailboxes in the middle of its day, and the real `warmup worker` process.

Every mailbox is behind, so the worker sends as fast as it can; each sends once and then rests for its cooldown, as in a real day.
Mailboxes stand at different points of the day, so that three of ten mails look for one to answer. The limits are set, high, so
that tokens are reserved and spent for every mail.
"""

import asyncio
import contextlib
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
from sqlalchemy import text

from bench import shipped
from bench.machine import WORKER_CORE, on_core
from bench.sending import address
from bench.sink import HOST, password_of
from tests.ports import free_port
from warmup_core import database, fleet, partitions
from warmup_core.credentials import new_key, parse_keys
from warmup_core.fleet import Owner
from warmup_core.settings import FleetSettings

_OWNER = Owner("bench", "bench", "bench", "bench")
_USERS = 1000
_HIGH = 60_000_000
_HOSTS = (HOST, "127.0.0.1")
"""Two names of one sink: a host has half of the slots at most."""
_QUOTA, _BEGUN = 30, 20
"""The day's mails of a mailbox, and one more than the most that it has sent already."""
KEY = new_key("bench")


def _about_noon() -> tuple[str, int]:
    """A zone where it is between 12:00 and 13:00 now, and the seconds since its midnight."""
    now = datetime.now(UTC)
    ahead = 12 - now.hour
    zone = f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"
    local = now.astimezone(ZoneInfo(zone))
    return zone, local.hour * 3600 + local.minute * 60 + local.second


async def fill(url: str, mailboxes: int, port: int, concurrent: int) -> None:
    """A fleet of one worker whose mailboxes have sent a part of today's quota and are behind with the rest."""
    zone, noon = _about_noon()
    settings = FleetSettings(
        emails_per_mailbox_per_day=_QUOTA,
        ramp_type="None",
        window_to_seconds=min(86_400, noon + 1200),
        max_concurrent_sends=concurrent,
        smtp_allowed_networks=("127.0.0.0/8",),
        per_minute_limit=_HIGH,
        per_hour_limit=_HIGH,
    )
    keys, old = parse_keys(KEY), datetime.now(UTC) - timedelta(days=1)
    engine = database.create_engine(database.parse_url(url), pool_size=1, statement_seconds=300)
    try:
        async with engine.begin() as connection:
            await fleet.own(
                connection,
                _OWNER,
                generation=1,
                token="bench",
                settings=settings,
                time_zone=zone,
                paused=True,
            )
            await connection.execute(text("UPDATE fleet SET worker_count = 1"))
            day = await connection.scalar(text("SELECT fleet_day()"))
        await partitions.upkeep(engine.begin, day, 90)
        async with engine.begin() as connection:
            await connection.execute(text("TRUNCATE mailboxes, credentials, users, quotas, mails CASCADE"))
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            await driver.copy_records_to_table(
                "users", records=[(n, f"user{n}") for n in range(_USERS)], columns=("id", "name")
            )
            await driver.copy_records_to_table(
                "mailboxes",
                records=[
                    (n, n * _USERS // mailboxes, address(n), f"Box {n}", _HOSTS[n % 2], port, "starttls", day, old)
                    for n in range(mailboxes)
                ],
                columns=(
                    "id", "user_id", "address", "display_name", "smtp_host", "smtp_port", "smtp_security", "ramp_on",
                    "changed_at",
                ),
            )  # fmt: skip
            sealed = (
                keys.seal(address(n), password_of(address(n)), os.urandom(12)) for n in range(mailboxes)
            )
            await driver.copy_records_to_table(
                "credentials",
                records=[(n, address(n), it.key_id, it.nonce, it.ciphertext) for n, it in enumerate(sealed)],
            )
            await driver.copy_records_to_table(
                "quotas",
                records=[(day, n, _QUOTA, n % _BEGUN, n % _BEGUN) for n in range(mailboxes)],
                columns=("day", "mailbox_id", "quota", "spent", "sent"),
            )
        async with engine.connect() as connection:
            await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(
                text("VACUUM ANALYZE")
            )
    finally:
        await engine.dispose()


@contextlib.contextmanager
def running(
    url: str, ca_file: Path, log: Path, *, paused: bool = False, **more: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """`warmup worker` on its core, with the environment that a pod would have: its shard is read, and it begins to send."""
    asyncio.run(_pause(url, True))
    port = free_port()
    environ = {
        **shipped.environment(),
        "DATABASE_URL": url,
        "WARMUP_WORKER_ID": "1",
        "WARMUP_ENCRYPTION_KEYS": KEY,
        "WARMUP_SMTP_CA_FILE": str(ca_file),
        "WARMUP_TELEMETRY_HOST": "127.0.0.1",
        "WARMUP_TELEMETRY_PORT": str(port),
        "WARMUP_GRACE_SECONDS": "20",
        **more,
    }
    with on_core(WORKER_CORE), log.open("ab") as output:
        process = subprocess.Popen(
            [*shipped.python(), "-c", "from warmup_cli.main import run; run()", "worker"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _await_ready(process, port, log)
        asyncio.run(_pause(url, paused))
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _await_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Wait until the worker says that it has read its mailboxes. Raises RuntimeError with its log when it ends instead."""
    while process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the worker ended:\n{log.read_text()}")


async def _pause(url: str, paused: bool) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("UPDATE fleet SET paused = $1", paused)
    finally:
        await connection.close()
