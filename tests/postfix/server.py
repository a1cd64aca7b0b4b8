"""A real mail server for tests: Postfix with submission and STARTTLS, logins by Dovecot's SASL, mail delivered into Maildirs.

Owns both masters' lives and a folder that holds everything of theirs: configuration, queue, sockets, mail. They listen on
loopback and end with this object, by their process ids, or with the process that made it. The machine's own Postfix and
Dovecot, where there are any, are not touched. Needs root, as a mail server does.
Fails: ``PackageError`` where a package cannot be installed, ``PostfixError`` with the log.
"""

import os
import shutil
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTPUTF8
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster import debian, processes
from tests.ports import free_port
from tests.submission.authority import Authority

_START_SECONDS = 120.0
_END_SECONDS = 60.0
_NOBODY = 65_534

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = /dev/stdout
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.{domain}
mydestination =
mynetworks =
local_recipient_maps =
alias_maps =
alias_database =
local_transport = error:nobody is local here
default_transport = error:nothing leaves this machine
relay_domains =
virtual_transport = virtual
virtual_mailbox_domains = texthash:{folder}/domains
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{folder}/mailboxes
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
smtputf8_enable = yes
smtpd_tls_cert_file = {folder}/tls.crt
smtpd_tls_key_file = {folder}/tls.key
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {folder}/dovecot/sasl
smtpd_sender_login_maps = texthash:{folder}/logins
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = reject_sender_login_mismatch, permit_sasl_authenticated, reject
smtpd_client_connection_count_limit = 0
"""

_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""

_DOVECOT = """
base_dir = {folder}/dovecot
state_dir = {folder}/dovecot
log_path = /dev/stderr
protocols =
ssl = no
auth_mechanisms = plain login
auth_username_chars =
disable_plaintext_auth = no
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/passwords
}}
userdb {{
  driver = static
  args = uid={nobody} gid={nobody} home=/nonexistent
}}
# Else one wrong password slows the logins of everybody at the same address, and all tests have one.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener sasl {{
    mode = 0666
  }}
}}
"""


class PostfixError(Exception):
    """Postfix or Dovecot did not start; the message ends with its log."""


@dataclass(frozen=True)
class Account:
    """A mailbox with its login."""

    address: str
    username: str
    password: str


class Postfix:
    """``with Postfix(accounts) as server:``; ``authority`` signed its certificate, which is for ``host``."""

    host = "127.0.0.1"

    def __init__(self, accounts: Sequence[Account]) -> None:
        self.accounts = accounts
        self.authority = Authority()
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="warmup-postfix-"))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        debian.ensure("postfix", "dovecot-core")
        try:
            self._configure()
            self._start("dovecot", ["dovecot", "-F", "-c", str(self.folder / "dovecot.conf")])
            self._wait("dovecot", lambda: (self.folder / "dovecot" / "sasl").is_socket())
            self._call("postfix", "-c", self._etc, "check")
            self._start("postfix", [f"{self._daemons}/master", "-s", "-c", self._etc])
            self._wait("postfix", self._greets)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def log(self) -> str:
        """What Postfix and Dovecot have logged."""
        return "".join(file.read_text(errors="replace") for file in sorted(self.folder.glob("*.log")))

    def mails(self, address: str) -> list[EmailMessage]:
        """The mails in the Maildir of an address, as Python's strict parser reads them."""
        parser = BytesParser(policy=SMTPUTF8.clone(raise_on_defect=True))
        found = []
        for file in sorted((self._maildir(address) / "new").glob("*")):
            with file.open("rb") as content:
                mail = parser.parse(content)
            assert isinstance(mail, EmailMessage)
            found.append(mail)
        return found

    def daemons(self) -> list[str]:
        """The processes that work in the folder, by their folders there."""
        links = [link for link in Path("/proc").glob("[0-9]*/cwd") if str(self.folder) in _target(link)]
        return list(map(str, links))

    @property
    def _etc(self) -> str:
        return str(self.folder / "postfix")

    @property
    def _daemons(self) -> str:
        return self._call("postconf", "-c", self._etc, "-h", "daemon_directory").strip()

    def _maildir(self, address: str) -> Path:
        return (
            self.folder / "mail" / str(next(n for n, it in enumerate(self.accounts) if it.address == address))
        )

    def _configure(self) -> None:
        self.folder.chmod(0o755)  # others' users go through it
        for name in ("postfix", "queue", "data", "dovecot", "mail"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        os.chown(self.folder / "mail", _NOBODY, _NOBODY)
        domains = sorted({it.address.rpartition("@")[2] for it in self.accounts})
        values = {"folder": self.folder, "port": self.port, "nobody": _NOBODY, "domain": domains[0]}
        identity = self.authority.issue(self.host)
        texts = {
            "postfix/main.cf": _MAIN.format(**values),
            "postfix/master.cf": _MASTER.format(**values),
            "dovecot.conf": _DOVECOT.format(**values),
            "domains": "".join(f"{domain} here\n" for domain in domains),
            "mailboxes": "".join(f"{it.address} {n}/\n" for n, it in enumerate(self.accounts)),
            "logins": "".join(f"{it.address} {it.username}\n" for it in self.accounts),
            "passwords": "".join(f"{it.username}:{it.password}\n" for it in self.accounts),
            "tls.crt": identity.certificate.decode(),
            "tls.key": identity.key.decode(),
        }
        for name, text in texts.items():
            (self.folder / name).write_text(text)
        shutil.chown(self.folder / "passwords", "dovecot")
        for secret in ("passwords", "tls.key"):
            (self.folder / secret).chmod(0o600)

    def _call(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, env=_environment(), timeout=300)
        if done.returncode:
            raise PostfixError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def _start(self, name: str, command: Sequence[str]) -> None:
        log = self.folder / f"{name}.log"
        self._running[name] = processes.start(command, log=log, environment=_environment())

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            if self._running[name].poll() is not None or time.monotonic() > deadline:
                raise PostfixError(f"{name} did not start:\n{self.log}")
            time.sleep(0.05)

    def _greets(self) -> bool:
        try:
            with smtplib.SMTP(self.host, self.port, timeout=5) as client:
                return client.noop()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False

    def _end(self) -> None:
        for process in reversed(self._running.values()):
            processes.stop(process, 10)
        # Postfix' master tells its daemons to end and does not wait for them.
        deadline = time.monotonic() + _END_SECONDS
        while self.daemons() and time.monotonic() < deadline:
            time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # it has ended
        return ""


def _environment() -> Mapping[str, str]:
    return {"PATH": debian.PATH}
