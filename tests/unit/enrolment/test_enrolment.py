"""What a row may say, what it changes, and what it never changes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core.addresses import identity
from warmup_core.enrolment import Enrolment, EnrolmentFile, Mailbox, parse, plan
from warmup_core.types import Refused

ADA = Mailbox(
    id=1,
    email="ada@tea.example",
    user="ada",
    smtp_host="mail.tea.example",
    smtp_port=587,
    smtp_security="starttls",
    username="ada@tea.example",
    password="leaf",
    display_name="Ada",
)


def file(text: str) -> EnrolmentFile:
    return parse(text.encode())


def faults(text: str, *enrolled: Mailbox) -> list[str]:
    with pytest.raises(Refused) as error:
        plan(file(text), {identity(mailbox.email): mailbox for mailbox in enrolled})
    return error.value.faults


def test_a_new_mailbox_gets_the_usual_defaults() -> None:
    changes = plan(file("email,user,smtp_host,password\nada@tea.example,ada,mail.tea.example,leaf\n"), {})
    assert changes.added == [replace(ADA, id=None, display_name="")]
    assert (changes.changed, changes.untouched) == ([], [])


def test_port_465_means_tls_unless_said_otherwise() -> None:
    text = "email,user,smtp_host,password,smtp_port,smtp_security\n"
    text += "a@b.example,a,h.example,p,465,\nc@d.example,c,h.example,p,465,STARTTLS\n"
    assert [box.smtp_security for box in plan(file(text), {}).added] == ["tls", "starttls"]


def test_every_fault_of_every_row_is_named_with_line_and_column() -> None:
    said = faults(
        "email,user,smtp_host,smtp_port,smtp_security,password\n"
        "ada@tea.example,ada,mail host,0,ssl,leaf\n"
        "not an address,ben,h.example,587,tls,bean\n"
        ",cle,h.example,587,tls,seed\n"
        "dan@tea.example,dan,h.example,587,tls,se\x07cret\n"
        "ADA@Tea.Example,ada,h.example,587,tls,leaf\n"
    )
    assert [fault.split(":")[0] for fault in said] == [
        "line 2, column 3 (smtp_host)",
        "line 2, column 4 (smtp_port)",
        "line 2, column 5 (smtp_security)",
        "line 3, column 1 (email)",
        "line 4, column 1 (email)",
        "line 5, column 6 (password)",
        "line 6, column 1 (email)",
    ]
    assert "U+0007" in said[5]
    assert "cret" not in "".join(said)
    assert "ADA@tea.example is on line 2 as well" in said[6]


def test_only_columns_present_and_not_empty_change() -> None:
    text = "email,quota,display_name,smtp_port\nada@tea.example,30,,2525\n"
    [change] = plan(file(text), {identity(ADA.email): ADA}).changed
    assert change.columns == ("smtp_port",)
    assert change.mailbox == replace(ADA, smtp_port=2525)


def test_the_same_again_touches_nothing() -> None:
    text = "email,user,smtp_host,password\nADA@TEA.example,ada,MAIL.tea.example,leaf\n"
    changes = plan(file(text), {identity(ADA.email): ADA})
    assert (changes.added, changes.changed, changes.untouched) == ([], [], ["ada@tea.example"])


def test_a_password_that_does_not_open_any_more_is_written_anew() -> None:
    text = "email,password\nada@tea.example,leaf\n"
    [change] = plan(file(text), {identity(ADA.email): replace(ADA, password=None)}).changed
    assert change.columns == ("password",)


def test_a_mailbox_never_moves_to_another_user() -> None:
    """field-010: one address has one owner, so nothing can be sent for it under two."""
    [fault] = faults("email,user\nada@tea.example,ben\n", ADA)
    assert fault.startswith("line 2, column 2 (user): ada@tea.example belongs to the user 'ada'")


def test_a_new_mailbox_without_what_it_needs_is_refused() -> None:
    said = faults(
        "email,user,smtp_host\nnew@tea.example,,h.example\nada@tea.example,,\nx@tea.example,x,h.example\n",
        ADA,
    )
    assert said[0] == "line 2, column 2 (user): it is empty, and new@tea.example is new"
    assert "there is no column 'password', and 2 of the mailboxes are new, the first on line 2" in said[1]


def test_a_local_part_that_is_not_ascii_is_taken_in_one_form() -> None:
    """Whether it can be sent from is said by its server, which offers SMTPUTF8 or not."""
    [row] = file("email\nmu\u0308ller@tea.example\n").rows
    assert row.email == "müller@tea.example"


@pytest.mark.parametrize(
    "bad", ["a@b.example\u200b", "a\x00@b.example", "a@b.example\u2028x", "a\tb@c.example"]
)
def test_what_cannot_be_seen_is_refused(bad: str) -> None:
    with pytest.raises(Refused, match=r"U\+"):
        file(f'email\n"{bad}"\n')


@pytest.mark.parametrize("column", ["user", "smtp_host", "username", "password", "display_name"])
@pytest.mark.parametrize("character", ["\r\n", "\n", "\r", "\0"])
def test_no_cell_may_begin_another_line(column: str, character: str) -> None:
    """CR, LF and NUL would end a header, a command, or a part of PLAIN's response."""
    with pytest.raises(Refused, match=rf"line 2, column 2 \({column}\): .*U\+00"):
        file(f'email,{column}\na@b.example,"mail{character}example"\n')


