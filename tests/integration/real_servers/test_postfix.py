"""Two worker processes send through Postfix with Dovecot's SASL, and the mails are read back from the recipients' Maildirs."""

from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worker.fleet import EAGER, KEYS, UNHURRIED, Fleet, password_of
from tests.integration.worker.process import environment, started
from tests.postfix.server import Account, Postfix
from tests.waiting import until
from warmup_core.ledger import message_id

pytestmark = pytest.mark.root

ADDRESSES = [f"box{n}@domain{n % 3}.example" for n in range(5)]
BEYOND_ASCII = "jörg.müller@domain2.example"
SUBJECTS = (
    "Grüße aus Łódź – über das Übliche, die Rückfragen und was sonst noch länger dauert",
    "Ça va? Это ещё раз 日本",
)
TEMPLATE = f"""language: de
html: 50
== subject
{SUBJECTS[0]}
{SUBJECTS[1]}
== first
Guten Tag {{{{recipient_name}}}},

.ein Punkt am Anfang der Zeile, und Umlaute: äöü ß.
== answer
Danke, {{{{recipient_first_name}}}}.
"""


@pytest.fixture
def postfix() -> Iterator[Postfix]:
    accounts = [Account(it, it, password_of(it)) for it in ADDRESSES]
    with Postfix([*accounts, Account(BEYOND_ASCII, "joerg", password_of(BEYOND_ASCII))]) as server:
        yield server
    assert not server.daemons(), "a daemon outlives its server"


async def joined(fleet: Fleet, postfix: Postfix) -> None:
    """The mailboxes of these accounts, one of them with an address that only SMTPUTF8 carries."""
    *_, last = await fleet.enrol(
        6, users=6, smtp_host=postfix.host, smtp_port=postfix.port, display_name="Zoë Łąka"
    )
    sealed = KEYS.seal(BEYOND_ASCII, password_of(BEYOND_ASCII), bytes(12))
    await fleet.execute("UPDATE mailboxes SET address = :it WHERE id = :id", it=BEYOND_ASCII, id=last)
    await fleet.execute(
        "UPDATE credentials SET username = 'joerg', nonce = :nonce, ciphertext = :it WHERE mailbox_id = :id",
        nonce=sealed.nonce,
        it=sealed.ciphertext,
        id=last,
    )


async def ledger(fleet: Fleet) -> dict[str, Any]:
    """The mails that were sent, by the Message-ID that their rows make."""
    rows = await fleet.rows(
        "SELECT l.*, s.address AS sender, r.address AS recipient FROM mails l JOIN mailboxes s ON s.id = l.mailbox_id"
        " JOIN mailboxes r ON r.id = l.recipient_id WHERE l.state = 'sent'"
    )
    return {name(fleet, row.id, row.sender): row for row in rows}


def name(fleet: Fleet, mail_id: int, sender: str) -> str:
    return message_id(fleet.day, mail_id, "t0ken", sender.rpartition("@")[2])


def spec(mail: EmailMessage, header: str) -> str:
    """The address in From or To; Python's parser leaves what is UTF-8 there as the bytes it was."""
    found: str = mail[header].addresses[0].addr_spec
    return found.encode("utf-8", "surrogateescape").decode("utf-8")


def all_texts(mail: EmailMessage) -> str:
    return "".join(part.get_content() for part in mail.walk() if part.get_content_maintype() == "text")


