"""The SQL of enrolment: what is enrolled, and one transaction that makes it what a file asks for.

Invariants: all or nothing; imports queue behind one another (an advisory lock of the transaction); rows are locked in the order
of their ids, as workers do; ``changed_at`` moves only where something changed, so that workers hear of that and of nothing else.
A mailbox that is held and gets another login or server is held no more (``holds``), for that may be what was wrong.
Never touched here: ``active``, ``in_flight``, quotas, the ledger; nor the hold of a mailbox that keeps both.
Fails: ``Refused`` with every fault of the file, ``EnrolmentBusy``, or the database's error; nothing is written then.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core import database, enrolment, holds, oauth
from warmup_core.addresses import identity
from warmup_core.credentials import NONCE_BYTES, Keys, Sealed, Tokens, Undecipherable
from warmup_core.database import sqlstate
from warmup_core.enrolment import Change, EnrolmentFile, Mailbox, Plan

T = TypeVar("T")

_LOCK = 0x656E726F6C  # "enrol"
_LOCK_SECONDS = 30
_LOCK_NOT_AVAILABLE = "55P03"
_CHUNK = 10_000
_MAY_MEND = frozenset(
    {"username", "password", "oauth_application", "refresh_token", "smtp_host", "smtp_port", "smtp_security"}
)


_RENAMES = (
    text("""
UPDATE credentials c SET username = v.username
FROM unnest(CAST(:ids AS bigint[]), CAST(:usernames AS text[])) AS v (id, username) WHERE c.mailbox_id = v.id
"""),
    text("""
UPDATE oauth_tokens o SET username = v.username, application = coalesce(v.application, o.application)
FROM unnest(CAST(:ids AS bigint[]), CAST(:usernames AS text[]), CAST(:applications AS text[])) AS v (id, username, application)
WHERE o.mailbox_id = v.id
"""),
)
_NO_PASSWORD = text("DELETE FROM credentials WHERE mailbox_id = ANY(CAST(:ids AS bigint[]))")
_NO_TOKENS = text("DELETE FROM oauth_tokens WHERE mailbox_id = ANY(CAST(:ids AS bigint[]))")


class EnrolmentBusy(Exception):
    """Another import holds the lock."""


@dataclass(frozen=True)
class Shown:
    """A mailbox as a person wants to see it, with today's account where today has one."""

    id: int
    address: str
    user: str
    display_name: str
    smtp_host: str
    smtp_port: int
    smtp_security: str
    username: str | None
    key_id: str | None
    oauth_application: str | None
    active: bool
    hold_reason: str | None
    enrolled_at: datetime
    changed_at: datetime
    quota: int | None
    sent: int | None
    in_doubt: int | None


async def enrol(connection: AsyncConnection, file: EnrolmentFile, keys: Keys, *, dry_run: bool) -> Plan:
    """Make the tables what the file asks for; the caller's transaction commits it. ``dry_run`` only says what would happen."""
    if not dry_run:
        await _lock(connection)
    changes = enrolment.plan(file, await enrolled(connection, keys))
    if not dry_run:
        await _add(connection, changes.added, keys)
        await _change(connection, changes.changed, keys)
    return changes


async def enrolled(connection: AsyncConnection, keys: Keys) -> dict[str, Mailbox]:
    """Every mailbox by ``addresses.identity``, with its password where it opens."""
    rows = await connection.execute(
        text(
            "SELECT m.id, m.address, u.name, m.smtp_host, m.smtp_port, m.smtp_security, m.display_name,"
            " m.window_from, m.window_to, m.time_zone, m.days,"
            " c.username, c.key_id, c.nonce, c.ciphertext, o.username AS o_username, o.application, o.key_id AS o_key_id,"
            " o.nonce AS o_nonce, o.ciphertext AS o_ciphertext"
            " FROM mailboxes m JOIN users u ON u.id = m.user_id LEFT JOIN credentials c ON c.mailbox_id = m.id"
            " LEFT JOIN oauth_tokens o ON o.mailbox_id = m.id"
        )
    )
    return {
        identity(row.address): Mailbox(
            id=row.id,
            email=row.address,
            user=row.name,
            smtp_host=row.smtp_host,
            smtp_port=row.smtp_port,
            smtp_security=row.smtp_security,
            username=row.username or row.o_username or "",
            password=_password(row, keys),
            display_name=row.display_name,
            oauth_application=row.application,
            imported=_imported(row, keys),
            window_from=row.window_from,
            window_to=row.window_to,
            time_zone=row.time_zone,
            days=row.days,
        )
        for row in rows
    }


