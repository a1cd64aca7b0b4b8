"""The judge is judged first: what the submission server takes, refuses, writes down, and how it misbehaves when asked to."""

import asyncio
import contextlib
import json
import signal
import smtplib
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from tests.submission import faults
from tests.submission.accounts import derived, table
from tests.submission.authority import Authority
from tests.submission.faults import Step
from tests.submission.journal import parse
from tests.submission.server import Submission
from tests.waiting import cancelled

ADA, BEN = "ada@tea.example", "ben@coffee.example"
ACCOUNTS = table({ADA: "leaf", BEN: "bean"})
MAIL = b"Message-ID: <1@tea.example>\r\nSubject: Hello\r\n\r\nHello.\r\n"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Submission]:
    async with Submission(ACCOUNTS, tls_port=0, log=tmp_path / "events.jsonl") as running:
        yield running


@contextlib.asynccontextmanager
async def client(
    server: Submission, login: str = ADA, password: str = "leaf"
) -> AsyncIterator[aiosmtplib.SMTP]:
    smtp = aiosmtplib.SMTP(
        hostname="127.0.0.1",
        port=server.port,
        start_tls=True,
        tls_context=server.authority.client_context(),
        timeout=60,
    )
    await smtp.connect()
    try:
        await smtp.login(login, password)
        yield smtp
    finally:
        smtp.close()


async def send(smtp: aiosmtplib.SMTP, content: bytes = MAIL) -> str:
    await smtp.mail(ADA)
    await smtp.rcpt(BEN)
    return (await smtp.data(content)).message


async def test_a_mail_over_starttls_is_accepted_and_written_down(server: Submission, tmp_path: Path) -> None:
    async with client(server) as smtp:
        await send(smtp)
    [mail] = server.journal.accepted
    assert (mail.mail_from, mail.rcpt_to, mail.message_id) == (ADA, (BEN,), "<1@tea.example>")
    assert mail.bytes == len(MAIL)
    assert mail.tls == "TLSv1.3"
    lines = (tmp_path / "events.jsonl").read_text()
    assert parse(lines.splitlines()) == server.journal.events
    assert [event.kind for event in server.journal.events] == [
        "connect",
        "tls",
        "auth",
        "mail-from",
        "accepted",
    ]
    assert "leaf" not in lines


async def test_a_mail_over_implicit_tls_is_accepted(server: Submission) -> None:
    smtp = aiosmtplib.SMTP(
        hostname="127.0.0.1",
        port=server.tls_port,
        use_tls=True,
        tls_context=server.authority.client_context(),
    )
    async with smtp:
        await smtp.login(ADA, "leaf")
        await send(smtp)
    assert [mail.tls for mail in server.journal.accepted] == ["TLSv1.3"]


async def test_nothing_goes_before_tls(server: Submission) -> None:
    smtp = aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, start_tls=False)
    async with smtp:
        await smtp.ehlo()
        assert not smtp.supports_extension("auth")
        assert smtp.supports_extension("starttls")
        refused = await smtp.execute_command(b"AUTH", b"PLAIN", b"AGFkYUB0ZWEuZXhhbXBsZQBsZWFm")
        assert refused.code == 538
        with pytest.raises(aiosmtplib.SMTPResponseException) as error:
            await smtp.mail(ADA)
        assert error.value.code == 530
    [tried] = server.journal.of("auth")
    assert (tried.tls, tried.ok, tried.login) == (None, False, None)


async def test_a_wrong_password_and_an_unknown_login_are_refused(server: Submission) -> None:
    for login in (ADA, "nobody@tea.example"):
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as error:
            async with client(server, login, "wrong"):
                pass
        assert error.value.code == 535
    assert {(event.login, event.ok) for event in server.journal.of("auth")} == {
        (ADA, False),
        ("nobody@tea.example", False),
    }


async def test_only_the_logins_own_address_may_send(server: Submission) -> None:
    async with client(server) as smtp:
        with pytest.raises(aiosmtplib.SMTPResponseException) as error:
            await smtp.mail(BEN)
    assert error.value.code == 553
    assert [event.mail_from for event in server.journal.of("mail-from")] == [BEN]


async def test_passwords_may_follow_a_rule() -> None:
    async with (
        Submission(derived(lambda login: login[::-1])) as server,
        client(server, ADA, ADA[::-1]) as smtp,
    ):
        await send(smtp)
    assert len(server.journal.accepted) == 1


@pytest.mark.parametrize("step", [Step.MAIL, Step.RCPT, Step.DATA, Step.DOT])
async def test_a_refusal_at_each_step_accepts_nothing(server: Submission, step: Step) -> None:
    server.faults[step] = faults.first(1, faults.refuse("451 4.3.0 Try later"))
    async with client(server) as smtp:
        with pytest.raises((aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused)):
            await send(smtp)
        assert server.journal.accepted == []
        await smtp.rset()
        await send(smtp)
    assert [event.reply for event in server.journal.of("refused")] == ["451 4.3.0 Try later"]
    assert len(server.journal.accepted) == 1


