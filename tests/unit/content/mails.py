"""Mails composed for tests, and read back by Python's strict parser."""

import email
import email.policy
from collections.abc import Sequence
from datetime import UTC, date, datetime
from email.message import EmailMessage

from warmup_core.templates import Template
from warmup_worker.answering import Thread
from warmup_worker.claiming import Claim
from warmup_worker.content import Mail, compose
from warmup_worker.wording import built_in

DAY = date(2026, 11, 25)
STRICT = email.policy.SMTPUTF8.clone(raise_on_defect=True)


def claim(
    mail_id: int = 7,
    recipient: str = "ben@leaf.example",
    recipient_name: str = "Ben Leaf",
    thread: Thread | None = None,
) -> Claim:
    at = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
    return Claim(1, mail_id, DAY, 0, at, 2, recipient, recipient_name, 0, 0.0, thread)


def mail(
    it: Claim | None = None,
    sender: str = "ada@tea.example",
    name: str = "Ada Tea",
    templates: Sequence[Template] | None = None,
) -> Mail:
    return compose(it or claim(), sender, name, "t0ken", built_in() if templates is None else templates)


def read(made: Mail) -> EmailMessage:
    """Parse strictly; any defect of any part raises."""
    parsed = email.message_from_bytes(made.message, policy=STRICT)
    assert isinstance(parsed, EmailMessage)
    for part in parsed.walk():
        assert not part.defects
        for name in part:
            assert not part[name].defects, (name, part[name].defects)
        if not part.is_multipart():
            part.get_content()
    return parsed


def texts(parsed: EmailMessage) -> list[str]:
    """The decoded text parts, with line ends as Python has them."""
    return [part.get_content().replace("\r\n", "\n") for part in parsed.walk() if not part.is_multipart()]
