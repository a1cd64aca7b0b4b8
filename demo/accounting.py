"""The account of a demo: what was due, what the SMTP server's own log says was accepted, what the ledger says of it. Pure.

``sent`` is counted from the server's log. Every discrepancy is named: a Message-ID accepted twice, a row that claims more than
the log knows, an acceptance that no row stands for, a mail due and neither sent nor in doubt, a mailbox over its quota, a wrong
sender or recipient. ``complete`` only if there is none. The tables are witnesses here, never judges.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from warmup_core.ledger import message_id
from warmup_core.types import MailState

LEDGER = """
SELECT coalesce(json_agg(json_build_object('day', m.day, 'id', m.id, 'token', f.token, 'state', m.state, 'worker', m.number,
 'sender', s.address, 'recipient', r.address)), '[]')
FROM mails m CROSS JOIN fleet f JOIN mailboxes s ON s.id = m.mailbox_id JOIN mailboxes r ON r.id = m.recipient_id
"""
"""The whole ledger as one JSON text, for ``parse_ledger``."""


@dataclass(frozen=True)
class Acceptance:
    """A mail that the server took, from its log."""

    message_id: str | None
    sender: str | None
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class LedgerMail:
    """A row of the ledger."""

    message_id: str
    sender: str
    recipient: str
    state: MailState
    worker: int


@dataclass(frozen=True)
class Account:
    """The figures, and every discrepancy in words."""

    mailboxes: int
    due: int
    sent: int
    in_doubt: int
    duplicates: int
    lost: int
    workers: int
    discrepancies: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every mail due is accounted for, once."""
        clean = not self.discrepancies and self.duplicates == 0 and self.lost == 0
        return clean and self.sent + self.in_doubt == self.due

    def line(self, prefix: str, seconds: float) -> str:
        """The last line of a demo."""
        return (
            f"{prefix}: mailboxes={self.mailboxes} due={self.due} sent={self.sent} in_doubt={self.in_doubt}"
            f" duplicates={self.duplicates} lost={self.lost} workers={self.workers} seconds={seconds:.0f}"
        )


def parse_ledger(text: str) -> list[LedgerMail]:
    """Read what the query ``LEDGER`` answered."""
    return [
        LedgerMail(
            message_id(
                date.fromisoformat(row["day"]), row["id"], row["token"], row["sender"].rpartition("@")[2]
            ),
            row["sender"],
            row["recipient"],
            MailState(row["state"]),
            row["worker"],
        )
        for row in json.loads(text)
    ]


def account(
    acceptances: Sequence[Acceptance], ledger: Sequence[LedgerMail], quotas: Mapping[str, int]
) -> Account:
    """Lay the log beside the ledger. ``quotas``: the mails each address was to send, as they were asked for."""
    rows = {row.message_id: row for row in ledger}
    first: dict[str, Acceptance] = {}
    said: list[str] = [
        f"{_id}: is the name of {n} rows" for _id, n in _repeated(row.message_id for row in ledger)
    ]
    duplicates = unknown = 0
    for acceptance in acceptances:
        name = acceptance.message_id or "a mail without a Message-ID"
        if acceptance.message_id in first:
            duplicates += 1
            said.append(f"{name}: accepted again")
            continue
        if acceptance.message_id is not None:
            first[acceptance.message_id] = acceptance
        row = rows.get(acceptance.message_id or "")
        if row is None or row.state in {MailState.INTENT, MailState.FAILED}:
            unknown += 1
            said.append(
                f"{name}: accepted, "
                + ("but no row stands for it" if row is None else f"but its row says {row.state}")
            )
        if row is not None and (acceptance.sender, acceptance.recipients) != (row.sender, (row.recipient,)):
            said.append(
                f"{name}: accepted from {acceptance.sender} to {', '.join(acceptance.recipients)}, "
                f"but its row says from {row.sender} to {row.recipient}"
            )
    claimed = [row for row in ledger if row.state is MailState.SENT and row.message_id not in first]
    said += [f"{row.message_id}: its row says sent, but it was never accepted" for row in claimed]
    in_doubt = [row for row in ledger if row.state is MailState.IN_DOUBT]
    doubtful = {row.message_id for row in in_doubt}
    sent = [it for name, it in first.items() if name not in doubtful]
    missing = 0
    done = Counter(it.sender for it in sent) + Counter(row.sender for row in in_doubt)
    for address in sorted({*quotas, *(sender or "" for sender in done)}):
        quota, count = quotas.get(address, 0), done[address]
        if count < quota:
            missing += quota - count
            said.append(f"{address}: {quota} due, {count} sent or in doubt")
        elif count > quota:
            said.append(f"{address}: {quota} due, {count} sent or in doubt: over the quota")
    return Account(
        mailboxes=len(quotas),
        due=sum(quotas.values()),
        sent=len(sent) + sum(acceptance.message_id is None for acceptance in acceptances),
        in_doubt=len(in_doubt),
        duplicates=duplicates,
        lost=len(claimed) + unknown + missing,
        workers=len({row.worker for row in ledger}),
        discrepancies=tuple(said),
    )


def _repeated(names: Iterable[str]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in Counter(names).items() if count > 1]
