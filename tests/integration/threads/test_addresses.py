"""Addresses that are not plain: quoted ones go everywhere, those beyond ASCII only where the server offers SMTPUTF8."""

from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.worker.fleet import EAGER, KEYS, Fleet, password_of
from tests.submission.accounts import derived
from tests.submission.server import Submission
from tests.waiting import until

FIRSTS = EAGER.model_copy(update={"reply_percent": 0})


async def rename(fleet: Fleet, mailbox_id: int, address: str) -> None:
    """Give an enrolled mailbox another address, and its credential with it."""
    sealed = KEYS.seal(address, password_of(address), bytes(11) + bytes([mailbox_id]))
    await fleet.execute(
        "UPDATE credentials SET username = :name, nonce = :nonce, ciphertext = :sealed WHERE mailbox_id = :id",
        name=address, nonce=sealed.nonce, sealed=sealed.ciphertext, id=mailbox_id,
    )  # fmt: skip
    await fleet.execute(
        "UPDATE mailboxes SET address = :address WHERE id = :id", address=address, id=mailbox_id
    )


async def test_quoted_local_parts_go_over_the_wire(fleet: Fleet) -> None:
    await fleet.start(FIRSTS)
    one, _ = await fleet.enrol(2)
    await rename(fleet, one, '"ada b"@xn--mller-tee-q9a.example')
    async with fleet.worker():
        await fleet.mails("sent", 6)
    assert {event.mail_from for event in fleet.server.journal.accepted} == {
        '"ada b"@xn--mller-tee-q9a.example',
        "box1@domain1.example",
    }


async def test_without_smtputf8_a_mailbox_beyond_ascii_rests_with_the_reason_and_is_not_written_to(
    fleet: Fleet,
) -> None:
    await fleet.start(FIRSTS)
    ids = await fleet.enrol(3, users=3)
    await rename(fleet, ids[0], "jörg@domain0.example")

    async def held() -> bool:
        rows = await fleet.rows("SELECT hold_reason FROM mailboxes WHERE id = :id", id=ids[0])
        return "needs SMTPUTF8, which" in (rows[0].hold_reason or "")

    async with fleet.worker():
        await until(held, "a reason that names SMTPUTF8")
        await fleet.mails("sent", 3)
    for event in fleet.server.journal.accepted:
        assert (event.mail_from or "").isascii()
        assert all(it.isascii() for it in event.rcpt_to)
    failed = await fleet.rows("SELECT reply FROM mails WHERE state = 'failed'")
    assert {row.reply for row in failed} <= {
        "handed back: an address is not ASCII, and the sender's server does not offer SMTPUTF8"
    }


async def test_with_smtputf8_mails_go_from_and_to_such_a_mailbox(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    async with Submission(derived(password_of), smtputf8=True) as server:
        ca_file = tmp_path / "ca.crt"
        ca_file.write_bytes(server.authority.pem)
        fleet = Fleet(engine, database_url, server, ca_file)
        await fleet.start(FIRSTS)
        ids = await fleet.enrol(2)
        await rename(fleet, ids[0], "jörg@domain0.example")
        async with fleet.worker():
            await fleet.mails("sent", 6)
        assert {event.mail_from for event in server.journal.accepted} == {
            "jörg@domain0.example",
            "box1@domain1.example",
        }
        assert all("jörg@domain0.example".encode() in it for it in server.contents.values())
