"""TLS on one connection as octets in and octets out: OpenSSL with buffers in memory (``ssl.SSLObject``). No I/O, no waiting.

Of our own, because an event loop's TLS sets a quarter of a megabyte aside for each connection, and sends the end of a handshake
by itself: here it waits for the first command, a packet less for each mail. Verification is the context's.
Invariants: nothing is read or protected before the handshake is over; all that OpenSSL has to say, an alert too, is ``outgoing``.
Fails: ``ssl.SSLError``, of which ``SSLCertVerificationError`` says what is wrong with the certificate.
"""

import ssl
from contextlib import suppress

_RECORD = 16 * 1024
"""Octets: the longest that one record holds (RFC 8446 section 5.1)."""
_HELLO = 128
"""Octets of a server's first words that are kept: the number of its group comes early."""
_HANDSHAKE, _SERVER_HELLO, _KEY_SHARE = 22, 2, 51


class Tls:
    """A client's side. ``agreed``: the handshake is over; ``ended``: the server has said that nothing more comes."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.secured = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.agreed = self.ended = False
        self._hello = b""
        self._shake_hands()

    def receive(self, octets: bytes) -> bytes:
        """What the server says by these octets; nothing while hands are shaken."""
        self._incoming.write(octets)
        if not self.agreed:
            self._hello = self._hello or octets[:_HELLO]
            self._shake_hands()
        return self._read() if self.agreed else b""

    @property
    def group(self) -> int | None:
        """The group in which the server has answered; None where its first octets do not tell (it speaks TLS 1.2, say)."""
        return group_of(self._hello)

    def protect(self, octets: bytes) -> None:
        """Put octets for the server behind what is outgoing."""
        self.secured.write(octets)

    def outgoing(self) -> bytes:
        """What is to be sent now."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def _shake_hands(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self.secured.do_handshake()
            self.agreed = True

    def _read(self) -> bytes:
        said = []
        with suppress(ssl.SSLWantReadError):
            # What is protected is shorter than its protection.
            while octets := self._incoming.pending or self.secured.pending():
                part = self.secured.read(min(octets, _RECORD))
                if not part:
                    self.ended = True
                    break
                said.append(part)
        return b"".join(said)


def group_of(hello: bytes) -> int | None:
    """The group of a ServerHello's key share (RFC 8446 sections 4.1.3 and 4.2.8), from the first octets of its record.

    A HelloRetryRequest names the group in the same place. Python tells it from 3.15 on.
    """
    if len(hello) < 44 or (hello[0], hello[5]) != (_HANDSHAKE, _SERVER_HELLO):
        return None
    session = hello[43]
    at = 44 + session + 2 + 1 + 2  # behind cipher, compression and the length of the extensions
    while at + 6 <= len(hello):
        kind, length = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        if kind == _KEY_SHARE:
            return int.from_bytes(hello[at + 4 : at + 6])
        at += 4 + length
    return None
