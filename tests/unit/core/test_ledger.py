"""A mail's name carries its key and comes back from it."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from warmup_core.ledger import Name, message_id, parse_message_id

tokens = st.text("abcdef0123456789", min_size=1, max_size=16)
domains = st.sampled_from(["orchard.example", "a-b.example", "xn--bcher-kva.example"])


@given(st.dates(date(2000, 1, 1)), st.integers(1, 2**62), tokens, domains)
def test_a_name_gives_its_parts_back(day: date, mail_id: int, token: str, domain: str) -> None:
    name = message_id(day, mail_id, token, domain)
    assert parse_message_id(name) == Name(day, mail_id, token, domain)
    assert len(name) < 200


def test_names_of_others_are_none_of_ours() -> None:
    for other in (
        "<abc@example.org>",
        "20261125.1.t@x",
        "<20261399.1.t@x.example>",
        "",
        "<20261125.1.t@x> junk",
    ):
        assert parse_message_id(other) is None
