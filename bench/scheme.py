"""``python -m bench.scheme``: the scheme that this project grew out of, written plainly.

A run reads every account, keeps its own, takes those that are due, sends in groups of ``concurrent``, and writes a row in the log
after each send. The waits between runs and groups are left out: they cost no CPU. What the scheme must not be used for (a crash
between send and log sends twice) is not mended here either.
"""

import asyncio
import random

import asyncpg
import uvloop

from bench.sending import Target, address, send, target_arguments

_BATCH = 500
_QUOTA = 30
_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    id bigint PRIMARY KEY, email text NOT NULL UNIQUE, smtp_host text NOT NULL, password text NOT NULL,
    sent_today integer NOT NULL DEFAULT 0, last_sent_at timestamptz
);
CREATE TABLE IF NOT EXISTS logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts (id),
    recipient text NOT NULL, status text NOT NULL, sent_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS logs_account ON logs (account_id, sent_at);
"""


async def fill(url: str, accounts: int) -> None:
    """The accounts, none of which has sent anything today."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_SCHEMA)
        await connection.execute("TRUNCATE accounts, logs")
        rows = [(n, address(n), "localhost", f"secret-of-{address(n)}", 0, None) for n in range(accounts)]
        await connection.copy_records_to_table("accounts", records=rows)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def _run(target: Target, url: str, mails: int, concurrent: int) -> None:
    async with asyncpg.create_pool(url, min_size=10, max_size=10) as pool:
        sent = 0
        while sent < mails:
            accounts = await pool.fetch("SELECT * FROM accounts ORDER BY last_sent_at NULLS FIRST, id")
            mine = [account for account in accounts if account["id"] % 1 == 0]
            due = [account for account in mine if account["sent_today"] < _QUOTA][:_BATCH]
            for start in range(0, len(due), concurrent):
                group = due[start : start + concurrent]
                await asyncio.gather(*(_one(pool, target, account, accounts) for account in group))
                sent += len(group)


async def _one(
    pool: asyncpg.Pool, target: Target, account: asyncpg.Record, accounts: list[asyncpg.Record]
) -> None:
    recipient = random.choice(accounts)["email"]
    await send(target, account["email"], recipient)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO logs (account_id, recipient, status) VALUES ($1, $2, 'sent')",
            account["id"],
            recipient,
        )
        await connection.execute(
            "UPDATE accounts SET sent_today = sent_today + 1, last_sent_at = now() WHERE id = $1",
            account["id"],
        )


if __name__ == "__main__":
    given = target_arguments().parse_args()
    target = Target(given.port, given.ca_file)
    uvloop.run(_run(target, given.database, given.mails, given.concurrent))
