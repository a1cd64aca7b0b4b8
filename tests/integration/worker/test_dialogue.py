"""The dialogue with a submission server: AUTH only inside verified TLS, the phase of each failure, and what the dot decides."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiosmtplib.auth import auth_plain_encode

from tests.integration.worker.fleet import PATIENT, QUICK, password_of
from tests.ports import free_port
from tests.submission import faults
from tests.submission.accounts import derived
from tests.submission.authority import Authority
from tests.submission.faults import Exchange, Step
from tests.submission.server import Submission
from warmup_core.types import MailState, Refused
from warmup_worker.content import Mail
from warmup_worker.mailer import Mailer, Verdict
from warmup_worker.network import parse_networks
from warmup_worker.sasl import Login
from warmup_worker.session import NotConnected, Server, Session
from warmup_worker.timing import Timing
from warmup_worker.trust import Secured, trusted_authorities

ADDRESS = "ann@orchard.example"
MAIL = Mail(
    ADDRESS, "ben@depot.example", "<1@orchard.example>", b"Message-ID: <1@orchard.example>\r\n\r\nhello\r\n"
)
LOOPBACK = parse_networks(["127.0.0.0/8"])
UNLESS_FOR_EVER = 120.0
"""Seconds: no test is decided by less, a wait without an end is by this."""


def context_of(server: Submission) -> ssl.SSLContext:
    return server.authority.client_context()


async def open_session(
    server: Submission,
    *,
    context: ssl.SSLContext | None = None,
    password: str = password_of(ADDRESS),
    timing: Timing = PATIENT,
    **changes: object,
) -> Session:
    where = replace(Server(server.host, server.port, "starttls"), **changes)  # type: ignore[arg-type]
    return await Session.open(
        where,
        Login(ADDRESS, password),
        context=context or context_of(server),
        allowed=LOOPBACK,
        local_hostname="client.example",
        timing=timing,
    )


async def deliver(server: Submission, age: Callable[[], float] = lambda: 0.0) -> tuple[Verdict, Session]:
    session = await open_session(server)
    try:
        return await Mailer(session).deliver(MAIL, age), session
    finally:
        await session.quit()


async def test_a_mail_is_sent_over_verified_tls(submission: Submission) -> None:
    verdict, session = await deliver(submission)
    assert verdict.state is MailState.SENT
    assert verdict.reply.startswith("250 2.0.0 Ok: queued")
    assert session.dotted is not None
    (event,) = submission.journal.accepted
    assert (event.mail_from, event.rcpt_to) == (ADDRESS, ("ben@depot.example",))


async def test_tls_from_the_first_byte(submission: Submission) -> None:
    async with Submission(derived(password_of), tls_port=0) as server:
        session = await open_session(server, security="tls", port=server.tls_port)
        assert (await Mailer(session).deliver(MAIL, lambda: 0.0)).state is MailState.SENT
        await session.quit()


@asynccontextmanager
async def bad_server(kind: str) -> AsyncIterator[tuple[Submission, ssl.SSLContext]]:
    ours = Authority()
    identity = {
        "stripped": ours.issue("127.0.0.1"),
        "expired": ours.issue("127.0.0.1", expired=True),
        "wrong name": ours.issue("elsewhere.example"),
        "unknown authority": Authority().issue("127.0.0.1"),
    }[kind]
    async with Submission(
        derived(password_of), authority=ours, identity=identity, starttls=kind != "stripped", tls_port=0
    ) as server:
        yield server, ours.client_context()


BAD = [
    ("expired", "certificate has expired"),
    ("wrong name", "not valid for '127.0.0.1'"),
    ("unknown authority", "WARMUP_SMTP_CA_FILE"),
]


@pytest.mark.parametrize(
    ("kind", "words", "security"),
    [
        ("stripped", "does not offer STARTTLS", "starttls"),
        *((*bad, security) for bad in BAD for security in ("starttls", "tls")),
    ],
)
async def test_a_server_that_is_not_who_it_should_be_never_sees_the_login(
    kind: str, words: str, security: str
) -> None:
    """F30."""
    async with bad_server(kind) as (server, context):
        port = server.port if security == "starttls" else server.tls_port
        with pytest.raises(NotConnected, match=words) as caught:
            await open_session(server, context=context, security=security, port=port)
        assert caught.value.phase == "tls"
        assert server.journal.of("auth") == []


async def test_a_wrong_password_is_tried_once_and_told_without_it(submission: Submission) -> None:
    with pytest.raises(NotConnected, match=r"535 5\.7\.8") as caught:
        await open_session(submission, password="wrong-password")
    assert caught.value.phase == "auth"
    assert len(submission.journal.of("auth")) == 1
    assert "wrong-password" not in str(caught.value)


async def test_a_server_that_repeats_the_password_does_not_get_it_into_the_reason(
    submission: Submission,
) -> None:
    submission.faults[Step.AUTH] = faults.refuse(f"535 no, {password_of(ADDRESS)} is wrong")
    with pytest.raises(NotConnected, match=r"535 no, \*\*\* is wrong"):
        await open_session(submission)
    sent = auth_plain_encode(ADDRESS, password_of(ADDRESS)).decode()
    submission.faults[Step.AUTH] = faults.refuse(f"535 no, PLAIN {sent} is wrong")
    with pytest.raises(NotConnected, match=r"535 no, PLAIN \*\*\* is wrong"):
        await open_session(submission)


@pytest.mark.parametrize(
    ("step", "phase"), [(Step.MAIL, "mail"), (Step.RCPT, "rcpt"), (Step.DATA, "data"), (Step.DOT, "dot")]
)
async def test_a_refusal_is_a_definite_failure_of_its_phase(
    submission: Submission, step: Step, phase: str
) -> None:
    submission.faults[step] = faults.refuse("451 4.3.0 Try later")
    verdict, session = await deliver(submission)
    assert verdict == Verdict(MailState.FAILED, phase, "451 4.3.0 Try later")
    assert (session.dotted is not None) == (step is Step.DOT)
    assert submission.journal.accepted == []


@pytest.mark.parametrize(("step", "phase"), [(Step.MAIL, "mail"), (Step.RCPT, "rcpt"), (Step.DATA, "data")])
async def test_a_connection_lost_before_the_dot_is_known_undelivered(
    submission: Submission, step: Step, phase: str
) -> None:
    submission.faults[step] = faults.drop
    verdict, session = await deliver(submission)
    assert (verdict.state, verdict.phase) == (MailState.FAILED, phase)
    assert session.dotted is None


@pytest.mark.parametrize("step", [Step.DOT, Step.REPLY])
async def test_a_connection_lost_after_the_dot_leaves_the_mail_in_doubt(
    submission: Submission, step: Step
) -> None:
    """F16: whether the server took it or not, we cannot know."""
    submission.faults[step] = faults.drop
    verdict, _ = await deliver(submission)
    assert (verdict.state, verdict.phase) == (MailState.IN_DOUBT, "dot")
    assert len(submission.journal.accepted) == (step is Step.REPLY)


async def test_a_goodbye_in_the_place_of_the_reply_to_the_dot_leaves_the_mail_in_doubt(
    submission: Submission,
) -> None:
    """The QUIT that goes out behind the dot was answered, the mail was not."""
    submission.faults[Step.DOT] = faults.refuse("221 2.0.0 Bye")
    verdict, _ = await deliver(submission)
    assert (verdict.state, verdict.phase) == (MailState.IN_DOUBT, "dot")
    assert "221 2.0.0 Bye" in verdict.reply


async def test_a_reply_that_comes_later_than_the_dialogues_deadline_is_still_awaited(
    submission: Submission,
) -> None:
    """F17: the deadline ends at the dot."""
    now = asyncio.get_running_loop().time
    for seconds in (0.5, 4.0, 30.0):
        session = await open_session(submission)
        session.deadline = deadline = now() + seconds

        async def late(_: Exchange, deadline: float = deadline) -> str | None:
            await asyncio.sleep(max(0.0, deadline - now()) + 0.2)
            return None

        submission.faults[Step.REPLY] = late
        verdict = await Mailer(session).deliver(MAIL, lambda: 0.0)
        await session.quit()
        if session.dotted is not None:  # else the machine stood still for that long before the dot
            break
    assert verdict.state is MailState.SENT


async def test_no_reply_to_the_dot_for_too_long_is_in_doubt(submission: Submission) -> None:
    submission.faults[Step.REPLY] = faults.silence
    session = await open_session(submission)
    session.timing = replace(PATIENT, reply=0.3)
    verdict = await Mailer(session).deliver(MAIL, lambda: 0.0)
    assert (verdict.state, verdict.reply) == (MailState.IN_DOUBT, "no reply to the dot: no answer in time")


@pytest.mark.parametrize("step", [Step.CONNECT, Step.MAIL, Step.RCPT, Step.DATA])
async def test_one_deadline_for_the_whole_dialogue_up_to_the_dot(submission: Submission, step: Step) -> None:
    """field-008: a server that keeps silent holds a slot for so long and no longer."""
    submission.faults[step] = faults.silence
    async with asyncio.timeout(UNLESS_FOR_EVER):
        if step is Step.CONNECT:
            with pytest.raises(NotConnected, match="no answer in time"):
                await open_session(submission, timing=replace(PATIENT, dialogue=0.5))
        else:
            now = asyncio.get_running_loop().time
            session = await open_session(submission)
            assert session.deadline < now() + PATIENT.dialogue, "it runs since the connection"
            session.deadline = now() + 0.5
            verdict = await Mailer(session).deliver(MAIL, lambda: 0.0)
            await session.quit()
            assert (verdict.state, verdict.reply) == (MailState.FAILED, "no answer in time")
            assert session.dotted is None


async def test_a_server_that_trickles_its_greeting_gets_no_longer_than_a_silent_one() -> None:
    """field-008: each piece comes in time, the whole does not."""
    left = asyncio.Event()

    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"220-wait\r\n")
                await writer.drain()
                await asyncio.sleep(0.1)
        left.set()

    async with (
        await asyncio.start_server(trickle, "127.0.0.1", 0) as server,
        asyncio.timeout(UNLESS_FOR_EVER),
    ):
        with pytest.raises(NotConnected, match="no answer in time") as caught:
            await Session.open(
                Server("127.0.0.1", server.sockets[0].getsockname()[1], "starttls"),
                Login(ADDRESS, "secret"),
                context=ssl.create_default_context(),
                allowed=LOOPBACK,
                local_hostname="client.example",
                timing=replace(QUICK, dialogue=1.0),
            )
        assert caught.value.phase == "connect"
        await left.wait()


async def test_a_server_without_a_goodbye_costs_nothing(submission: Submission) -> None:
    """field-012."""
    submission.faults[Step.QUIT] = faults.drop
    verdict, _ = await deliver(submission)
    assert verdict.state is MailState.SENT
    submission.faults[Step.QUIT] = faults.silence
    async with asyncio.timeout(UNLESS_FOR_EVER):
        verdict, _ = await deliver(submission)
    assert verdict.state is MailState.SENT


async def test_a_claim_too_old_for_mail_from_is_handed_back_before_a_word(submission: Submission) -> None:
    verdict, session = await deliver(submission, lambda: PATIENT.claim_to_mail + 0.1)
    assert (verdict.state, verdict.handed_back, session.dotted) == (MailState.FAILED, True, None)
    assert submission.journal.of("mail-from") == []


async def test_a_claim_too_old_for_the_dot_gets_none(submission: Submission) -> None:
    """F36: the body is written, the dot is not, and the server has accepted nothing."""
    ages = iter([0.0, PATIENT.claim])
    verdict, session = await deliver(submission, lambda: next(ages))
    assert (verdict.state, verdict.handed_back, session.dotted) == (MailState.FAILED, True, None)
    assert len(submission.journal.of("mail-from")) == 1
    await asyncio.sleep(0)
    assert submission.journal.accepted == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "169.254.169.254", "10.0.0.1"])
async def test_a_host_that_is_not_on_the_public_internet_is_refused_unless_allowed(host: str) -> None:
    """F32: refused by its address, after resolution, before a packet is sent."""
    with pytest.raises(NotConnected, match="allowedNetworks does not allow it") as caught:
        await Session.open(
            Server(host, 9, "starttls"),
            Login(ADDRESS, "secret"),
            context=ssl.create_default_context(),
            allowed=(),
            local_hostname="client.example",
            timing=PATIENT,
        )
    assert caught.value.phase == "connect"


async def test_a_refused_connection_names_address_and_port() -> None:
    port = free_port()
    with pytest.raises(NotConnected, match=f"connection refused 127.0.0.1:{port}"):
        await Session.open(
            Server("127.0.0.1", port, "starttls"),
            Login(ADDRESS, "secret"),
            context=ssl.create_default_context(),
            allowed=LOOPBACK,
            local_hostname="client.example",
            timing=PATIENT,
        )


def test_a_changed_ca_file_is_trusted_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    path.write_bytes(Authority("one").pem)
    current = trusted_authorities(path)
    before = current()
    assert current() is before
    path.write_bytes(Authority("one").pem + Authority("another of a longer name").pem)
    assert "another of a longer name" in str(current().get_ca_certs())
    path.write_text("no certificate")
    assert "another of a longer name" in str(current().get_ca_certs())
    with pytest.raises(Refused, match="no certificates"):
        trusted_authorities(path)


async def test_the_next_connection_to_a_verified_host_resumes_its_session(
    submission: Submission, tmp_path: Path
) -> None:
    """Full handshake once; another name begins anew, and so does a changed file."""
    path = tmp_path / "ca.crt"
    path.write_bytes(submission.authority.pem)
    context = trusted_authorities(path)

    async def resumed(host: str = "127.0.0.1") -> bool:
        session = await open_session(submission, context=context(), host=host)
        secured = session.connection.secured
        assert secured is not None
        session.close()
        return bool(secured.session_reused)

    assert [await resumed() for _ in range(3)] == [False, True, True]
    assert not await resumed("localhost")
    path.write_bytes(submission.authority.pem + b"\n")
    assert [await resumed() for _ in range(2)] == [False, True]


async def test_a_server_that_resumes_nothing_is_soon_not_asked(tmp_path: Path) -> None:
    offered = []
    async with Submission(derived(password_of), tickets=False) as server:
        (tmp_path / "ca.crt").write_bytes(server.authority.pem)
        context = trusted_authorities(tmp_path / "ca.crt")()
        for _ in range(8):
            session = await open_session(server, context=context)
            secured = session.connection.secured
            assert isinstance(secured, Secured)
            assert not secured.session_reused
            offered.append(secured.offered is not None)
            session.close()
    assert offered == [False, True, True, True, True, False, False, False]


async def test_a_host_that_has_changed_the_group_it_answers_in_is_met_anew(tmp_path: Path) -> None:
    """Who resumes offers one group only. A server set up anew may not take it: one connection fails, no further one does."""
    async with Submission(derived(password_of)) as server:
        (tmp_path / "ca.crt").write_bytes(server.authority.pem)
        context = trusted_authorities(tmp_path / "ca.crt")()

        async def group() -> int | None:
            session = await open_session(server, context=context)
            session.close()
            return session.connection.group

        server.tls.set_ecdh_curve("X25519")
        assert [await group() for _ in range(2)] == [0x1D, 0x1D]
        server.tls.set_ecdh_curve("prime256v1")
        with pytest.raises(NotConnected) as failure:
            await group()
        assert failure.value.phase == "tls"
        assert [await group() for _ in range(2)] == [0x17, 0x17]