def test_a_letter_that_an_earlier_program_lost_is_refused() -> None:
    with pytest.raises(Refused, match=r"line 2, column 2 \(display_name\): .*U\+FFFD"):
        file("email,display_name\na@b.example,M\ufffdller\n")


def test_a_password_is_in_no_repr() -> None:
    parsed = file("email,user,smtp_host,password\nada@tea.example,ada,h.example,TOPSECRET\n")
    assert "TOPSECRET" not in repr(parsed) + repr(plan(parsed, {}))


def rows_or_refusal(data: bytes) -> list[Enrolment] | Refused:
    try:
        return parse(data).rows
    except Refused as refusal:
        return refusal


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_or_refused_and_nothing_else(data: bytes) -> None:
    assert rows_or_refusal(data)


_cell = st.text(st.characters(codec="utf-8"), max_size=12)


@given(st.lists(st.tuples(_cell, _cell, _cell, _cell), min_size=1, max_size=5))
def test_any_table_is_taken_or_refused_and_nothing_else(rows: list[tuple[str, ...]]) -> None:
    lines = ["email,user,smtp_port,password"]
    lines += [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    taken = rows_or_refusal("\n".join(lines).encode())
    assert isinstance(taken, Refused) or all(row.email.isascii() and row.email.isprintable() for row in taken)


HEADERS = "email,window_from,window_to,time_zone,days\n"


def hours(row: str, present: Mailbox = ADA) -> tuple[object, ...]:
    """The hours of a mailbox after an import of this row."""
    changes = plan(file(f"{HEADERS}ada@tea.example,{row}\n"), {identity(present.email): present})
    box = changes.changed[0].mailbox if changes.changed else present
    return box.window_from, box.window_to, box.time_zone, box.days


def test_a_mailbox_may_have_hours_of_its_own() -> None:
    own = (14 * 3600, 22 * 3600, "America/Los_Angeles", "Mon,Tue,Wed,Thu,Fri")
    assert hours("14:00,22:00,America/Los_Angeles,Mon-Fri") == own
    assert hours("22:00,06:00,,") == (79_200, 21_600, None, None)
    assert hours(",00:00,,", replace(ADA, window_from=3600, window_to=7200)) == (3600, 86_400, None, None)
    assert hours(',,,"sun, SAT"') == (None, None, None, "Sat,Sun")
    settled = replace(ADA, window_from=50_400, window_to=79_200, time_zone="America/Los_Angeles", days="Mon")
    assert hours(",,,", settled) == (50_400, 79_200, "America/Los_Angeles", "Mon"), (
        "an empty cell changes nothing"
    )
    assert hours("fleet,Fleet,FLEET,fleet", settled) == (None, None, None, None)


def test_a_new_mailbox_brings_its_hours() -> None:
    text = "email,user,smtp_host,password,days,time_zone\na@b.example,a,h.example,p,Fri-Mon,Asia/Kathmandu\n"
    [box] = plan(file(text), {}).added
    assert (box.days, box.time_zone, box.window_from) == ("Mon,Fri,Sat,Sun", "Asia/Kathmandu", None)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("8,18:00,,", "'8' cannot be used: '8' is not a time of day"),
        ("24:00,18:00,,", "not a time of day before 24:00"),
        ("08:00,25:00,,", "(window_to): '25:00' cannot be used"),
        (
            ",,Mars/Olympus,",
            "(time_zone): 'Mars/Olympus' cannot be used: 'Mars/Olympus' is no IANA time zone",
        ),
        (",,,Mon-Sonntag", "(days): 'Mon-Sonntag' cannot be used: 'Mon-Sonntag' is none of Mon, Tue"),
        ("08:00,,,", "would have a window of its own without window_to; give both, or 'fleet' in both"),
    ],
)
def test_hours_that_cannot_be_are_refused_in_words(row: str, words: str) -> None:
    said = faults(f"{HEADERS}ada@tea.example,{row}\n", ADA)
    assert any(words in fault for fault in said), said


def test_half_a_window_cannot_be_taken_back() -> None:
    own = replace(ADA, window_from=3600, window_to=7200)
    assert "without window_from" in faults(f"{HEADERS}ada@tea.example,fleet,,,\n", own)[0]
