"""The SQL of enrolment: what is enrolled, and one transaction that makes it what a file asks for.

Invariants: all or nothing; imports queue behind one another (an advisory lock of the transaction); rows are locked in the order
of their ids, as workers do; ``changed_at`` moves only where something changed, so that workers hear of that and of nothing else.
A mailbox that is held and gets another login is held no more, for that may be what was wrong.
Never touched here: ``active``, ``in_flight``, quotas, the ledger; nor the hold of a mailbox that keeps its login.
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

from warmup_core import enrolment
from warmup_core.addresses import identity
from warmup_core.credentials import NONCE_BYTES, Keys, Sealed, Undecipherable
from warmup_core.database import sqlstate
from warmup_core.enrolment import Change, EnrolmentFile, Mailbox, Plan

T = TypeVar("T")

_LOCK = 0x656E726F6C  # "enrol"
_LOCK_NOT_AVAILABLE = "55P03"
_CHUNK = 10_000
_LOGIN = frozenset({"username", "password"})


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
            " c.username, c.key_id, c.nonce, c.ciphertext"
            " FROM mailboxes m JOIN users u ON u.id = m.user_id LEFT JOIN credentials c ON c.mailbox_id = m.id"
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
            username=row.username or "",
            password=_opened(row, keys),
            display_name=row.display_name,
        )
        for row in rows
    }


async def show(connection: AsyncConnection, address: str | None = None) -> list[Shown]:
    """One mailbox by any spelling of its canonical address, or all of them in the order of their addresses."""
    rows = await connection.execute(
        text(
            "SELECT m.id, m.address, u.name AS user, m.display_name, m.smtp_host, m.smtp_port, m.smtp_security,"
            " c.username, c.key_id, m.active, m.hold_reason, m.enrolled_at, m.changed_at, q.quota, q.sent, q.in_doubt"
            " FROM mailboxes m JOIN users u ON u.id = m.user_id LEFT JOIN credentials c ON c.mailbox_id = m.id"
            " LEFT JOIN quotas q ON q.mailbox_id = m.id AND q.day = fleet_day()"
            " WHERE CAST(:address AS text) IS NULL OR lower(m.address) = :address ORDER BY m.address"
        ),
        {"address": identity(address) if address else None},
    )
    return [Shown(**row._mapping) for row in rows]


def _opened(row: Any, keys: Keys) -> str | None:
    if row.key_id is None:
        return None
    try:
        return keys.open(row.address, Sealed(row.key_id, row.nonce, row.ciphertext))
    except Undecipherable:
        return None


async def _lock(connection: AsyncConnection) -> None:
    await connection.execute(text("SELECT set_config('lock_timeout', '30s', true)"))
    try:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    except DBAPIError as error:
        if sqlstate(error) == _LOCK_NOT_AVAILABLE:
            raise EnrolmentBusy(
                "Another import has been running for more than 30 s; nothing was written. Try again when it has ended."
            ) from None
        raise


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def _columns(mailboxes: Sequence[Mailbox]) -> dict[str, list[Any]]:
    names = ("email", "user", "smtp_host", "smtp_port", "smtp_security", "display_name")
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
                "INSERT INTO mailboxes (address, user_id, smtp_host, smtp_port, smtp_security, display_name, changed_at)"
                " SELECT v.email, u.id, v.smtp_host, v.smtp_port, v.smtp_security, v.display_name, clock_timestamp()"
                " FROM unnest(CAST(:email AS text[]), CAST(:user AS text[]), CAST(:smtp_host AS text[]),"
                "  CAST(:smtp_port AS integer[]), CAST(:smtp_security AS text[]), CAST(:display_name AS text[]))"
                "  WITH ORDINALITY AS v (email, name, smtp_host, smtp_port, smtp_security, display_name, place)"
                " JOIN users u ON u.name = v.name ORDER BY v.place RETURNING id, address"
            ),
            _columns(chunk),
        )
        ids = {row.address: row.id for row in made}
        await _seal(connection, [(ids[mailbox.email], mailbox) for mailbox in chunk], keys)


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
                " smtp_security = v.smtp_security, display_name = v.display_name, changed_at = clock_timestamp()"
                " FROM unnest(CAST(:ids AS bigint[]), CAST(:smtp_host AS text[]), CAST(:smtp_port AS integer[]),"
                "  CAST(:smtp_security AS text[]), CAST(:display_name AS text[]))"
                "  AS v (id, smtp_host, smtp_port, smtp_security, display_name) WHERE m.id = v.id"
            ),
            {
                "ids": ids,
                **{name: values for name, values in _columns(boxes).items() if name not in {"email", "user"}},
            },
        )
        renamed = [change.mailbox for change in chunk if "username" in change.columns]
        await connection.execute(
            text(
                "UPDATE credentials c SET username = v.username"
                " FROM unnest(CAST(:ids AS bigint[]), CAST(:usernames AS text[])) AS v (id, username)"
                " WHERE c.mailbox_id = v.id"
            ),
            {
                "ids": [mailbox.id for mailbox in renamed],
                "usernames": [mailbox.username for mailbox in renamed],
            },
        )
        mended = [change.mailbox.id for change in chunk if _LOGIN & set(change.columns)]
        await connection.execute(
            text(
                "UPDATE mailboxes SET hold_reason = NULL, not_before = clock_timestamp()"
                " WHERE id = ANY(CAST(:ids AS bigint[])) AND hold_reason IS NOT NULL"
            ),
            {"ids": mended},
        )
        resealed = [change.mailbox for change in chunk if "password" in change.columns]
        await _seal(connection, [(mailbox.id or 0, mailbox) for mailbox in resealed], keys)


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
