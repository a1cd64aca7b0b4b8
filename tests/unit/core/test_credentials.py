"""Credentials at rest: they open with their key at their address and nowhere else, and no fault repeats a secret."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core.credentials import Keys, Sealed, Tokens, Undecipherable, new_key, parse_keys
from warmup_core.types import Refused

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
NONCE = bytes(12)


def line(key_id: str, key: bytes) -> str:
    return f"{key_id}:{base64.b64encode(key).decode()}"


def keys(*lines: str) -> Keys:
    return parse_keys("\n".join(lines))


@given(st.text(max_size=200), st.binary(min_size=12, max_size=12))
def test_what_was_sealed_opens_at_its_own_address_whatever_its_case(secret: str, nonce: bytes) -> None:
    sealed = keys(line("a", OLD)).seal("Ann@Orchard.example", secret, nonce)
    assert keys(line("a", OLD)).open("ann@orchard.EXAMPLE", sealed) == secret


def test_a_ciphertext_moved_to_another_mailbox_does_not_open() -> None:
    both = keys(line("a", OLD))
    sealed = both.seal("ann@orchard.example", "secret", NONCE)
    with pytest.raises(Undecipherable, match="another key under this id, or moved"):
        both.open("ben@orchard.example", sealed)


def test_tokens_do_not_open_where_a_password_belongs_nor_a_password_as_tokens() -> None:
    """Who may write the tables could else let a worker send a refresh token to a mail server as a password."""
    ours = keys(line("a", OLD))
    tokens = Tokens("refresh", "f", "access")
    sealed = ours.seal_tokens("Ann@orchard.example", tokens, NONCE)
    assert ours.open_tokens("ann@orchard.example", sealed) == tokens
    for moved in (
        lambda: ours.open("ann@orchard.example", sealed),
        lambda: ours.open_tokens("b@c.example", sealed),
    ):
        with pytest.raises(Undecipherable):
            moved()
    with pytest.raises(Undecipherable):
        ours.open_tokens("ann@orchard.example", ours.seal("ann@orchard.example", "secret", NONCE))
    assert "refresh" not in repr(tokens)


def test_a_rotated_key_encrypts_and_the_old_one_still_opens() -> None:
    before = keys(line("old", OLD)).seal("a@b.example", "secret", NONCE)
    rotated = keys(line("new", NEW), line("old", OLD))
    assert rotated.open("a@b.example", before) == "secret"
    assert rotated.seal("a@b.example", "secret", NONCE).key_id == "new"


def test_a_lost_key_is_told_by_its_id() -> None:
    sealed = keys(line("old", OLD)).seal("a@b.example", "secret", NONCE)
    with pytest.raises(Undecipherable, match=r"under key 'old', the keys Secret holds \['new'\]"):
        keys(line("new", NEW)).open("a@b.example", sealed)


@given(st.binary(max_size=40), st.sampled_from(["key_id", "nonce", "ciphertext"]))
def test_a_changed_bit_is_found(noise: bytes, field: str) -> None:
    ours = keys(line("a", OLD))
    good = ours.seal("a@b.example", "secret", NONCE)
    flipped = bytes(byte ^ 1 for byte in good.ciphertext[:1]) + good.ciphertext[1:]
    bad = Sealed(good.key_id, good.nonce, flipped)
    if field == "nonce":
        bad = Sealed(good.key_id, bytes([1]) * 12, good.ciphertext)
    if field == "key_id":
        bad = Sealed("b", good.nonce, good.ciphertext + noise)
    with pytest.raises(Undecipherable):
        ours.open("a@b.example", bad)


def test_a_keys_file_with_faults_is_refused_whole_and_never_repeated() -> None:
    good = line("a", OLD)
    text = "\n".join(["# ours", good, "no colon", "b:c2hvcnQ=", good, "bad id!:" + good.partition(":")[2]])
    with pytest.raises(Refused) as refused:
        parse_keys(text)
    assert [fault.partition(":")[0] for fault in refused.value.faults] == [
        "line 3",
        "line 4",
        "line 5",
        "line 6",
    ]
    assert good.partition(":")[2] not in str(refused.value)


def test_an_empty_keys_file_is_refused() -> None:
    with pytest.raises(Refused, match="it holds no key"):
        parse_keys("# nothing\n\n")


def test_new_keys_are_good_and_differ() -> None:
    first, second = new_key("k"), new_key("k")
    assert first != second
    assert parse_keys(first).ids == ["k"]


def test_keys_never_show_themselves() -> None:
    assert base64.b64encode(OLD).decode() not in repr(keys(line("a", OLD)))
