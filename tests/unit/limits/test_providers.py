"""A mailbox's provider by its mail host, and the most that provider admits from it a day."""

import pytest

from warmup_core.providers import known_provider, mailbox_limit, provider_of


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("smtp.gmail.com", "gmail"),
        ("SMTP.Gmail.com.", "gmail"),
        ("smtp-relay.gmail.com", "gmail"),
        ("smtp.office365.com", "microsoft365"),
        ("email-smtp.eu-west-1.amazonaws.com", "ses"),
        ("smtp.gmail.com.example.net", "smtp.gmail.com.example.net"),
        ("notoffice365.com", "notoffice365.com"),
        ("mail.example.com", "mail.example.com"),
    ],
)
def test_a_host_belongs_to_its_provider_or_is_one_itself(host: str, provider: str) -> None:
    assert provider_of(host) == provider


def test_hosts_of_no_known_provider_are_one_in_a_metric() -> None:
    hosts = ("smtp.gmail.com", "smtp.office365.com", "mail.example.com", "mx.other.example", "other")
    assert [known_provider(it) for it in hosts] == ["gmail", "microsoft365", "other", "other", "other"]


def test_the_settings_come_before_what_is_known() -> None:
    known = mailbox_limit("smtp.gmail.com", {})
    assert known is not None
    assert known.mails == 2000
    given = mailbox_limit("smtp.gmail.com", {"gmail": 500})
    assert given is not None
    assert (given.name, given.mails) == ("gmail", 500)
    assert mailbox_limit("mail.example.com", {"gmail": 500}) is None
    own = mailbox_limit("mail.example.com", {"mail.example.com": 20})
    assert own is not None
    assert own.mails == 20
