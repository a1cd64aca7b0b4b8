"""TLS between two buffers: nothing of the network is needed to see what is said, and when."""

import ssl
from contextlib import suppress

import pytest

from tests.submission.authority import Authority
from warmup_worker.tls import Tls

AUTHORITY = Authority()
SERVER = AUTHORITY.issue("mail.example").context()


class Server:
    """The other side, by Python's own TLS."""

    def __init__(self) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = SERVER.wrap_bio(self._incoming, self._outgoing, server_side=True)

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
