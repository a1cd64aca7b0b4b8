"""A certificate that is not believed is told with its issuer, by STARTTLS and by TLS from the first byte."""

import ssl

import pytest

from tests.integration.oauth.fleet import OAuthFleet
from tests.integration.worker.fleet import KEYS, PATIENT, password_of
from tests.submission.accounts import derived
from tests.submission.authority import Authority
from tests.submission.server import Submission
from warmup_core.credentials import Sealed
from warmup_worker.logins import Logins
from warmup_worker.network import parse_networks
from warmup_worker.session import NotConnected
from warmup_worker.verification import Candidate

LOOPBACK = parse_networks(["127.0.0.0/8"])


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("expired", [False, True])
async def test_the_issuer_and_the_end_are_named_and_the_login_is_not_sent(
    fleet: OAuthFleet, security: str, expired: bool
) -> None:
    """field-015."""
    corporate = Authority("Corp Root CA")
    identity = corporate.issue("127.0.0.1", expired=expired)
    trusted = corporate if expired else Authority("somebody else")
    async with (
        Submission(derived(password_of), authority=corporate, identity=identity, tls_port=0) as server,
        fleet.process() as source,
    ):
        port = server.port if security == "starttls" else server.tls_port
        assert port is not None
        box = Candidate(
            1, 1, "a@corp.example", "127.0.0.1", port, security, "a@corp.example", None, True, None, sealed()
        )
        context = trusted.client_context()
        logins = Logins(lambda: KEYS, source, lambda: context, PATIENT, "client.example")
        for _ in range(2):
            with pytest.raises(NotConnected) as caught:
                await logins.open(box, LOOPBACK)
        assert caught.value.phase == "tls"
        assert "the certificate was issued by CN=Corp Root CA and ends on 20" in caught.value.reason
        assert ("caConfigMapRef" in caught.value.reason) is not expired
        assert ("expired" in caught.value.reason) is expired
        assert server.journal.of("auth") == []
        connections = {it.connection for it in server.journal.of("connect")}
        # Two tries, and one look that is remembered; where TLS comes first, only the look gets that far.
        assert len(connections) == (3 if security == "starttls" else 1)
        if not expired:
            believed = corporate.client_context()
            (
                await Logins(lambda: KEYS, source, lambda: believed, PATIENT, "c.example").open(box, LOOPBACK)
            ).close()


async def test_a_context_that_does_not_verify_never_logs_in(fleet: OAuthFleet) -> None:
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    server = fleet.server
    box = Candidate(
        1,
        1,
        "a@corp.example",
        server.host,
        server.port,
        "starttls",
        "a@corp.example",
        None,
        True,
        None,
        sealed(),
    )
    async with fleet.process() as source:
        with pytest.raises(NotConnected, match="the connection is not secured; the login is not sent"):
            await Logins(lambda: KEYS, source, lambda: unverified, PATIENT, "client.example").open(
                box, LOOPBACK
            )
    assert server.journal.of("auth") == []


def sealed() -> Sealed:
    return KEYS.seal("a@corp.example", password_of("a@corp.example"), bytes(12))
