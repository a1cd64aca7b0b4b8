"""Whose certificates a worker trusts: the system's authorities and those of the fleet's own file. One TLS context for all mails
and all token endpoints.

Making a context costs 20 ms, so it is made once and again when the file changes. Verification of name and chain is always on.
A session of a host whose certificate was verified is resumed by the next connections to that host (RFC 8446 section 2.2, as
Postfix's client does): the server proves by it that it is the same one, which takes half of the handshake's CPU on both sides.
Sessions are in memory only and belong to one context, so a changed file begins without any; no early data is ever sent.
Who resumes offers the one group for keys in which that host answered the time before (key share prediction): of the usual offer
a hybrid's key (ML-KEM) takes a third of the handshake's CPU, for nothing where the host does not know it, and a host that wants
a group of which no key was sent costs a round trip. Who answers in a hybrid is offered all again. A failed handshake forgets
the host.
Fails: a file that is no PEM is refused at start; later the last good one stays. A server that resumes nothing is soon not asked.
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from warmup_core.types import Refused
from warmup_worker.clock import boottime
from warmup_worker.mounted import Mounted

_LIFETIME_SECONDS: Final = 3600.0
"""How long a session is resumed at most: then a certificate is looked at again."""
_REFUSALS: Final = 4
"""In a row: then a session is not offered again, and another is kept only once it was there for ``_STUBBORN_SECONDS``."""
_STUBBORN_SECONDS: Final = 600.0
_MOST_HOSTS: Final = 10_000
_GROUPS: Final[dict[int | None, str]] = {0x17: "prime256v1", 0x18: "secp384r1", 0x1D: "X25519"}
"""OpenSSL's names of the groups that may be offered alone, by their number (RFC 8446 section 4.2.7): none is a hybrid."""


class _Session:
    """A session of a host, the group that may be offered alone with it, since when it is kept and until when it serves, and how
    often in a row the server refused it."""

    __slots__ = ("group", "refusals", "session", "since", "until")

    def __init__(self, session: ssl.SSLSession | None, group: int | None, now: float) -> None:
        lifetime = session.timeout if session is not None else _STUBBORN_SECONDS
        self.session, self.group, self.since = session, _GROUPS.get(group), now
        self.until = now + min(_LIFETIME_SECONDS, lifetime)
        self.refusals = 0

    def serves(self, now: float) -> bool:
        """Whether it is worth offering."""
        return self.refusals < _REFUSALS and now < self.until

    def stays(self, now: float) -> bool:
        """Whether it is not replaced yet."""
        return now < (self.until if self.refusals < _REFUSALS else self.since + _STUBBORN_SECONDS)


class Secured(ssl.SSLObject):
    """A connection's TLS. ``offered``: the session that it began with."""

    offered: _Session | None = None


class Trust(ssl.SSLContext):
    """A client's context that verifies, with the sessions of hosts it has verified."""

    sslobject_class = Secured
    _sessions: dict[str, _Session]
    _extra: str | None
    _offering: dict[str, ssl.SSLContext]
    """Contexts as this one that offer one group alone; made when a host is known that answers in it."""

    @classmethod
    def of(cls, extra: str | None = None) -> "Trust":
        """The system's authorities and those of ``extra`` (PEM). Raises ssl.SSLError, ValueError."""
        usual = ssl.create_default_context()
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context._extra, context._sessions, context._offering = extra, {}, {}
        context.verify_flags, context.options = usual.verify_flags, usual.options
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_default_certs()
        if extra and extra.strip():
            context.load_verify_locations(cadata=extra)
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """TLS for a connection (what ``tls`` and event loops call), beginning with this host's session where there is one."""
        known = self._sessions.get(server_hostname) if isinstance(server_hostname, str) else None
        if known is not None and not known.serves(boottime()):
            known = None
        begun: Any
        group = None
        if known is not None:
            session, group = known.session, known.group
        if group is None:
            begun = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        else:
            # A context's groups cannot be set back; a connection keeps those of the one that it begins with, and asks the one
            # that it is given then for everything else.
            begun = ssl.SSLContext.wrap_bio(self._in(group), incoming, outgoing, server_side, server_hostname)
            begun.context, begun.session = self, session
        begun.offered = known
        return begun  # type: ignore[no-any-return]

    def _in(self, group: str) -> ssl.SSLContext:
        if group not in self._offering:
            self._offering[group] = Trust.of(self._extra)
            self._offering[group].set_ecdh_curve(group)
        return self._offering[group]

    def forget(self, host: str) -> None:
        """Begin anew with a host: something went wrong with what is known of it."""
        self._sessions.pop(host, None)

    def remember(self, host: str, secured: ssl.SSLObject, group: int | None) -> None:
        """Keep the session of a verified connection, once the server has spoken inside TLS (tickets come with its words).

        ``group``: in which keys were exchanged, where it is known.
        """
        known = self._sessions.get(host)
        if known is not None:
            if secured.session_reused:
                known.refusals = 0
            elif isinstance(secured, Secured) and secured.offered is known:
                known.refusals += 1
        now = boottime()
        if secured.session_reused or (known is not None and known.stays(now)):
            return
        if len(self._sessions) >= _MOST_HOSTS:
            self._sessions.clear()
        self._sessions[host] = _Session(secured.session, group, now)


def context(extra: str | None) -> Trust:
    """A context that trusts the system's authorities and those of ``extra`` (PEM). Raises Refused."""
    try:
        return Trust.of(extra)
    except (ssl.SSLError, ValueError) as error:
        raise Refused(f"WARMUP_SMTP_CA_FILE holds no certificates that can be read (PEM): {error}") from None


def trusted_authorities(ca_file: Path | None) -> Callable[[], ssl.SSLContext]:
    """A function that gives the context of the moment. Raises Refused."""
    if ca_file is None:
        systems = context(None)
        return lambda: systems
    return Mounted(ca_file, "WARMUP_SMTP_CA_FILE", context).current