async def show(connection: AsyncConnection, address: str | None = None) -> list[Shown]:
    """One mailbox by any spelling of its canonical address, or all of them in the order of their addresses."""
    rows = await connection.execute(
        text(
            "SELECT m.id, m.address, u.name AS user, m.display_name, m.smtp_host, m.smtp_port, m.smtp_security,"
            " coalesce(c.username, o.username) AS username, coalesce(c.key_id, o.key_id) AS key_id,"
            " o.application AS oauth_application, m.active, m.hold_reason, m.enrolled_at, m.changed_at, q.quota, q.sent,"
            " q.in_doubt FROM mailboxes m JOIN users u ON u.id = m.user_id LEFT JOIN credentials c ON c.mailbox_id = m.id"
            " LEFT JOIN oauth_tokens o ON o.mailbox_id = m.id"
            " LEFT JOIN quotas q ON q.mailbox_id = m.id AND q.day = fleet_day()"
            " WHERE CAST(:address AS text) IS NULL OR lower(m.address) = :address ORDER BY m.address"
        ),
        {"address": identity(address) if address else None},
    )
    return [Shown(**row._mapping) for row in rows]


def _password(row: Any, keys: Keys) -> str | None:
    if row.key_id is None:
        return None
    try:
        return keys.open(row.address, Sealed(row.key_id, row.nonce, row.ciphertext))
    except Undecipherable:
        return None


def _imported(row: Any, keys: Keys) -> str | None:
    if row.o_key_id is None:
        return None
    try:
        return keys.open_tokens(row.address, Sealed(row.o_key_id, row.o_nonce, row.o_ciphertext)).imported
    except Undecipherable:
        return None


async def _lock(connection: AsyncConnection) -> None:
    await database.unhurried(connection, _LOCK_SECONDS)
    try:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    except DBAPIError as error:
        if sqlstate(error) == _LOCK_NOT_AVAILABLE:
            raise EnrolmentBusy(
                f"Another import has been running for more than {_LOCK_SECONDS} s; nothing was written."
                " Try again when it has ended."
            ) from None
        raise


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def _columns(mailboxes: Sequence[Mailbox]) -> dict[str, list[Any]]:
    names = ("email", "user", "smtp_host", "smtp_port", "smtp_security", "display_name", *enrolment.HOURS)
    return {name: [getattr(mailbox, name) for mailbox in mailboxes] for name in names}


async def _add(connection: AsyncConnection, added: Sequence[Mailbox], keys: Keys) -> None:
    for chunk in _chunks(added):
        users = list(dict.fromkeys(mailbox.user for mailbox in chunk))
        await connection.execute(
            text(
                "INSERT INTO users (name) SELECT unnest(CAST(:users AS text[])) ON CONFLICT (name) DO NOTHING"
            ),
            {"users": users},
        )
        made = await connection.execute(
            text(
                "INSERT INTO mailboxes (address, user_id, smtp_host, smtp_port, smtp_security, display_name, window_from,"
                "  window_to, time_zone, days, changed_at)"
                " SELECT v.email, u.id, v.smtp_host, v.smtp_port, v.smtp_security, v.display_name, v.window_from,"
                "  v.window_to, v.time_zone, v.days, clock_timestamp()"
                " FROM unnest(CAST(:email AS text[]), CAST(:user AS text[]), CAST(:smtp_host AS text[]),"
                "  CAST(:smtp_port AS integer[]), CAST(:smtp_security AS text[]), CAST(:display_name AS text[]),"
                "  CAST(:window_from AS integer[]), CAST(:window_to AS integer[]), CAST(:time_zone AS text[]),"
                "  CAST(:days AS text[]))"
                "  WITH ORDINALITY AS v (email, name, smtp_host, smtp_port, smtp_security, display_name, window_from,"
                "  window_to, time_zone, days, place)"
                " JOIN users u ON u.name = v.name ORDER BY v.place RETURNING id, address"
            ),
            _columns(chunk),
        )
        ids = {row.address: row.id for row in made}
        made_now = [(ids[mailbox.email], mailbox) for mailbox in chunk]
        await _seal(connection, [it for it in made_now if it[1].oauth_application is None], keys)
        await _seal_tokens(connection, [it for it in made_now if it[1].oauth_application is not None], keys)


