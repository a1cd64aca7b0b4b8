"""TLS between two buffers: nothing of the network is needed to see what is said, and when."""

import ssl
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.submission.authority import Authority
from warmup_worker.tls import Tls, group_of
from warmup_worker.trust import Trust

AUTHORITY = Authority()
SERVER = AUTHORITY.issue("mail.example").context()
GROUPS = {"X25519": 0x1D, "prime256v1": 0x17, "secp384r1": 0x18}


class Server:
    """The other side, by Python's own TLS."""

    def __init__(self, context: ssl.SSLContext = SERVER) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def hear(self, octets: bytes) -> None:
        self._incoming.write(octets)

    def shake_hands(self) -> bytes:
        """One step of the handshake; returns what is answered."""
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self._outgoing.read()

    def say(self, words: bytes) -> bytes:
        self.tls.write(words)
        return self._outgoing.read()

    def part(self) -> bytes:
        """Say that nothing more comes."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self._outgoing.read()


def client(host: str = "mail.example") -> Tls:
    return Tls(ssl.create_default_context(cadata=AUTHORITY.pem.decode()), host)


def agreed() -> tuple[Tls, Server]:
    """Both sides once the client has agreed; what it had to say at the end it has not sent yet."""
    tls, server = client(), Server()
    server.hear(tls.outgoing())
    assert not tls.agreed
    assert tls.receive(server.shake_hands()) == b""
    assert tls.agreed
    return tls, server


def test_the_end_of_the_handshake_goes_with_the_first_command() -> None:
    tls, server = agreed()
    tls.protect(b"EHLO client.example\r\n")
    server.hear(tls.outgoing())
    server.shake_hands()
    assert server.tls.read() == b"EHLO client.example\r\n"
    assert tls.outgoing() == b""


def test_what_a_server_says_is_heard_whole_however_it_comes() -> None:
    tls, server = agreed()
    server.hear(tls.outgoing())
    words = b"250 " + b"x" * 40_000 + b"\r\n"
    octets = server.shake_hands() + server.say(words[:100]) + server.say(words[100:])
    heard = b"".join(tls.receive(octets[at : at + 7]) for at in range(0, len(octets), 7))
    assert heard == words
    assert not tls.ended


def test_the_end_of_what_a_server_says_is_told_behind_its_words() -> None:
    tls, server = agreed()
    server.hear(tls.outgoing())
    octets = server.shake_hands() + server.say(b"421 closing\r\n") + server.part()
    assert tls.receive(octets) == b"421 closing\r\n"
    assert tls.ended


def test_another_hosts_certificate_is_refused_and_the_server_is_told_why() -> None:
    tls, server = client("other.example"), Server()
    server.hear(tls.outgoing())
    with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.example"):
        tls.receive(server.shake_hands())
    assert not tls.agreed
    server.hear(tls.outgoing())
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        server.tls.do_handshake()


def test_a_mail_of_many_records_arrives_whole() -> None:
    tls, server = agreed()
    mail = bytes(range(256)) * 1000
    tls.protect(mail)
    server.hear(tls.outgoing())
    server.shake_hands()
    heard = b""
    while len(heard) < len(mail):
        heard += server.tls.read(65_536)
    assert heard == mail


def in_group(name: str, authority: Authority = AUTHORITY) -> ssl.SSLContext:
    """A server that answers in this group alone. Sessions of another one are none of its."""
    context = authority.issue("mail.example").context()
    context.set_ecdh_curve(name)
    return context


def met(trust: Trust, context: ssl.SSLContext) -> tuple[Tls, list[bytes]]:
    """A connection to a server with this TLS, up to the server's first words, which is remembered; and what was said at first."""
    tls, server = Tls(trust, "mail.example"), Server(context)
    said = []
    while not tls.agreed:
        said.append(tls.outgoing())
        server.hear(said[-1])
        tls.receive(server.shake_hands())
    server.hear(tls.outgoing())
    assert tls.receive(server.shake_hands() + server.say(b"250 hello\r\n")) == b"250 hello\r\n"
    trust.remember("mail.example", tls.secured, tls.group)
    return tls, said


def offered(hello: bytes) -> list[int]:
    """The groups of a ClientHello (RFC 8446 section 4.2.7), found by the extension that they stand in."""
    marks = [at for at in range(len(hello) - 6) if hello[at : at + 2] == b"\x00\x0a"]
    for at in marks:
        whole, count = (int.from_bytes(hello[at + it : at + it + 2]) for it in (2, 4))
        if whole == count + 2 and count % 2 == 0 and 0 < count <= 40:
            return [int.from_bytes(hello[it : it + 2]) for it in range(at + 6, at + 6 + count, 2)]
    raise AssertionError("no groups in it")


@pytest.mark.parametrize("group", GROUPS)
def test_who_resumes_offers_the_group_in_which_the_host_has_answered(group: str) -> None:
    trust, context = Trust.of(AUTHORITY.pem.decode()), in_group(group)
    first, said = met(trust, context)
    assert first.group == GROUPS[group]
    assert len(offered(said[0])) > 1
    for _ in range(2):
        again, said = met(trust, context)
        assert again.secured.session_reused
        assert again.group == GROUPS[group]
        assert [offered(it) for it in said] == [[GROUPS[group]]]


def test_a_server_of_tls_1_2_tells_no_group_and_is_offered_all() -> None:
    context = AUTHORITY.issue("mail.example").context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    trust = Trust.of(AUTHORITY.pem.decode())
    met(trust, context)
    again, said = met(trust, context)
    assert again.secured.session_reused
    assert again.group is None
    assert len(offered(said[0])) > 1


def test_whom_the_session_is_not_known_to_shows_its_certificate_and_it_is_verified() -> None:
    """Also where one group was offered: in the same way, by the same authorities."""
    trust = Trust.of(AUTHORITY.pem.decode())
    met(trust, in_group("X25519"))
    other, _ = met(trust, in_group("X25519"))
    assert not other.secured.session_reused
    with pytest.raises(ssl.SSLCertVerificationError, match=r"issuer|self.signed"):
        met(trust, in_group("X25519", Authority()))
    other, _ = met(trust, in_group("X25519"))
    wrong_name = Authority.issue(AUTHORITY, "other.example").context()
    wrong_name.set_ecdh_curve("X25519")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"mail\.example"):
        met(trust, wrong_name)


def test_a_host_that_is_forgotten_is_offered_all_again() -> None:
    trust = Trust.of(AUTHORITY.pem.decode())
    met(trust, in_group("X25519"))
    with pytest.raises(ssl.SSLError):
        met(trust, in_group("prime256v1"))
    trust.forget("mail.example")
    assert met(trust, in_group("prime256v1"))[0].group == GROUPS["prime256v1"]


@given(st.binary(max_size=300))
def test_no_octets_are_too_strange_to_look_for_a_group_in(octets: bytes) -> None:
    for hello in (octets, b"\x16\x03\x03\x00\x7a\x02" + octets):
        group = group_of(hello)
        assert group is None or 0 <= group <= 0xFFFF
