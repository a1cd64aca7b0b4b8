"""The rules that give an SMTP reply its meaning, as ordered data: the first that matches wins.

Order: success and silence, then what the text says, then the enhanced code (RFC 3463), then the code: the text outweighs the
enhanced code, and that outweighs the code. Phase and provider narrow a rule where one wording means two things. Among texts the
narrow stand first: a full mailbox before a quota, a recipient's rate before ours, our sender before an unknown user.

A rule whose ``outcome`` is a mapping takes the scope that the text names (see replies.py). Invariants: every outcome is a pair of
``ALLOWED``; names are unique; the last two rules take every failure, so there is always a verdict. Pure data: nothing here runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """What a reply answers: the connection, EHLO, STARTTLS, AUTH, MAIL FROM, RCPT TO, DATA, the final dot."""

    BANNER = "banner"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    AFTER_DOT = "after_dot"


class Scope(StrEnum):
    """Whom a reply concerns, and so who pauses."""

    MESSAGE = "message"
    RECIPIENT = "recipient"
    MAILBOX = "mailbox"
    TENANT = "tenant"
    DOMAIN = "domain"
    PROVIDER = "provider"
    EGRESS = "egress"
    APPLICATION = "application"
    """An OAuth application; no SMTP reply concerns one, its token endpoint's answers do."""


class Reaction(StrEnum):
    """What the fleet does. replies.py says what each means for the engine."""

    OK = "ok"
    RETRY = "retry"
    RETRY_SLOW = "retry_slow"
    SLOW_PROVIDER = "slow_provider"
    OTHER_RECIPIENT = "other_recipient"
    SUPPRESS_RECIPIENT = "suppress_recipient"
    PAUSE_MAILBOX = "pause_mailbox"
    PAUSE_MAILBOX_UNTIL_FIXED = "pause_mailbox_until_fixed"
    PAUSE_TENANT = "pause_tenant"
    STOP_EGRESS = "stop_egress"
    STOP_DOMAIN = "stop_domain"
    FAIL_MESSAGE = "fail_message"
    IN_DOUBT = "in_doubt"


Outcome = tuple[Scope, Reaction]
_ACCEPTED: Final[Outcome] = (Scope.MESSAGE, Reaction.OK)
_DOUBT: Final[Outcome] = (Scope.MESSAGE, Reaction.IN_DOUBT)
_RETRY: Final[Outcome] = (Scope.MESSAGE, Reaction.RETRY)
_FAIL: Final[Outcome] = (Scope.MESSAGE, Reaction.FAIL_MESSAGE)
_OTHER: Final[Outcome] = (Scope.RECIPIENT, Reaction.OTHER_RECIPIENT)
_SUPPRESS: Final[Outcome] = (Scope.RECIPIENT, Reaction.SUPPRESS_RECIPIENT)
_PAUSE: Final[Outcome] = (Scope.MAILBOX, Reaction.PAUSE_MAILBOX)
_FIX: Final[Outcome] = (Scope.MAILBOX, Reaction.PAUSE_MAILBOX_UNTIL_FIXED)
_SLOW_MAILBOX: Final[Outcome] = (Scope.MAILBOX, Reaction.RETRY_SLOW)
_SLOW_TENANT: Final[Outcome] = (Scope.TENANT, Reaction.RETRY_SLOW)
_TENANT: Final[Outcome] = (Scope.TENANT, Reaction.PAUSE_TENANT)
_DOMAIN: Final[Outcome] = (Scope.DOMAIN, Reaction.STOP_DOMAIN)
_EGRESS: Final[Outcome] = (Scope.EGRESS, Reaction.STOP_EGRESS)
_SLOW_EGRESS: Final[Outcome] = (Scope.EGRESS, Reaction.SLOW_PROVIDER)
_SLOW_DOMAIN: Final[Outcome] = (Scope.DOMAIN, Reaction.SLOW_PROVIDER)
_SLOW_PROVIDER: Final[Outcome] = (Scope.PROVIDER, Reaction.SLOW_PROVIDER)