@pytest.mark.parametrize(
    ("step", "accepted"),
    [(Step.MAIL, 0), (Step.RCPT, 0), (Step.DATA, 0), (Step.BODY, 0), (Step.DOT, 0), (Step.REPLY, 1)],
)
async def test_a_connection_can_be_cut_at_each_step(server: Submission, step: Step, accepted: int) -> None:
    server.faults[step] = faults.drop
    async with client(server) as smtp:
        with pytest.raises((aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPReadTimeoutError)):
            await send(smtp)
    assert len(server.journal.accepted) == accepted
    assert len(server.journal.of("dropped")) == 1


async def test_a_late_reply_finds_the_mail_accepted_before(server: Submission) -> None:
    late = asyncio.Event()
    server.faults[Step.REPLY] = faults.hold(late)
    async with client(server) as smtp:
        sending = asyncio.create_task(send(smtp))
        await server.journal.until("accepted")
        assert not sending.done()
        late.set()
        await sending
    assert len(server.journal.accepted) == 1


async def test_a_client_that_leaves_after_its_dot_has_sent_its_mail(server: Submission) -> None:
    server.faults[Step.REPLY] = faults.silence
    async with client(server) as smtp:
        sending = asyncio.create_task(send(smtp))
        await server.journal.until("accepted")
        assert not sending.done()
        await cancelled(sending)
    assert len(server.journal.accepted) == 1


async def test_a_fault_can_be_for_one_sender_only(server: Submission) -> None:
    server.faults[Step.AUTH] = faults.refuse("454 4.7.0 Not now")
    server.faults[Step.MAIL] = faults.only(
        lambda exchange: exchange.login == BEN, faults.refuse("550 5.7.1 No")
    )
    with pytest.raises(aiosmtplib.SMTPAuthenticationError):
        async with client(server):
            pass
    del server.faults[Step.AUTH]
    async with client(server) as smtp:
        await send(smtp)
    assert len(server.journal.accepted) == 1


async def test_quit_may_go_unanswered(server: Submission) -> None:
    server.faults[Step.QUIT] = faults.silence
    async with client(server) as smtp:
        await send(smtp)
        with pytest.raises(aiosmtplib.SMTPReadTimeoutError):
            await smtp.quit(timeout=0.2)


async def test_a_greeting_may_be_a_refusal(server: Submission) -> None:
    server.faults[Step.CONNECT] = faults.refuse("421 4.3.2 Too busy")
    with pytest.raises(aiosmtplib.SMTPConnectResponseError) as error:
        async with client(server):
            pass
    assert error.value.code == 421


async def test_a_stripped_starttls_baits_with_auth_in_clear_text() -> None:
    async with Submission(ACCOUNTS, starttls=False) as server:
        smtp = aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, start_tls=False)
        async with smtp:
            await smtp.ehlo()
            assert not smtp.supports_extension("starttls")
            await smtp.login(ADA, "leaf")
    assert [(event.tls, event.ok) for event in server.journal.of("auth")] == [(None, True)]


@pytest.mark.parametrize("case", ["expired", "wrong name", "unknown authority"])
async def test_a_bad_certificate_is_one_that_clients_refuse(case: str) -> None:
    authority = Authority()
    identity = {
        "expired": lambda: authority.issue("127.0.0.1", expired=True),
        "wrong name": lambda: authority.issue("elsewhere.example"),
        "unknown authority": lambda: Authority().issue("127.0.0.1"),
    }[case]()
    async with Submission(ACCOUNTS, authority=authority, identity=identity) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            async with client(server):
                pass
    assert server.journal.of("auth") == []


def test_it_runs_in_a_thread() -> None:
    with Submission(ACCOUNTS).in_thread() as server:
        mail = EmailMessage()
        mail["Message-ID"] = "<2@tea.example>"
        mail.set_content("..Two dots.\n")
        with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as smtp:
            smtp.starttls(context=server.authority.client_context())
            smtp.login(ADA, "leaf")
            smtp.send_message(mail, ADA, [BEN])
    assert [event.message_id for event in server.journal.accepted] == ["<2@tea.example>"]


def test_it_runs_as_a_program_and_keeps_its_identity(tmp_path: Path) -> None:
    table_file = tmp_path / "mailboxes.csv"
    table_file.write_text("email,user,username,password\nada@tea.example,ada,ada-login,leaf\n")
    command = [sys.executable, "-m", "tests.submission", "--directory", str(tmp_path / "made")]
    command += ["--user-table", str(table_file)]
    authorities = set()
    for run in (1, 2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                port = int(process.stdout.readline().split(",")[0].rpartition(":")[2])
                authorities.add((tmp_path / "made" / "ca.crt").read_text())
                trust = ssl.create_default_context(cafile=str(tmp_path / "made" / "ca.crt"))
                with smtplib.SMTP("127.0.0.1", port, timeout=60) as smtp:
                    smtp.starttls(context=trust)
                    smtp.login("ada-login", "leaf")
                    smtp.sendmail(ADA, [BEN], f"Message-ID: <{run}@tea.example>\r\n\r\nHello.\r\n")
            finally:
                process.send_signal(signal.SIGTERM)
        assert process.returncode == 0
    assert len(authorities) == 1
    lines = (tmp_path / "made" / "events.jsonl").read_text().splitlines()
    accepted = [json.loads(line)["message_id"] for line in lines if json.loads(line)["kind"] == "accepted"]
    assert accepted == ["<1@tea.example>", "<2@tea.example>"]
