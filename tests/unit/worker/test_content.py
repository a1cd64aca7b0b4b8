"""A mail's bytes: a standard parser reads what was meant, and nothing hostile gets into a header."""

import email
import email.policy
from datetime import UTC, date, datetime
from email.header import decode_header, make_header
from email.utils import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_worker.claiming import Claim
from warmup_worker.content import Unwritable, compose
from warmup_worker.mailer import on_the_wire, readable

AT = datetime(2026, 11, 25, 7, 30, 5, tzinfo=UTC)


def claim(mail_id: int = 42, recipient: str = "ben@depot.example") -> Claim:
    return Claim(1, mail_id, date(2026, 11, 25), 0, AT, 2, recipient, 0, 0.0)


def display_name(message: bytes) -> str:
    """The sender's name, with adjacent encoded words joined as RFC 2047 says (the new parser of Python 3.11 does not)."""
    raw = email.message_from_bytes(message)["From"]
    words = "".join(raw.rpartition("<")[0].splitlines()).strip()
    return unquote(words) if words.startswith('"') else str(make_header(decode_header(words)))


names = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029\x85"), max_size=80
)


@given(names, st.integers(1, 2**62))
def test_a_parser_reads_what_was_meant(name: str, mail_id: int) -> None:
    mail = compose(claim(mail_id), "ann@orchard.example", name, "t0ken")
    parsed = email.message_from_bytes(mail.message, policy=email.policy.default)
    assert not parsed.defects
    (sender,) = parsed["From"].addresses
    assert sender.addr_spec == "ann@orchard.example"
    assert " ".join(display_name(mail.message).split()) == " ".join(name.split())
    assert [it.addr_spec for it in parsed["To"].addresses] == ["ben@depot.example"]
    assert parsed["Message-ID"] == mail.message_id == f"<20261125.{mail_id}.t0ken@orchard.example>"
    assert parsed["Date"].datetime == AT
    assert parsed["X-Warmup-Fleet"] == "t0ken"
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed.get_content_type() == "text/plain"
    assert "Warmup Fleet" in parsed.get_content()
    lines = mail.message.split(b"\r\n")
    assert lines[-1] == b""
    assert all(b"\n" not in one and b"\r" not in one and len(one) <= 998 for one in lines)


def test_the_texts_vary_and_the_same_mail_always_reads_the_same() -> None:
    subjects = {
        email.message_from_bytes(compose(claim(n), "a@b.example", "", "t").message)["Subject"]
        for n in range(100)
    }
    assert len(subjects) > 3
    assert compose(claim(7), "a@b.example", "", "t") == compose(claim(7), "a@b.example", "", "t")


@pytest.mark.parametrize(
    "address",
    [
        "a@b\r\nBcc: x@y",
        "a@b\n",
        "a\x00@b",
        "a b@c",
        "<a@b>",
        "a",
        "@b",
        "a@",
        "a@b,c@d",
        "a@b>",
        "é@b.example",
        "",
    ],
)
def test_an_address_that_cannot_stand_in_a_mail_is_refused_not_rewritten(address: str) -> None:
    with pytest.raises(Unwritable):
        compose(claim(recipient=address), "ann@orchard.example", "", "t")
    with pytest.raises(Unwritable):
        compose(claim(), address, "", "t")


@pytest.mark.parametrize("name", ["a\r\nBcc: x@y", "a\nb", "a\x00b", "tab\there"])
def test_a_name_with_a_control_character_is_refused(name: str) -> None:
    with pytest.raises(Unwritable):
        compose(claim(), "ann@orchard.example", name, "t")


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=5), max_size=10))
def test_dots_are_doubled_once_and_come_back(lines: list[str]) -> None:
    message = "".join(f"{line}\r\n" for line in [*lines, "end"]).encode()
    wire = on_the_wire(message) + b"\r\n.\r\n"
    received = wire[: wire.index(b"\r\n.\r\n") + 2]
    undone = b"\r\n".join(one[1:] if one.startswith(b".") else one for one in received.split(b"\r\n"))
    assert undone == message


@given(st.text(max_size=2000))
def test_a_servers_words_are_safe_to_store_and_to_show(text: str) -> None:
    shown = readable(text)
    assert len(shown) <= 500
    assert shown.isprintable() or all(ord(one) > 159 for one in shown if not one.isprintable())
    assert "\x00" not in shown
    shown.encode()
