"""Which provider a mailbox's mail host belongs to, and how many mails a day that provider admits from one mailbox. Pure.

A host of no known provider is a provider of its own, by its name: so a limit can be written for any server.
Invariant: what the fleet's settings say of a provider comes before what is known of it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from warmup_core.ramp import PROVIDER_LIMITS, ProviderLimit

_HOSTS = (
    ("gmail", ("smtp.gmail.com", "smtp.googlemail.com", "smtp-relay.gmail.com")),
    ("microsoft365", (".office365.com", ".office.com", ".outlook.com", ".outlook.office.com")),
    ("yahoo", (".mail.yahoo.com",)),
    ("icloud", (".mail.me.com",)),
    ("zoho", (".zoho.com", ".zoho.eu", ".zoho.in")),
    ("ses", (".amazonaws.com",)),
    ("sendgrid", (".sendgrid.net",)),
    ("mailgun", (".mailgun.org",)),
)

_KNOWN = frozenset(name for name, _ in _HOSTS)

OTHER: Final = "other"
"""What ``known_provider`` calls every host that belongs to none of those known here."""


@lru_cache(maxsize=4096)
def provider_of(host: str) -> str:
    """``smtp.gmail.com`` -> ``gmail``; any other host is its own provider."""
    host = host.lower().rstrip(".")
    for name, suffixes in _HOSTS:
        if any(host == it or (it.startswith(".") and host.endswith(it)) for it in suffixes):
            return name
    return host


def known_provider(host: str) -> str:
    """The provider of a host where it is one of those known here, else ``other``: a closed set, fit for a metric's label."""
    name = provider_of(host)
    return name if name in _KNOWN else OTHER


def mailbox_limit(host: str, given: Mapping[str, int]) -> ProviderLimit | None:
    """What one mailbox at this host may send in any 24 hours; None where nobody says. ``given``: the settings, by name."""
    name = provider_of(host)
    if name in given:
        return ProviderLimit(name, given[name])
    return PROVIDER_LIMITS.get(name)
