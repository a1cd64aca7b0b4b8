"""XOAUTH2 on a real socket: where the token stands, what a refused one is answered with, what may be told of it."""

import base64
from collections.abc import AsyncIterator

import pytest

from tests.integration.worker.fleet import PATIENT, password_of
from tests.submission import faults
from tests.submission.accounts import derived
from tests.submission.faults import Step
from tests.submission.server import Submission
from warmup_core.types import MailState
from warmup_worker.content import Mail
from warmup_worker.mailer import Mailer
from warmup_worker.network import parse_networks
from warmup_worker.reactions import Concerned, react
from warmup_worker.sasl import Bearer, Login
from warmup_worker.session import NotConnected, Server, Session

ADDRESS = "ann@orchard.example"
MAIL = Mail(
    ADDRESS, "ben@depot.example", "<1@orchard.example>", b"Message-ID: <1@orchard.example>\r\n\r\nhello\r\n"
)


def token_of(address: str) -> str:
    """An access token of 1,800 characters, as large providers give them."""
    return f"eyJ0eXAi.{address}.".ljust(1800, "Q")


@pytest.fixture
async def server() -> AsyncIterator[Submission]:
    """Strict: it refuses command lines over 512 octets, as RFC 5321 lets it."""
    async with Submission(derived(password_of), tokens=derived(token_of)) as running:
        yield running


async def log_in(server: Submission, login: Bearer | Login) -> Session:
    return await Session.open(
        Server(server.host, server.port, "starttls"),
        login,
        context=server.authority.client_context(),
        allowed=parse_networks(["127.0.0.0/8"]),
        local_hostname="client.example",
        timing=PATIENT,
    )


async def test_a_mailbox_logs_in_with_its_token_and_sends(server: Submission) -> None:
    session = await log_in(server, Bearer(ADDRESS, token_of(ADDRESS)))
    assert (await Mailer(session).deliver(MAIL, lambda: 0.0)).state is MailState.SENT
    await session.quit()
    assert [(it.login, it.ok) for it in server.journal.of("auth")] == [(ADDRESS, True)]


async def test_a_password_longer_than_a_command_line_waits_for_its_challenge() -> None:
    """RFC 4954 section 4 is about every mechanism."""
    async with Submission(derived(lambda _: "p" * 600)) as server:
        (await log_in(server, Login(ADDRESS, "p" * 600))).close()


async def test_a_refused_token_is_answered_with_an_empty_line_and_told_with_the_servers_error(
    server: Submission,
) -> None:
    """field-020: the server would wait for that line until the deadline."""
    with pytest.raises(NotConnected) as caught:
        await log_in(server, Bearer(ADDRESS, "of-yesterday"))
    assert caught.value.phase == "auth"
    assert caught.value.reason == (
        "535 5.7.8 Authentication credentials invalid (after the error "
        '{"status": "401", "schemes": "bearer", "scope": "https://mail.example/"})'
    )
    assert len(server.journal.of("auth")) == 1
    reaction = react("auth", caught.value.reason, Concerned(1, ADDRESS, "mail.example"), 0, 0.5, lambda *_: 0)
    assert reaction.hold.startswith("bad-credentials: ")
    assert '"status": "401"' in reaction.hold


async def test_a_server_without_xoauth2_never_sees_the_token() -> None:
    async with Submission(derived(password_of)) as server:
        with pytest.raises(NotConnected, match=r"no login that is known here \(XOAUTH2\), only .*plain"):
            await log_in(server, Bearer(ADDRESS, token_of(ADDRESS)))
        assert server.journal.of("auth") == []


@pytest.mark.parametrize("login", [Bearer(ADDRESS, token_of(ADDRESS)), Login(ADDRESS, password_of(ADDRESS))])
@pytest.mark.parametrize("step", [Step.LOGIN, Step.MAIL, Step.RCPT, Step.DATA, Step.DOT, Step.REPLY])
async def test_a_server_that_repeats_the_login_does_not_get_it_into_what_is_kept(
    server: Submission, login: Bearer | Login, step: Step
) -> None:
    secret = login.token if isinstance(login, Bearer) else login.password
    server.faults[step] = faults.parrot(f"{250 if step is Step.REPLY else 550} 5.7.1 I know: {{}}")
    if step is Step.LOGIN:
        with pytest.raises(NotConnected) as caught:
            await log_in(server, login)
        kept = caught.value.reason
    else:
        session = await log_in(server, login)
        kept = (await Mailer(session).deliver(MAIL, lambda: 0.0)).reply
        await session.quit()
    assert "5.7.1 I know: *** ***" in kept
    assert secret[:12] not in kept
    assert base64.b64encode(secret.encode()).decode()[:12] not in kept