async def _change(connection: AsyncConnection, changed: Sequence[Change], keys: Keys) -> None:
    ordered = sorted(changed, key=lambda change: change.mailbox.id or 0)
    for chunk in _chunks(ordered):
        boxes = [change.mailbox for change in chunk]
        ids = [mailbox.id for mailbox in boxes]
        await connection.execute(
            text("SELECT id FROM mailboxes WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE"),
            {"ids": ids},
        )
        await connection.execute(
            text(
                "UPDATE mailboxes m SET smtp_host = v.smtp_host, smtp_port = v.smtp_port,"
                " smtp_security = v.smtp_security, display_name = v.display_name, window_from = v.window_from,"
                " window_to = v.window_to, time_zone = v.time_zone, days = v.days, changed_at = clock_timestamp()"
                " FROM unnest(CAST(:ids AS bigint[]), CAST(:smtp_host AS text[]), CAST(:smtp_port AS integer[]),"
                "  CAST(:smtp_security AS text[]), CAST(:display_name AS text[]), CAST(:window_from AS integer[]),"
                "  CAST(:window_to AS integer[]), CAST(:time_zone AS text[]), CAST(:days AS text[]))"
                "  AS v (id, smtp_host, smtp_port, smtp_security, display_name, window_from, window_to, time_zone, days)"
                " WHERE m.id = v.id"
            ),
            {
                "ids": ids,
                **{name: values for name, values in _columns(boxes).items() if name not in {"email", "user"}},
            },
        )
        renamed = [it.mailbox for it in chunk if {"username", "oauth_application"} & set(it.columns)]
        values = {
            "ids": [mailbox.id for mailbox in renamed],
            "usernames": [mailbox.username for mailbox in renamed],
            "applications": [mailbox.oauth_application for mailbox in renamed],
        }
        for statement in _RENAMES:
            await connection.execute(statement, values)
        mended = [change.mailbox.id or 0 for change in chunk if _MAY_MEND & set(change.columns)]
        await holds.end(connection, mended)
        with_password = [(it.mailbox.id or 0, it.mailbox) for it in chunk if "password" in it.columns]
        await _seal(connection, with_password, keys)
        await connection.execute(_NO_TOKENS, {"ids": [mailbox_id for mailbox_id, _ in with_password]})
        with_tokens = [(it.mailbox.id or 0, it.mailbox) for it in chunk if "refresh_token" in it.columns]
        await _seal_tokens(connection, with_tokens, keys)
        await connection.execute(_NO_PASSWORD, {"ids": [mailbox_id for mailbox_id, _ in with_tokens]})


async def _seal(connection: AsyncConnection, boxes: Sequence[tuple[int, Mailbox]], keys: Keys) -> None:
    """Store the passwords of these mailboxes, under the active key and fresh nonces."""
    sealed = [
        keys.seal(mailbox.email, mailbox.password or "", os.urandom(NONCE_BYTES)) for _, mailbox in boxes
    ]
    await connection.execute(
        text(
            "INSERT INTO credentials (mailbox_id, username, key_id, nonce, ciphertext)"
            " SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:usernames AS text[]), CAST(:key_ids AS text[]),"
            "  CAST(:nonces AS bytea[]), CAST(:ciphertexts AS bytea[]))"
            " ON CONFLICT (mailbox_id) DO UPDATE SET username = excluded.username, key_id = excluded.key_id,"
            "  nonce = excluded.nonce, ciphertext = excluded.ciphertext"
        ),
        {
            "ids": [mailbox_id for mailbox_id, _ in boxes],
            "usernames": [mailbox.username for _, mailbox in boxes],
            "key_ids": [each.key_id for each in sealed],
            "nonces": [each.nonce for each in sealed],
            "ciphertexts": [each.ciphertext for each in sealed],
        },
    )


async def _seal_tokens(connection: AsyncConnection, boxes: Sequence[tuple[int, Mailbox]], keys: Keys) -> None:
    """Store the tokens of these mailboxes. An access token counts for a while only, for nobody said when it ends."""
    sealed = [
        keys.seal_tokens(
            mailbox.email,
            Tokens(
                mailbox.refresh_token or "",
                oauth.fingerprint(mailbox.refresh_token or ""),
                mailbox.access_token,
            ),
            os.urandom(NONCE_BYTES),
        )
        for _, mailbox in boxes
    ]
    await connection.execute(
        text(
            "INSERT INTO oauth_tokens (mailbox_id, username, application, key_id, nonce, ciphertext, access_until)"
            " SELECT v.id, v.username, v.application, v.key_id, v.nonce, v.ciphertext,"
            "  CASE WHEN v.has_access THEN clock_timestamp() + make_interval(secs => :seconds) END"
            " FROM unnest(CAST(:ids AS bigint[]), CAST(:usernames AS text[]), CAST(:applications AS text[]),"
            "  CAST(:key_ids AS text[]), CAST(:nonces AS bytea[]), CAST(:ciphertexts AS bytea[]), CAST(:has_access AS boolean[]))"
            "  AS v (id, username, application, key_id, nonce, ciphertext, has_access)"
            " ON CONFLICT (mailbox_id) DO UPDATE SET username = excluded.username, application = excluded.application,"
            "  key_id = excluded.key_id, nonce = excluded.nonce, ciphertext = excluded.ciphertext,"
            "  access_until = excluded.access_until, refresh_until = NULL"
        ),
        {
            "ids": [mailbox_id for mailbox_id, _ in boxes],
            "usernames": [mailbox.username for _, mailbox in boxes],
            "applications": [mailbox.oauth_application for _, mailbox in boxes],
            "key_ids": [each.key_id for each in sealed],
            "nonces": [each.nonce for each in sealed],
            "ciphertexts": [each.ciphertext for each in sealed],
            "has_access": [mailbox.access_token is not None for _, mailbox in boxes],
            "seconds": oauth.UNSAID_SECONDS,
        },
    )