_RATE: Final[Mapping[Scope, Reaction]] = dict(
    [_SLOW_EGRESS, _SLOW_TENANT, _SLOW_DOMAIN, _SLOW_MAILBOX, _SLOW_PROVIDER]
)
_QUOTA: Final[Mapping[Scope, Reaction]] = dict([_SLOW_EGRESS, _TENANT, _DOMAIN, _PAUSE, _SLOW_PROVIDER])

ALLOWED: Final[frozenset[Outcome]] = frozenset(
    {
        _ACCEPTED,
        _DOUBT,
        _RETRY,
        _FAIL,
        _OTHER,
        _SUPPRESS,
        _PAUSE,
        _FIX,
        _TENANT,
        _DOMAIN,
        _EGRESS,
        *_RATE.items(),
        *_QUOTA.items(),
    }
)


@dataclass(frozen=True)
class Wait:
    """Seconds at the first time, times ``growth`` at each repeat, at most ``most``."""

    first: float
    growth: float = 1.0
    most: float = 86_400.0


@dataclass(frozen=True)
class Rule:
    """All conditions must hold. ``says`` and ``unless`` name concepts ("a|b": either). Patterns match a whole code."""

    name: str
    outcome: Outcome | Mapping[Scope, Reaction]
    meaning: str
    source: str
    says: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    codes: str = "[45].."
    enhanced: str = ".*"
    phases: frozenset[Phase] | None = None
    providers: str = ".*"
    wait: Wait | None = None
    """Instead of the reaction's own; slowing down always has its own."""
    hint: bool = True
    """Whether a time in the text is a time to wait."""
    passing: bool = False
    """Whether what it stops has an end where the code is 4xx: what the receiver failed to look up it may find the next time."""
    alert: bool = False
    """Whether a person is told though nobody pauses."""


_DOOR: Final = frozenset({Phase.BANNER, Phase.EHLO, Phase.STARTTLS})
_AUTH: Final = frozenset({Phase.AUTH})
_MAIL: Final = frozenset({Phase.MAIL})
_RCPT: Final = frozenset({Phase.RCPT})
_AFTER_DOT: Final = frozenset({Phase.AFTER_DOT})
BEFORE_LOGIN: Final = _DOOR | _AUTH
_NO_RECIPIENT_YET: Final = _AUTH | _MAIL
_CONTENT_KNOWN: Final = frozenset({Phase.DATA}) | _AFTER_DOT
_RECIPIENT_KNOWN: Final = _RCPT | _CONTENT_KNOWN
_SENDING: Final = _MAIL | _RECIPIENT_KNOWN

RELAY: Final = (
    r"(?:.*[^a-z])?(?:ses|amazon.*|aws.*|sendgrid|twilio|mailgun|postmark.*|brevo|sendinblue|mailjet|sparkpost|relay.service|smtp.relay|smtp2go|mandrill"
    r"|mailchimp|mailersend|elastic.?email|resend|socketlabs|sendpulse|pepipost|netcore|zeptomail|scaleway|turbosmtp|mailpace|loops)(?:[^a-z].*)?"
)
"""Relay services: what they call an account or a user is the tenant, not a mailbox."""

_GOOGLE: Final = "support.google.com/a/answer/3726730"
_MICROSOFT: Final = "learn.microsoft.com: non-delivery reports, SMTP submission"
_5321: Final = "RFC 5321 4.2, 4.5.3"
_3463: Final = "RFC 3463"
_4954: Final = "RFC 4954 6"
_7372: Final = "RFC 7372"
_SES: Final = "docs.aws.amazon.com: SES sending quotas"
_SHAPING: Final = "KumoMTA shaping rules; the text"
_TEXT: Final = "the text, as providers word it"

