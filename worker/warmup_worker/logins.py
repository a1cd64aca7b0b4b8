"""How a mailbox comes to a session: its password or its access token, its server, and one more try where a token was refused.

Workers and ``warmup mailboxes verify`` both come this way. A token that its server refuses is refreshed once and tried once more,
on a new connection; a second refusal is the mailbox's. A certificate that was not accepted is told with its issuer.
Fails: ``NotConnected``, ``NoToken``.
"""

import ssl
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from warmup_core.credentials import Keys, Sealed, Undecipherable
from warmup_core.replies import Phase, classify
from warmup_worker import certificates
from warmup_worker.clock import boottime
from warmup_worker.network import Names, Network
from warmup_worker.sasl import Bearer, Login
from warmup_worker.session import NotConnected, Server, Session, Tell
from warmup_worker.stopwatch import Timed, untimed
from warmup_worker.timing import Timing
from warmup_worker.tokens import Account, Token, TokenSource

_TOKEN_RULES: Final = frozenset(
    {"bad-credentials", "login-refused", "login-refused-by-code", "code-login-refused"}
)
"""What a server says of a token that has ended. Other refusals (SMTP AUTH is off, the account is locked) no token mends."""
_LOOK_SECONDS: Final = 5.0
_LOOK_EVERY: Final = 600.0
_MOST_LOOKS: Final = 1000


class Enrolled(Account, Protocol):
    """What is known of a mailbox and its server."""

    @property
    def smtp_host(self) -> str:
        """Its submission server."""

    @property
    def smtp_port(self) -> int:
        """The server's port."""

    @property
    def smtp_security(self) -> str:
        """starttls or tls."""

    @property
    def username(self) -> str | None:
        """Whom it logs in as."""

    @property
    def sealed(self) -> Sealed | None:
        """Its password, where it has one."""


class Logins:
    """Opens sessions for mailboxes."""

    def __init__(
        self,
        keys: Callable[[], Keys],
        tokens: TokenSource,
        authorities: Callable[[], ssl.SSLContext],
        timing: Timing,
        local_hostname: str,
        timed: Timed = untimed,
    ) -> None:
        self._keys, self._tokens, self._authorities = keys, tokens, authorities
        self._timing, self._local_hostname, self._timed = timing, local_hostname, timed
        self._names = Names()
        self._looks: dict[tuple[str, int], tuple[float, str]] = {}

    async def open(self, mailbox: Enrolled, allowed: Sequence[Network], tell: Tell | None = None) -> Session:
        """A session that this mailbox can send in. ``tell`` hears of each phase that went well. Raises NotConnected, NoToken."""
        session = await self._logged_in(mailbox, allowed, tell)
        if not mailbox.address.isascii() and not session.international:
            session.close()
            raise NotConnected(
                "mail",
                f"its address is not ASCII and needs SMTPUTF8, which {mailbox.smtp_host} does not offer",
            )
        return session

    async def _logged_in(self, mailbox: Enrolled, allowed: Sequence[Network], tell: Tell | None) -> Session:
        if mailbox.application is None:
            return await self._connect(mailbox, self._password(mailbox), allowed, tell)
        refused: bytes | None = None
        while True:
            token = await self._token(mailbox, refused)
            if tell is not None:
                how = "refreshed just now" if token.refreshed else "as stored"
                tell("token", f"{how}, good for {(token.until - boottime()) / 60:.0f} min")
            try:
                login = Bearer(mailbox.username or mailbox.address, token.access)
                return await self._connect(mailbox, login, allowed, tell)
            except NotConnected as failure:
                if refused is not None or not another_token_may_help(failure):
                    raise
                if tell is not None:
                    tell("auth", f"refused, so once more with another token: {failure.reason}")
                refused = token.version

    async def _token(self, mailbox: Enrolled, refused: bytes | None) -> Token:
        try:
            return await self._tokens.get(mailbox, refused)
        except Undecipherable as error:
            raise NotConnected("credential", str(error)) from None

    def _password(self, mailbox: Enrolled) -> Login:
        if mailbox.sealed is None or mailbox.username is None:
            raise NotConnected("credential", "none is stored; import the mailbox again")
        try:
            return Login(mailbox.username, self._keys().open(mailbox.address, mailbox.sealed))
        except Undecipherable as error:
            raise NotConnected("credential", str(error)) from None

    async def _connect(
        self, mailbox: Enrolled, login: Login | Bearer, allowed: Sequence[Network], tell: Tell | None
    ) -> Session:
        server = Server(mailbox.smtp_host, mailbox.smtp_port, mailbox.smtp_security)
        try:
            return await Session.open(
                server,
                login,
                context=self._authorities(),
                allowed=allowed,
                local_hostname=self._local_hostname,
                timing=self._timing,
                resolved=self._names.resolve,
                tell=tell,
                timed=self._timed,
            )
        except NotConnected as failure:
            if failure.certificate and (shown := await self._look(server, allowed)):
                raise NotConnected(failure.phase, f"{failure.reason}; {shown}", certificate=True) from None
            raise

    async def _look(self, server: Server, allowed: Sequence[Network]) -> str:
        """What the server's certificate says of itself, looked at once in a while; empty where it cannot be seen."""
        known = self._looks.get((server.host, server.port))
        if known is not None and boottime() - known[0] < _LOOK_EVERY:
            return known[1]
        shown = await certificates.presented(
            server.host,
            server.port,
            server.security,
            allowed=allowed,
            local_hostname=self._local_hostname,
            seconds=_LOOK_SECONDS,
        )
        if len(self._looks) >= _MOST_LOOKS:
            self._looks.clear()
        self._looks[(server.host, server.port)] = boottime(), str(shown or "")
        return str(shown or "")


def another_token_may_help(failure: NotConnected) -> bool:
    """Whether a login was refused as it is when its token has ended."""
    return failure.phase == "auth" and classify(Phase.AUTH, failure.reason).rule in _TOKEN_RULES
