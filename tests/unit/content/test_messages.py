"""Every mail is valid, says what it is, and keeps the rules of the wire."""

import email.header
import email.policy
import email.utils
import re
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.content.mails import claim, mail, read, texts
from warmup_core.templates import parse
from warmup_worker.answering import Thread
from warmup_worker.headers import Unwritable, unstructured

LONG = "Ångström & Søn, Großhandel für außergewöhnliche Überlänge, Zweigstelle Österreich-Süd"


def test_many_mails_are_valid_in_every_language_and_seldom_alike() -> None:
    languages: Counter[str] = Counter()
    bodies, subjects, kinds = set(), set(), Counter[str]()
    for mail_id in range(1, 1200):
        parsed = read(mail(claim(mail_id)))
        languages[str(parsed["Content-Language"])] += 1
        subjects.add(str(parsed["Subject"]))
        bodies.add(texts(parsed)[0])
        kinds[parsed.get_content_type()] += 1
        assert all("{{" not in text for text in texts(parsed))
    assert set(languages) == {"de", "en", "es", "fr", "it", "nl", "pl", "pt"}
    assert min(languages.values()) > 90
    assert len(bodies) > 1150
    assert len(subjects) > 400
    assert kinds["multipart/alternative"] > 350
    assert kinds["text/plain"] > 550


def test_a_mail_says_what_it_is() -> None:
    parsed = read(mail())
    assert parsed["Message-ID"] == "<20261125.7.t0ken@tea.example>"
    assert parsed["X-Warmup-Fleet"] == "t0ken"
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["MIME-Version"] == "1.0"
    assert parsed["Date"].datetime.isoformat() == "2026-11-25T09:30:00+00:00"
    assert parsed["From"].addresses[0].display_name == "Ada Tea"
    assert parsed["To"].addresses[0].addr_spec == "ben@leaf.example"
    assert parsed["In-Reply-To"] is parsed["References"] is None


def test_the_same_claim_always_makes_the_same_mail() -> None:
    assert mail().message == mail().message
    assert mail(claim(7)).message != mail(claim(8)).message


def test_both_parts_say_the_same() -> None:
    parsed = next(
        it for it in (read(mail(claim(n))) for n in range(100)) if it.get_content_type() != "text/plain"
    )
    plain, html = texts(parsed)
    tagless = re.sub(r"<[^>]+>", "", html)
    assert plain.split() == tagless.replace("&amp;", "&").split()
    assert "<p>" in html


@pytest.mark.parametrize(
    ("turn", "first", "before", "references"),
    [
        (1, 5, None, ["<20261125.5.t0ken@leaf.example>"]),
        (2, 5, 5, ["<20261125.5.t0ken@tea.example>", "<20261125.6.t0ken@leaf.example>"]),
        (
            3,
            4,
            5,
            [
                "<20261125.4.t0ken@leaf.example>",
                "<20261125.5.t0ken@tea.example>",
                "<20261125.6.t0ken@leaf.example>",
            ],
        ),
    ],
)
def test_an_answer_has_the_headers_of_its_thread(
    turn: int, first: int, before: int | None, references: list[str]
) -> None:
    answered = first if turn == 1 else 6
    parsed = read(mail(claim(9, thread=Thread(first, answered, before, turn))))
    assert str(parsed["References"]).split() == references
    assert parsed["In-Reply-To"] == references[-1]
    assert parsed["Auto-Submitted"] == "auto-replied"
    if turn % 2:
        begun = read(mail(claim(first, "ada@tea.example", "Ada Tea"), "ben@leaf.example", "Ben Leaf"))
    else:
        begun = read(mail(claim(first)))
    assert parsed["Subject"] == f"Re: {begun['Subject']}"
    assert parsed["Content-Language"] == begun["Content-Language"]


def test_references_stay_well_under_a_kilobyte_with_the_longest_names() -> None:
    """field-011: a thread ends after a few turns, so no header grows with it."""
    domain = ".".join(["d" * 60] * 3) + ".example"
    made = mail(claim(2**62, f"b@{domain}", thread=Thread(2**62 - 3, 2**62 - 1, 2**62 - 2, 3)), f"a@{domain}")
    block = made.message.split(b"\r\n\r\n")[0]
    references = re.search(rb"References: (?:.*\r\n .*)+", block)
    assert references is not None
    assert len(references[0]) < 1000
    assert len(block) < 4096


def unquoted(phrase: str) -> str:
    return " ".join(email.utils.unquote(phrase.strip()).split())


names = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=90)


@given(names, names, st.integers(0, 10_000))
@settings(max_examples=300, deadline=None)
def test_any_names_and_subject_come_back_as_they_went_in(sender: str, recipient: str, mail_id: int) -> None:
    made = mail(claim(mail_id, recipient_name=recipient), name=sender)
    assert made.message.endswith(b"\r\n")
    assert b"\n" not in made.message.replace(b"\r\n", b"")
    assert b"\r" not in made.message.replace(b"\r\n", b"")
    assert max(map(len, made.message.split(b"\r\n"))) <= 998
    head = made.message.split(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78
    assert head.isascii()
    if sender.isprintable() and recipient.isprintable():
        read(made)
        # The older decoder: the strict one puts a blank between two encoded words of a name (RFC 2047, 6.2 says none).
        older = email.message_from_bytes(made.message, policy=email.policy.compat32)
        for header, name in (("From", sender), ("To", recipient)):
            decoded = str(email.header.make_header(email.header.decode_header(older[header])))
            assert unquoted(decoded.rpartition("<")[0]) == " ".join(name.split())


lines = st.builds(
    lambda text, times: (text * times)[:220].strip(),
    st.text(
        st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="{}=-"), max_size=40
    ),
    st.integers(1, 30),
)


