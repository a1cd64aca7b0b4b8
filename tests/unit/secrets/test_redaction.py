"""What a server repeats of a login never stays in its reply: whole, in base64, in other capitals, wrapped, cut short."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmup_worker.redaction import Redactor
from warmup_worker.sasl import Bearer, Login

PASSWORD = "hunter2-Ümlaut"
TOKEN = "ya29." + "a0AfB_byC-" * 40


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        (f"535 bad password {PASSWORD}", "535 bad password ***"),
        (f"535 BAD PASSWORD {PASSWORD.upper()}!", "535 BAD PASSWORD ***!"),
        (f"535 {encoded(PASSWORD)}", "535 ***"),
        (f"535 no: PLAIN {encoded(f'{chr(0)}ann{chr(0)}{PASSWORD}')}", "535 no: PLAIN ***"),
        ("535 5.7.8 Username and Password not accepted", "535 5.7.8 Username and Password not accepted"),
    ],
)
def test_a_password_in_any_form_that_auth_gives_it(reply: str, kept: str) -> None:
    assert Login("ann", PASSWORD).redactor(reply) == kept


@pytest.mark.parametrize(
    "reply",
    [
        f"535 {TOKEN}",
        f"535 {TOKEN[:20]}...",
        f"535 token={TOKEN[100:160]}, sorry",
        f"535 {encoded(TOKEN)[40:120]}",
        "535 " + "\n".join(TOKEN[at : at + 60] for at in range(0, len(TOKEN), 60)),
        "535 " + encoded(f"user=ann\1auth=Bearer {TOKEN}\1\1")[:90],
    ],
)
def test_any_piece_of_a_token(reply: str) -> None:
    left = Redactor([TOKEN], [encoded(f"user=ann\1auth=Bearer {TOKEN}\1\1")])(reply)
    assert "***" in left
    assert not any(TOKEN[at : at + 12] in left for at in range(len(TOKEN) - 12))
    assert not any(encoded(TOKEN)[at : at + 12] in left for at in range(len(encoded(TOKEN)) - 12))


@given(st.integers(0, len(TOKEN) - 16), st.integers(16, 80), st.text("abc.-_", max_size=9))
@settings(max_examples=60)
def test_a_piece_of_sixteen_letters_is_found_wherever_it_stands(start: int, length: int, before: str) -> None:
    piece = TOKEN[start : start + length]
    assert piece[:15] not in Redactor([TOKEN])(f"535 {before}{piece}")


def test_ordinary_words_stay() -> None:
    reply = "550 5.1.1 <ben@depot.example>: Recipient address rejected, see https://mail.example/help/12345"
    assert Bearer("ann@orchard.example", TOKEN).redactor(reply) == reply
    assert Login("ann", "to").redactor("535 too bad") == "535 too bad", "three letters would take words along"


@settings(max_examples=60)
@given(secret=st.text(min_size=4, max_size=80), before=st.text(max_size=40), after=st.text(max_size=40))
def test_no_secret_is_left_wherever_it_stands(secret: str, before: str, after: str) -> None:
    left = Redactor([secret])(f"{before}{secret}{after}")
    assert secret.lower() not in left.lower() or secret.lower() in "***"


def test_a_secret_is_not_shown_by_repr() -> None:
    shown = f"{Login('ann', PASSWORD)!r} {Bearer('ann', TOKEN)!r} {Login('ann', PASSWORD).redactor!r}"
    assert PASSWORD not in shown
    assert TOKEN[:12] not in shown
