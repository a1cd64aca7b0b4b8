"""One canonical form, whatever is typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core.addresses import canonical, host, identity, readable

TEA = "info@xn--mller-tee-q9a.example"


@pytest.mark.parametrize(
    "typed",
    [
        "info@müller-tee.example",
        "info@MÜLLER-TEE.EXAMPLE",
        "info@mu\u0308ller-tee.example",
        TEA,
        " info@xn--mller-tee-q9a.Example ",
        "info@müller-tee。example",
        "info@müller-tee.example.",
    ],
)
def test_all_spellings_of_a_domain_are_one(typed: str) -> None:
    """field-043."""
    assert canonical(typed) == TEA
    assert readable(TEA) == "info@müller-tee.example"


def test_the_local_part_is_kept_and_still_found_in_any_case() -> None:
    assert canonical("INFO@MÜLLER-TEE.EXAMPLE") == "INFO@xn--mller-tee-q9a.example"
    assert identity(canonical("INFO@MÜLLER-TEE.EXAMPLE")) == identity(TEA)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ('"ada"@tea.example', "ada@tea.example"),
        ('"a\\da"@tea.example', "ada@tea.example"),
        ('"ada b"@tea.example', '"ada b"@tea.example'),
        ('"a@b"@Tea.example', '"a@b"@tea.example'),
        ('"a\\"b"@tea.example', '"a\\"b"@tea.example'),
        ("mu\u0308ller@tea.example", "müller@tea.example"),
        ('"mü ller"@tea.example', '"mü ller"@tea.example'),
    ],
)
def test_a_local_part_keeps_quotes_and_letters_that_it_needs(typed: str, stored: str) -> None:
    assert canonical(typed) == stored


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("ada", "name@domain"),
        ("@tea.example", "name@domain"),
        ("ada@", "name@domain"),
        ("a b@tea.example", "only a quoted one"),
        ("a..b@tea.example", "only a quoted one"),
        ('"a"b"@tea.example', "only a quoted one"),
        ("a\u00a0b@tea.example", "only a quoted one"),
        ("a@b@tea.example", "only a quoted one"),
        ("<a@tea.example>", "only a quoted one"),
        ("a@tea", "no dot"),
        ("a@[192.0.2.1]", "not a domain name"),
        ("a@192.0.2.1", "IP address"),
        ("a@-tea.example", "not a domain name"),
        ("a@tea..example", "not a domain name"),
        ("a@te a.example", "not a domain name"),
        ("a" * 65 + "@tea.example", "64"),
        ("ü" * 33 + "@tea.example", "64"),
        ("a" * 60 + "@" + ("b" * 60 + ".") * 3 + "tea.example", "254"),
        ("a@tea.example\r\nRCPT TO:<b@c.example>", "U+000D"),
    ],
)
def test_what_is_no_address_says_why(typed: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("+", r"\+")):
        canonical(typed)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [("Mail.Tea.Example", "mail.tea.example"), ("müller.example", "xn--mller-kva.example")],
)
def test_a_host_is_stored_as_dns_knows_it(typed: str, stored: str) -> None:
    assert host(typed) == stored


def test_a_host_may_be_one_label_or_an_address() -> None:
    assert [host(name) for name in ("postfix", "192.0.2.1", "2001:db8::1")] == [
        "postfix",
        "192.0.2.1",
        "2001:db8::1",
    ]


@given(st.text(max_size=40))
def test_canonical_is_idempotent_and_its_domain_ascii(text: str) -> None:
    try:
        stored = canonical(f"{text}@tea.example")
    except ValueError:
        return
    assert canonical(stored) == stored
    assert stored.rpartition("@")[2].isascii()
    assert canonical(readable(stored)) == stored