RULES: Final[tuple[Rule, ...]] = (
    # success and silence
    Rule("accepted", _ACCEPTED, "accepted, go on", _5321, codes="2..|334|354"),
    Rule("silence-after-dot", _DOUBT, "no complete reply after the final dot: perhaps delivered",
         "RFC 1047", codes="", phases=_AFTER_DOT),
    Rule("silence", _RETRY, "no reply before the final dot: surely not delivered", "RFC 5321 4.1.1.4", codes=""),
    # the connection or the server, nobody's fault
    Rule("block-list-open-resolver", _OTHER, "the receiver asks its block list in a wrong way: our IP is not listed",
         "spamhaus.org: return codes", says=("open resolver",), alert=True),
    Rule("greylisted", _RETRY, "greylisted: nobody is to be slowed", "RFC 6647", says=("greylist",), wait=Wait(0)),
    Rule("session-used-up", _RETRY, "this connection has carried what it may: open a new one",
         _TEXT, says=("session used up",), unless=("too many logins",), wait=Wait(0), hint=False),
    Rule("idle-connection", _RETRY, "the connection was idle or too old",
         _GOOGLE, codes="4..", says=("idle",), unless=("login",), hint=False),
    Rule("address-being-checked", _RETRY, "the server is still checking an address",
         "postfix: address verification", codes="4..", says=("checking address",)),
    Rule("name-service-trouble", _RETRY, "a look-up failed for the moment", _TEXT, codes="4..", says=("dns trouble",)),
    # the recipient's rate; a tenant that is blocked; a recipient that takes nothing from us
    Rule("recipient-receives-too-much", _OTHER, "the recipient gets mail too fast: another now, this one later",
         _GOOGLE, says=("receives too much",)),
    Rule("tenant-blocked", _TENANT, "the customer's account is paused, used up or not active: its owner must act",
         _TEXT, says=("tenant blocked",)),
    Rule("relay-account-blocked", _TENANT, "the account at the relay service is not active: its owner must act",
         _TEXT, providers=RELAY, says=("plain account|account blocked|you", "not active|account blocked|account off"),
         unless=("about them", "our address")),
    Rule("recipient-restricted", _SUPPRESS, "the recipient takes no mail from us",
         _MICROSOFT, phases=_RECIPIENT_KNOWN, says=("takes no mail from us",), unless=("our address", "domain fails")),
    # full mailboxes, short servers
    Rule("own-mailbox-full", _FIX, "our own mailbox is full: empty it", _MICROSOFT, says=("mailbox full", "own mailbox")),
    Rule("own-mailbox-full-early", _FIX, "our own mailbox is full (no recipient was named yet): empty it",
         _3463, phases=_NO_RECIPIENT_YET, says=("mailbox full",)),
    Rule("recipient-full", _SUPPRESS, "the recipient's mailbox is full",
         _3463, phases=_RECIPIENT_KNOWN, says=("mailbox full",)),
    Rule("recipient-over-quota", _SUPPRESS, "the recipient's quota is used up",
         _3463, codes="452|552", phases=_RECIPIENT_KNOWN, says=("quota exceeded",), unless=("sends", "long period", "fast")),
    Rule("recipient-over-quota-2.2", _SUPPRESS, "the recipient's quota is used up",
         _3463, enhanced=r"[45]\.2\.2", phases=_RECIPIENT_KNOWN, says=("quota exceeded",),
         unless=("sends", "long period", "fast")),
    Rule("recipient-over-quota-rcpt", _SUPPRESS, "the recipient's quota is used up",
         _3463, phases=_RCPT, says=("box limit", "limit"),
         unless=("sends", "long period", "fast", "you", "our address", "tenant", "domain")),
    Rule("server-short", _RETRY, "the server is short of storage or resources", _5321, says=("storage short",)),
    # our domain
    Rule("unusual-rate", _RATE, "the provider sees an unusual rate", _GOOGLE, says=("unusual rate",)),
    Rule("domain-authentication", _DOMAIN, "SPF, DKIM or DMARC of our domain fails: correct its DNS records",
         _GOOGLE, says=("domain fails",), passing=True),
    Rule("sender-domain-unknown", _DOMAIN, "our domain is not found in DNS", _3463, says=("sender domain unknown",),
         passing=True),
    Rule("domain-not-verified", _DOMAIN, "our domain is not verified at the provider, or may not send",
         _TEXT, says=("domain not verified",), passing=True),
    Rule("domain-listed", _DOMAIN, "our domain is listed or has a bad reputation",
         _TEXT, says=("domain listed",), unless=("no such user",)),
    # this message
    Rule("too-many-recipients", _RETRY, "too many recipients in one transaction",
         "RFC 5321 4.5.3.1.10", says=("too many recipients",), unless=("long period", "our address", "fast")),
    Rule("too-big", _FAIL, "the message is too big", _3463, phases=_SENDING, says=("too big",)),
    Rule("bad-content", _FAIL, "this message's content or form is refused",
         _TEXT, codes="5..", phases=_SENDING, says=("bad content",)),
    Rule("content-refused-4xx", _FAIL, "this message is refused for what it holds",
         _TEXT, codes="4..", phases=_CONTENT_KNOWN, says=("bad content|spam",),
         unless=("temporary", "later", "trouble", "our address", "fast", "domain fails", "limit")),
    Rule("message-is-spam", _FAIL, "this message looks like spam",
         _TEXT, codes="5..", phases=_SENDING, says=("message is spam",),
         unless=("ip word", "block list", "our reputation", "fast", "limit", "account blocked", "account off")),
    # logins that come too often: before the rates, whose words they share
    Rule("too-many-logins", _PAUSE, "too many logins: wait",
         _GOOGLE, codes="4..", phases=_AUTH, says=("too many logins",), unless=("our address",), wait=Wait(60, 2)),
    Rule("too-many-logins-try-later", _PAUSE, "too many logins: wait",
         _TEXT, codes="5..", phases=_AUTH, says=("too many logins", "later"), unless=("our address",), wait=Wait(60, 2)),
    Rule("too-many-logins-5xx", _PAUSE, "too many logins: wait",
         _TEXT, codes="5..", phases=_AUTH, says=("too many logins",), unless=("bad login", "our address"), wait=Wait(60, 2)),
    # rates and quotas, by whom the text names
    Rule("ip-deferred", _SLOW_EGRESS, "the provider slows our IP for a while",
         _SHAPING, codes="4..", says=("our address", "temporary"), unless=("no reverse name", "no relay", "for good")),
    Rule("ip-slowed", _SLOW_EGRESS, "the provider slows our IP",
         _SHAPING, codes="4..", says=("our address", "later|fast|limit|too much"),
         unless=("no reverse name", "no relay", "block list")),
    Rule("ip-blocked-for-a-while", _SLOW_EGRESS, "the provider blocks our IP for a while",
         _SHAPING, codes="5..", says=("our address", "temporary|later|fast|too much"),
         unless=("block list", "no reverse name", "no relay", "no such user")),
    Rule("relay-quota", _TENANT, "the account's quota at the relay service is used up",
         _SES, says=("throttled sending", "long period"), wait=Wait(86_400)),
    Rule("relay-rate", _SLOW_TENANT, "the account sends faster than the relay service allows",
         _SES, says=("throttled sending",)),
    Rule("relay-quota-454", _TENANT, "the account's quota at the relay service is used up",
         _SES, codes="454", phases=_SENDING, says=("limit", "long period"), unless=("account|you", "our address", "domain"),
         wait=Wait(86_400)),
    Rule("relay-rate-454", _SLOW_TENANT, "the account sends faster than the relay service allows",
         _SES, codes="454", phases=_SENDING, says=("fast",), unless=("account|you", "our address", "domain")),
    Rule("relay-account-quota", _TENANT, "the account's quota at the relay service is used up",
         _TEXT, providers=RELAY, says=("limit",), unless=("fast", "our address", "domain"), wait=Wait(86_400)),
    Rule("relay-account-rate", _SLOW_TENANT, "the account sends faster than the relay service allows",
         _TEXT, phases=_SENDING, providers=RELAY, says=("fast", "account|you"),
         unless=("long period", "our address", "domain")),
    Rule("quota-of-a-period", _QUOTA, "the sending quota of an hour or a day is used up",
         _GOOGLE, says=("limit", "long period"), unless=("too many logins",), wait=Wait(86_400)),
    Rule("rate", _RATE, "sending or connecting too fast", _SHAPING, says=("fast",)),
    Rule("quota", _QUOTA, "the sending quota is used up", _MICROSOFT, says=("limit",), unless=("spam",), wait=Wait(86_400)),
    Rule("sending-failed-try-later", _PAUSE, "a sending limit in disguise: permanent by its code, temporary by its text",
         "GMX, web.de", codes="5..", says=("sending failed", "later"), wait=Wait(86_400)),
    # credentials
    Rule("smtp-auth-off-tenant", _TENANT,
         "SMTP AUTH is disabled for the whole tenant: an administrator must enable it (Set-TransportConfig "
         "-SmtpClientAuthenticationDisabled $false) or the mailboxes need OAuth",
         _MICROSOFT, says=("smtp auth off", "tenant")),
    Rule("security-defaults", _TENANT,
         "the organisation's security defaults lock logins with a password: an administrator must except them or "
         "the mailboxes need OAuth",
         _MICROSOFT, says=("security defaults",)),
    Rule("smtp-auth-off", _FIX,
         "SMTP AUTH is disabled for this mailbox: an administrator must enable it (Set-CASMailbox "
         "-SmtpClientAuthenticationDisabled $false)",
         _MICROSOFT, says=("smtp auth off",)),
    Rule("basic-auth-off", _FIX, "the provider takes no password any more: give this mailbox OAuth",
         _MICROSOFT, says=("basic auth off",)),
    Rule("bad-credentials", _FIX, "the login is wrong, or the provider wants an app password: give new credentials",
         _GOOGLE, phases=_AUTH, says=("bad login",), unless=("our address",)),
    # whom we may send as, and whether we may send
    Rule("sender-not-ours", _FIX, "this login may not use this sender address", _TEXT, says=("not our sender",)),
    Rule("relay-denied", _FIX, "this login may not relay here, or did not log in", _TEXT, says=("no relay",)),
    Rule("account-locked-for-a-while", _PAUSE, "the account is locked for a while",
         _TEXT, codes="4..", says=("account off|account blocked", "temporary"), unless=("about them",), wait=Wait(60, 2)),
    Rule("account-locked-try-later", _PAUSE, "the account is locked for a while",
         _TEXT, codes="5..", says=("account off", "temporary", "later"),
         unless=("about them", "account blocked", "our address"), wait=Wait(60, 2)),
    Rule("account-blocked", _FIX, "the provider has blocked the account: a person must unblock it",
         _MICROSOFT, says=("account blocked",), unless=("our address", "about them")),
    Rule("account-off-early", _FIX, "the account is disabled: a person must enable it",
         _TEXT, phases=_NO_RECIPIENT_YET, says=("account off",), unless=("our address",)),
    Rule("account-off", _FIX, "the account is disabled: a person must enable it",
         _TEXT, phases=_RECIPIENT_KNOWN, says=("account off", "own mailbox|sender"), unless=("our address", "about them")),
    Rule("account-off-late", _FIX, "the account is disabled: a person must enable it",
         _TEXT, enhanced=r"(?!5\.[12]\.1$).*", phases=_CONTENT_KNOWN, says=("account off", "plain account"),
         unless=("our address", "about them", "no such user", "mailbox unavailable")),
    Rule("sender-refused", _FIX, "our sender address is refused",
         _TEXT, codes="5..", says=("sender refused",), unless=("our address",)),
    Rule("sender-refused-4xx", _RETRY, "our sender address is refused for now",
         _5321, codes="4..", says=("sender refused",), unless=("our address",)),
    Rule("sender-unknown", _FIX, "our own sender address is unknown (no recipient was named yet)",
         _TEXT, codes="5..", phases=_MAIL, says=("no such user|user off",), unless=("our address",)),
    Rule("sender-unavailable", _FIX, "our own mailbox is not available (no recipient was named yet)",
         _TEXT, codes="5..", phases=_MAIL, says=("mailbox unavailable",)),
    # the recipient
    Rule("recipient-unknown", _SUPPRESS, "no such recipient",
         _3463, phases=_RECIPIENT_KNOWN, says=("no such user",), unless=("ip word",)),
    Rule("recipient-off", _SUPPRESS, "the recipient's mailbox is disabled or inactive",
         _3463, phases=_RECIPIENT_KNOWN, says=("user off",), unless=("our address", "block list")),
    Rule("mailbox-unavailable", _SUPPRESS, "the recipient's mailbox is not available",
         _5321, codes="5..", phases=_RECIPIENT_KNOWN, says=("mailbox unavailable",)),
    Rule("recipient-refused", _SUPPRESS, "the recipient is refused",
         _MICROSOFT, codes="5..", phases=_RECIPIENT_KNOWN, says=("recipient refused",), unless=("our address",)),
    # our IP
    Rule("no-reverse-name", _EGRESS, "our IP has no reverse DNS name: set its PTR record",
         _GOOGLE, says=("no reverse name",), passing=True),
    Rule("ip-reputation", _EGRESS, "our IP has a bad reputation", _GOOGLE, says=("our reputation",)),
    Rule("ip-listed", _EGRESS, "a block list names our IP: ask for its removal", _MICROSOFT, says=("block list",)),
    Rule("ip-refused", _EGRESS, "our IP is refused", _MICROSOFT, says=("our address", "refused")),
    Rule("ip-sends-spam", _EGRESS, "our IP is refused as a source of spam", _TEXT, codes="5..", says=("ip word", "spam")),
    Rule("ip-refused-at-the-door", _EGRESS, "our IP is refused before we have said anything",
         _TEXT, codes="5..", phases=_DOOR, says=("our address",)),
    # logins whose text says no more
    Rule("login-refused-for-now", _PAUSE, "a temporary authentication failure",
         _TEXT, codes="5..", phases=_AUTH, says=("temporary",), wait=Wait(60, 2)),
    Rule("login-refused", _FIX, "the login is refused: give new credentials", _4954, codes="5..", phases=_AUTH),
    Rule("login-refused-by-code", _FIX, "the login is refused or missing", _4954, codes="53[0458]"),
    Rule("password-transition", _FIX, "the server wants a password transition",
         _4954, codes="432", enhanced=r"(?!4\.3\.2$).*", phases=_AUTH),
    Rule("login-deferred", _PAUSE, "a temporary authentication failure",
         _4954, codes="454|43[56]", phases=_AUTH, wait=Wait(60, 2)),
    Rule("login-deferred-by-text", _PAUSE, "a temporary authentication failure",
         _4954, codes="4..", phases=_AUTH, says=("login",), wait=Wait(60, 2)),
    Rule("spam", _FAIL, "this message looks like spam", _TEXT, codes="5..", says=("spam",)),
    # a domain of which the text does not say whose it is, after all that says it is ours: that of the address just named
    Rule("sender-domain-unknown-early", _DOMAIN, "our domain is not found in DNS (no recipient was named yet)",
         _3463, codes="5..", phases=_MAIL, says=("domain unknown",),
         unless=("our address", "our greeting", "temporary"), passing=True),
    Rule("recipient-domain-unknown", _SUPPRESS, "the recipient's domain does not exist or has no mail server",
         _3463, codes="5..", enhanced=r"(?!5\.1\.[78]$|5\.7\.\d\d).*", phases=_RCPT, says=("domain unknown|unroutable",),
         unless=("our address", "our greeting", "sender", "temporary")),
    # the enhanced code, where the text says nothing
    Rule("code-recipient-receives-too-much", _OTHER, "the recipient gets mail too fast",
         _GOOGLE, enhanced=r"4\.2\.1|[45]\.2\.12[12]", phases=_RECIPIENT_KNOWN),
    Rule("code-own-mailbox-full", _FIX, "our own mailbox is full", _3463, enhanced=r"[45]\.2\.2", phases=_NO_RECIPIENT_YET),
    Rule("code-recipient-full", _SUPPRESS, "the recipient's mailbox is full",
         _3463, enhanced=r"[45]\.2\.2", phases=_RECIPIENT_KNOWN),
    Rule("code-too-many-recipients", _RETRY, "too many recipients in one transaction",
         "RFC 5321 4.5.3.1.10", enhanced=r"[45]\.5\.3"),
    Rule("code-quota", _PAUSE, "the sending quota is used up", _GOOGLE, enhanced=r"5\.4\.5|5\.1\.90", wait=Wait(86_400)),
    Rule("code-tenant-quota", _TENANT, "the tenant's quota is used up",
         _MICROSOFT, enhanced=r"5\.7\.23[23]", wait=Wait(86_400)),
    Rule("code-ip-refused", _EGRESS, "our IP is refused",
         _MICROSOFT, enhanced=r"[45]\.7\.25|5\.7\.6(?:0[6-9]|[1-4]\d)|5\.7\.708|5\.7\.511", passing=True),
    Rule("code-tenant-blocked", _TENANT, "the tenant is blocked: its owner must act",
         _MICROSOFT, enhanced=r"5\.7\.7(?:[0-4]\d|50)"),
    Rule("code-unusual-rate", _RATE, "the provider sees an unusual rate",
         _GOOGLE, enhanced=r"[45]\.7\.28|4\.7\.65\d|4\.7\.500|5\.7\.508"),
    Rule("code-domain-authentication-gmail", _DOMAIN, "SPF, DKIM or DMARC of our domain fails",
         _GOOGLE, enhanced=r"[45]\.7\.(?:27|30|32|40)", providers=r"(?:gmail|google).*",
         passing=True),
    Rule("code-domain-authentication", _DOMAIN, "SPF, DKIM or DMARC of our domain fails",
         _7372, enhanced=r"[45]\.7\.2[0-46]|5\.7\.515|5\.7\.509", passing=True),
    Rule("code-basic-auth-off", _FIX, "the provider takes no password any more: give this mailbox OAuth",
         _MICROSOFT, enhanced=r"5\.7\.30"),
    Rule("code-login-refused", _FIX, "the login is refused: give new credentials", _4954, enhanced=r"5\.7\.(?:8|139|57)"),
    Rule("code-account-blocked", _FIX, "the provider has blocked the account: a person must unblock it",
         _MICROSOFT, enhanced=r"5\.1\.8|5\.7\.50[123]"),
    Rule("code-sender-not-ours", _FIX, "this login may not use this sender address, or relay",
         _MICROSOFT, enhanced=r"5\.7\.(?:60|54|64)"),
    Rule("code-sender-unknown", _FIX, "our own sender address is unknown", _3463, enhanced=r"5\.1\.[1237]", phases=_MAIL),
    Rule("code-recipient-unknown", _SUPPRESS, "no such recipient or domain, or it takes no mail from us",
         _3463, enhanced=r"5\.1\.(?:[1236]|10)|5\.2\.1|5\.4\.(?:1|4|310)|5\.7\.(?:12[49]|13[3-7]|50[457])",
         phases=_RECIPIENT_KNOWN),
    # the code alone
    Rule("concurrent-sends", _SLOW_MAILBOX, "more sends at once than the provider allows: one connection",
         _MICROSOFT, codes="432"),
    Rule("provider-defends-itself", _SLOW_PROVIDER, "the provider defends itself: close, come back later",
         _GOOGLE, codes="421", enhanced=r"4\.7\.0", unless=("trouble",)),
    Rule("try-later-at-the-door", _SLOW_PROVIDER, "the provider defends itself: close, come back later",
         _GOOGLE, codes="421", enhanced=r"|4\.7\.\d+", phases=_DOOR, says=("later",), unless=("trouble",)),
    Rule("temporary-by-text", _RETRY, "a temporary failure in spite of its code",
         _TEXT, codes="5..", phases=_DOOR | _SENDING, says=("temporary|trouble", "later")),
    Rule("temporary-trouble", _RETRY, "a temporary failure in spite of its code",
         _TEXT, codes="5..", phases=_DOOR | _SENDING, says=("temporary", "trouble")),
    Rule("temporary", _RETRY, "a temporary failure", _5321, codes="4.."),
    Rule("permanent", _FAIL, "refused for good, without a reason that we know", _5321),
)  # fmt: skip
