"""Files as people save them: what is taken, what is refused, and in which words."""

import codecs

import pytest

from warmup_core.enrolment import COLUMNS, parse
from warmup_core.enrolment_file import read
from warmup_core.types import Refused

HEADERS = "email,user,smtp_host,password"
ROW = "ada@tea.example,ada,mail.tea.example,leaf"


def refused(data: bytes | str, encoding: str | None = None) -> str:
    with pytest.raises(Refused) as error:
        parse(data.encode() if isinstance(data, str) else data, encoding)
    return str(error.value)


@pytest.mark.parametrize(
    "data",
    [
        f"{HEADERS}\n{ROW}\n".encode(),
        codecs.BOM_UTF8 + f"{HEADERS}\n{ROW}\n".encode(),
        codecs.BOM_UTF8 + f"{HEADERS}\r\n{ROW}\r\n".encode(),
        codecs.BOM_UTF8 + f'"email",user,smtp_host,password\r\n{ROW}\r\n'.encode(),
        f"Email,USER,SMTP Host,Password\n{ROW}\n".encode(),
        f"{HEADERS}\n{ROW}\n,,,\n,,,\n\n".encode(),
        f"{HEADERS}\n{ROW}\n".replace(",", ";").encode(),
        f"{HEADERS}\n{ROW}\n".replace(",", "\t").encode(),
        f"{HEADERS}\n{ROW}".replace("\n", "\r").encode(),
        f"\n\n{HEADERS}\n\n{ROW}\n".encode(),
        codecs.BOM_UTF8 + f"{HEADERS};\r\n{ROW};\r\n;;;;\r\n".replace(",", ";").encode(),
    ],
)
def test_every_way_to_save_the_same_file_gives_the_same_row(data: bytes) -> None:
    """field-040."""
    [row] = parse(data).rows
    assert (row.email, row.user, row.smtp_host, row.password) == (
        "ada@tea.example",
        "ada",
        "mail.tea.example",
        "leaf",
    )


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    data = f'{HEADERS}\n\nada@tea.example,"two\nlines",h.example,p\nbad,b,h.example,p\n'
    said = refused(data)
    assert (
        "line 3, column 2 (user): 'two\\nlines' cannot be used: it holds the invisible character U+000A"
        in said
    )
    assert "line 5, column 1 (email): 'bad' cannot be used: it is not of the form name@domain" in said


def test_a_missing_address_column_shows_the_headers_and_the_nearest_name() -> None:
    """field-040."""
    said = refused("e-mial;user;notes\nada@tea.example;ada;x\n")
    assert "there is no column 'email'" in said
    assert "'e-mial' is not a known column; did you mean 'email'?" in said
    assert "the headers as read: 'e-mial', 'user', 'notes'" in said


def test_a_mistyped_column_is_refused_and_a_foreign_one_is_ignored() -> None:
    assert "'pasword' is not a known column; did you mean 'password'?" in refused(
        "email,pasword\na@b.example,x\n"
    )
    assert parse(b"email,quota\nada@tea.example,30\n").ignored == ["quota"]


def test_a_file_without_headers_is_refused_without_repeating_its_first_row() -> None:
    said = refused(f"\n{ROW}\n")
    assert "Line 2 holds an address where the headers should be" in said
    assert "known are: email, user, smtp_host" in said
    assert "leaf" not in said


def test_a_column_given_twice_is_refused() -> None:
    assert "line 1, column 3: 'Email' is there twice" in refused(
        "email,user,Email\na@b.example,a,c@d.example\n"
    )


def windows_1252(rows: int = 300) -> bytes:
    lines = ["email,user,smtp_host,password,display_name"]
    for number in range(rows):
        name = "Tea \u2013 Coffee" if number == 148 else "Tea"
        lines.append(f"m{number}@tea.example,ada,mail.tea.example,leaf,{name}")
    return "\r\n".join(lines).encode("cp1252")


def test_a_windows_code_page_is_refused_with_the_place_and_a_guess() -> None:
    """field-041."""
    said = refused(windows_1252())
    assert "line 150, column 48: the byte 0x96 is not UTF-8, '–' in windows-1252" in said
    assert "--encoding windows-1252" in said
    file = parse(windows_1252(), "windows-1252")
    assert len(file.rows) == 300
    assert file.rows[148].display_name == "Tea – Coffee"


@pytest.mark.parametrize(
    ("codec", "name"), [("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be")]
)
def test_utf_16_is_recognised_with_and_without_a_mark(codec: str, name: str) -> None:
    """field-041."""
    data = f"{HEADERS}\n{ROW}\n".encode(codec)
    said = refused(data)
    assert f"--encoding {name}" in said
    assert "line 1, column" in said
    assert len(parse(data, name).rows) == 1


def test_every_line_that_does_not_decode_is_named() -> None:
    said = refused(b"email,user\nm\xfcller@tea.example,a\nb@tea.example,b\nb\xe4r@tea.example,c\n")
    assert "line 2, column 2" in said
    assert "line 4, column 2" in said
    assert "line 3" not in said
    assert "iso-8859-1" in said


def test_a_byte_order_mark_is_taken_with_a_named_encoding_too() -> None:
    assert len(parse(codecs.BOM_UTF8 + f"{HEADERS}\n{ROW}\n".encode(), "utf-8").rows) == 1


def test_an_encoding_that_is_none_or_does_not_fit_is_refused() -> None:
    assert "no text encoding of that name" in refused(b"email\n", "klingon")
    assert "no text encoding of that name" in refused(b"email\n", "base64")
    assert "The file is not utf-8 (line 2, column 2)" in refused(b"email\na\xff@b.example\n", "utf-8")


def test_nothing_in_it_is_refused() -> None:
    assert "empty" in refused("")
    assert "empty" in refused("\ufeff\r\n  \n")
    assert "nothing else" in refused(";;;\n;;\n")
    assert "nothing else" in refused("\x0b\n\x1c,\n")
    assert "no mailbox" in refused("email,user\n\n,\n")


def test_an_open_quote_and_surplus_cells_are_named_with_their_line() -> None:
    assert "line 3: the row that begins here" in refused(
        'email,user\na@b.example,a\nc@d.example,"c\ne@f.example,e\n'
    )
    assert "line 2, column 3: 1 more cells" in refused("email,user\na@b.example,a,surplus\n")


def test_the_delimiter_is_the_one_that_makes_sense_of_the_headers() -> None:
    records = read(b"email;user;display_name\na@b.example;a;Smith, Ada\n", COLUMNS)
    assert records.rows[0].cells == ["a@b.example", "a", "Smith, Ada"]