@given(st.lists(lines, min_size=1, max_size=4).filter(any), st.booleans(), st.booleans())
@example(
    ["one line that is longer than a line of a mail should be and is the only one of its whole text"],
    False,
    False,
)
@settings(max_examples=150, deadline=None)
def test_any_text_of_ones_own_keeps_to_lines_that_end_in_crlf(
    text: list[str], answer: bool, drawn: bool
) -> None:
    """RFC 5321 2.3.8 and 4.5.3.1.6. Rendered through a template, whose lines may be longer once they are drawn."""
    written = "\n".join(text).strip("\n")
    source = "language: en\nhtml: 50\n== subject\ns\n"
    if drawn:
        source += f"== w\n{'word ' * 30}\n"
    source += "".join(f"== {it}\n{written}{'{{w}} ' * 8 * drawn}\n" for it in ("first", "answer"))
    made = mail(
        claim(9, thread=Thread(5, 5, None, 1) if answer else None), templates=parse({"x.txt": source})
    )
    assert b"\n" not in made.message.replace(b"\r\n", b"")
    assert b"\r" not in made.message.replace(b"\r\n", b"")
    assert max(map(len, made.message.split(b"\r\n"))) <= 78
    if not drawn:
        assert texts(read(made))[0] == f"{written}\n"


@pytest.mark.parametrize(
    "subject",
    [
        "short",
        "word " * 40 + "end",
        LONG * 3,
        "x" * 500,
        "x" * 950,
        "=?utf-8?q?not_an_encoded_word?=",
        "日本語の件名" * 20,
        "🙂" * 40,
        "two  spaces   three",
    ],
)
def test_a_subject_of_any_length_and_script_is_folded_and_comes_back(subject: str) -> None:
    """Rendered through a template of its own, as a person's templates are."""
    (template,) = parse({"x.txt": f"language: en\n== subject\n{subject[:880]}\n== first\na\n== answer\nb\n"})
    made = mail(templates=[template])
    assert read(made)["Subject"] == subject[:880]
    assert max(map(len, unstructured(subject).split(b"\r\n"))) <= 998
    if " " in subject or not subject.isascii():
        assert max(map(len, made.message.split(b"\r\n\r\n")[0].split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    ("address", "spec"),
    [
        ('"ada b"@tea.example', '"ada b"@tea.example'),
        ('"a@b"@tea.example', '"a@b"@tea.example'),
        ("ada@xn--mller-tee-q9a.example", "ada@xn--mller-tee-q9a.example"),
        ("a!#$%&'*+/=?^_`{|}~-z@tea.example", "a!#$%&'*+/=?^_`{|}~-z@tea.example"),
    ],
)
def test_unusual_addresses_stand_in_the_headers_as_they_are(address: str, spec: str) -> None:
    made = mail(claim(recipient=address), sender=address)
    assert not made.international
    parsed = read(made)
    assert parsed["From"].addresses[0].addr_spec == parsed["To"].addresses[0].addr_spec == spec
    assert made.sender == made.recipient == address


def test_an_address_beyond_ascii_makes_a_mail_for_smtputf8_only() -> None:
    made = mail(claim(recipient="jörg@leaf.example"))
    assert made.international
    assert '\r\nTo: "Ben Leaf" <jörg@leaf.example>\r\n'.encode() in made.message


@pytest.mark.parametrize(
    "address",
    [
        "ada@tea.example\r\nBcc: x@y.example",
        "ada@tea.example\n",
        "a b@tea.example",
        "<ada@tea.example>",
        "ada@te\x00a.example",
        '"a"b"@tea.example',
        '"ada\r\nBcc: x"@tea.example',
        "ada@müller.example",
        "ada@tea.example,ben@leaf.example",
        "ada@tea.example>",
        "@tea.example",
        "ada@",
        "ada",
        "",
    ],
)
def test_what_could_break_out_of_a_header_is_refused(address: str) -> None:
    with pytest.raises(Unwritable):
        mail(sender=address)
    with pytest.raises(Unwritable):
        mail(claim(recipient=address))


@pytest.mark.parametrize(
    "name", ["Ada\r\nBcc: x@y.example", "Ada\nb", "Ada\x00", "tab\there", "A\x7fda", "A\u2028da"]
)
def test_a_name_with_a_control_character_is_refused(name: str) -> None:
    with pytest.raises(Unwritable, match="control character"):
        mail(name=name)
    with pytest.raises(Unwritable, match="control character"):
        mail(claim(recipient_name=name))


@pytest.mark.parametrize(
    ("name", "address", "called"),
    [
        ("Ada Tea", "x@tea.example", "Ada"),
        ("Tea, Ada", "x@tea.example", "Ada"),
        ("", "ada.tea@tea.example", "Ada"),
        ("", '"ada tea"@tea.example', "Ada"),
        ("", "info@tea.example", "Info"),
    ],
)
def test_people_are_called_by_their_first_name(name: str, address: str, called: str) -> None:
    source = "language: en\n== subject\ns\n== first\nI am {{sender_first_name}}.\n== answer\nb\n"
    (template,) = parse({"x.txt": source})
    assert texts(read(mail(sender=address, name=name, templates=[template]))) == [f"I am {called}.\n"]