async def test_what_postfix_delivers_is_what_the_ledger_says(
    fleet: Fleet, postfix: Postfix, tmp_path: Path
) -> None:
    fleet.ca_file.write_bytes(postfix.authority.pem)
    await fleet.start(
        EAGER.model_copy(update={"emails_per_mailbox_per_day": 6, "reply_percent": 60}), workers=2
    )
    await joined(fleet, postfix)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "de.txt").write_text(TEMPLATE, encoding="utf-8")
    texts = str(tmp_path / "texts")
    with (
        started(environment(fleet, 1, UNHURRIED, WARMUP_TEMPLATES_DIR=texts), tmp_path / "1.log"),
        started(environment(fleet, 2, UNHURRIED, WARMUP_TEMPLATES_DIR=texts), tmp_path / "2.log"),
    ):
        await fleet.mails("sent", 36)
    assert (await fleet.states()).keys() <= {"sent", "failed"}, postfix.log
    expected = await ledger(fleet)

    def delivered() -> bool:
        return sum(len(postfix.mails(it.address)) for it in postfix.accounts) >= 36

    await until(delivered, "Postfix has delivered them all")
    mails: dict[str, EmailMessage] = {}
    for account in postfix.accounts:
        for mail in postfix.mails(account.address):
            assert mail["Message-ID"] not in mails, "delivered twice"
            mails[mail["Message-ID"]] = mail
            row = expected[mail["Message-ID"]]
            assert row.recipient == account.address
            assert mail["Return-Path"].strip("<>") == row.sender
    assert mails.keys() == expected.keys()

    for key, mail in mails.items():
        row = expected[key]
        assert (spec(mail, "From"), spec(mail, "To")) == (row.sender, row.recipient)
        assert mail["From"].addresses[0].display_name == "Zoë Łąka"
        assert mail["X-Warmup-Fleet"] == "t0ken"
        assert mail["Auto-Submitted"] == ("auto-replied" if row.answers_id else "auto-generated")
        assert mail["Subject"].removeprefix("Re: ") in SUBJECTS
        said = all_texts(mail)
        assert (
            "Danke, Zoë." in said
            if row.answers_id
            else "\n.ein Punkt am Anfang der Zeile, und Umlaute: äöü ß." in said
        )
    answers = [(key, row) for key, row in expected.items() if row.answers_id]
    assert len(answers) >= 6
    for key, row in answers:
        answered = mails[name(fleet, row.answers_id, row.recipient)]
        assert mails[key]["In-Reply-To"] == answered["Message-ID"]
        references = str(mails[key]["References"]).split()
        assert references[-1] == answered["Message-ID"]
        first = mails[references[0]]
        assert expected[references[0]].id == row.thread_id
        assert mails[key]["Subject"] == f"Re: {first['Subject']}"
    beyond = [row for row in expected.values() if BEYOND_ASCII in (row.sender, row.recipient)]
    assert {row.sender for row in beyond} > {BEYOND_ASCII}
    assert {row.recipient for row in beyond} > {BEYOND_ASCII}
    # Its daemons hand their lines to another one, which writes them when it comes to it.
    await until(lambda: "sasl_username=joerg" in postfix.log, "the log tells of the login")
    assert "sasl_method=PLAIN" in postfix.log


async def test_what_postfix_and_dovecot_refuse_is_understood(fleet: Fleet, postfix: Postfix) -> None:
    """A wrong password by Dovecot, and an address that is not the login's by Postfix, in their own words."""
    fleet.ca_file.write_bytes(postfix.authority.pem)
    await fleet.start(EAGER.model_copy(update={"emails_per_mailbox_per_day": 1}))
    ids = await fleet.enrol(4, smtp_host=postfix.host, smtp_port=postfix.port)
    wrong = KEYS.seal(ADDRESSES[0], "yesterday's", bytes(12))
    await fleet.execute(
        "UPDATE credentials SET nonce = :nonce, ciphertext = :it WHERE mailbox_id = :id",
        nonce=wrong.nonce,
        it=wrong.ciphertext,
        id=ids[0],
    )
    others = KEYS.seal(ADDRESSES[1], password_of(ADDRESSES[4]), bytes(11) + b"1")
    await fleet.execute(
        "UPDATE credentials SET username = :login, nonce = :nonce, ciphertext = :it WHERE mailbox_id = :id",
        login=ADDRESSES[4],
        nonce=others.nonce,
        it=others.ciphertext,
        id=ids[1],
    )
    async with fleet.worker(timing=UNHURRIED):
        await fleet.mails("sent", 2)
        await until(
            lambda: fleet.rows("SELECT 1 FROM mailboxes HAVING count(hold_reason) = 2"), "two are held"
        )
    reasons = {row.id: row.hold_reason for row in await fleet.rows("SELECT id, hold_reason FROM mailboxes")}
    assert "535 5.7.8 Error: authentication failed" in reasons[ids[0]]
    assert reasons[ids[0]].startswith("login-refused: ")
    assert "Sender address rejected: not owned by user" in reasons[ids[1]]
    assert not await fleet.rows("SELECT 1 FROM pauses")
