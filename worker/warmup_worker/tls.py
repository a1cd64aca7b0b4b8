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


class Tls:
    """A client's side. ``agreed``: the handshake is over; ``ended``: the server has said that nothing more comes."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.secured = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.agreed = self.ended = False
        self._shake_hands()

    def receive(self, octets: bytes) -> bytes:
        """What the server says by these octets; nothing while hands are shaken."""
        self._incoming.write(octets)
        if not self.agreed:
            self._shake_hands()
        return self._read() if self.agreed else b""

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
            while self._incoming.pending or self.secured.pending():
                part = self.secured.read(_RECORD)
                if not part:
                    self.ended = True
                    break
                said.append(part)
        return b"".join(said)
