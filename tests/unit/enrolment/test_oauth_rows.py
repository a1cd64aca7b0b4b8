"""Mailboxes that log in with OAuth: what a row must say, what it changes, what the same file again does not."""

import json
from dataclasses import replace

import pytest

from warmup_core.addresses import identity
from warmup_core.enrolment import Mailbox, Plan, parse, plan
from warmup_core.oauth import fingerprint
from warmup_core.types import Refused

HEADERS = "email,user,smtp_host,oauth_application,refresh_token,access_token,password\n"
ADA = Mailbox(
    id=1,
    email="ada@tea.example",
    user="ada",
    smtp_host="smtp.tea.example",
    smtp_port=587,
    smtp_security="starttls",
    username="ada@tea.example",
    password=None,
    display_name="",
    oauth_application="google",
    imported=fingerprint("rt-1"),
)
BEN = replace(ADA, email="ben@tea.example", password="leaf", oauth_application=None, imported=None)


def planned(text: str, *enrolled: Mailbox) -> Plan:
    return plan(parse(text.encode()), {identity(box.email): box for box in enrolled})


def faults(text: str, *enrolled: Mailbox) -> list[str]:
    with pytest.raises(Refused) as caught:
        planned(text, *enrolled)
    assert "s3cret" not in str(caught.value)
    return caught.value.faults


def test_a_new_mailbox_needs_its_application_and_its_refresh_token() -> None:
    [added] = planned(HEADERS + "ada@tea.example,ada,smtp.tea.example,google,rt-1,at-1,\n").added
    assert (added.oauth_application, added.refresh_token, added.access_token) == ("google", "rt-1", "at-1")
    assert added.password is None
    assert faults(
        HEADERS
        + "a@tea.example,a,h.example,google,,,\n"
        + "b@tea.example,b,h.example,,s3cret,,\n"
        + "c@tea.example,c,h.example,,,,\n"
    ) == [
        "line 2, column 5 (refresh_token): it is empty, and a@tea.example is new",
        "line 3, column 4 (oauth_application): it is empty, and b@tea.example is new",
        "line 4, column 7 (password): it is empty, and c@tea.example is new",
    ]
    [lacking] = faults("email,user,smtp_host\nc@tea.example,c,h.example\n")
    assert lacking.endswith("a mailbox without a password needs oauth_application and refresh_token")


def test_a_row_gives_one_kind_of_login_and_a_whole_one() -> None:
    assert faults(
        HEADERS
        + "a@tea.example,a,h.example,google,s3cret-r,,s3cret-p\n"
        + "b@tea.example,b,h.example,google,,s3cret-a,\n"
        + "c@tea.example,c,h.example,google,s3cret with blanks,,\n"
    ) == [
        "line 2, column 4 (oauth_application): the row gives a password as well; a mailbox logs in with one of the two",
        "line 3, column 6 (access_token): it needs its refresh_token beside it",
        "line 4, column 5 (refresh_token): a token is visible ASCII without blanks, at most 16384 characters",
    ]


def test_the_same_file_again_keeps_a_token_that_was_rotated_meanwhile() -> None:
    """Else a second import would put a dead token in the place of a good one."""
    again = planned(HEADERS + "ada@tea.example,ada,smtp.tea.example,google,rt-1,at-0,\n", ADA)
    assert (again.changed, again.untouched) == ([], ["ada@tea.example"])
    [change] = planned(HEADERS + "ada@tea.example,,,,rt-2,at-2,\n", ADA).changed
    assert change.columns == ("refresh_token",)
    assert (change.mailbox.refresh_token, change.mailbox.access_token) == ("rt-2", "at-2")


def test_the_other_kind_of_login_takes_the_place_of_the_first() -> None:
    [to_password] = planned(HEADERS + "ada@tea.example,,,,,,leaf\n", ADA).changed
    assert to_password.columns == ("password",)
    assert (to_password.mailbox.password, to_password.mailbox.oauth_application) == ("leaf", None)
    [to_tokens] = planned(HEADERS + "ben@tea.example,,,google,rt-9,,\n", BEN).changed
    assert to_tokens.columns == ("oauth_application", "refresh_token")
    assert (to_tokens.mailbox.password, to_tokens.mailbox.refresh_token) == (None, "rt-9")
    assert faults(HEADERS + "ben@tea.example,,,google,,,\n", BEN) == [
        "line 2: ben@tea.example logs in with a password; beside oauth_application the row needs refresh_token"
    ]
    assert faults(HEADERS + "ben@tea.example,,,,s3cret,,\n", BEN) == [
        "line 2: ben@tea.example logs in with a password; beside refresh_token the row needs oauth_application"
    ]
    [renamed] = planned(HEADERS + "ada@tea.example,,,gmail,,,\n", ADA).changed
    assert renamed.columns == ("oauth_application",)


def lines(*objects: object) -> str:
    return "".join(json.dumps(it) + "\n" for it in objects)


def test_json_lines_say_the_same() -> None:
    text = lines(
        {"email": "ada@tea.example", "user": "ada", "smtp_host": "h.example", "smtp_port": 465, "password": "p"},
        {"Email": "ben@tea.example", "user": "ben", "smtp_host": "h.example", "password": None, "quota": "3",
         "oauth_application": "google", "refresh_token": "rt-1"},
    )  # fmt: skip
    read = parse(b"\xef\xbb\xbf" + text.encode())
    ada, ben = plan(read, {}).added
    assert (ada.smtp_port, ada.smtp_security, ada.password) == (465, "tls", "p")
    assert (ben.oauth_application, ben.refresh_token) == ("google", "rt-1")
    assert read.ignored == ["quota"]


def test_every_fault_of_json_lines_is_named_by_line_and_key() -> None:
    good = {"email": "ada@tea.example", "user": "a", "smtp_host": "h.example", "password": "s3cret"}
    text = lines(good | {"email": "not an address"}, good | {"smtp_port": "x"}) + "\n[1]\n{s3cret\n"
    text += lines(good | {"smtp_prot": 25}, good | {"smtp_port": 2.5})
    text += '{"email": "a@b.example", "email": "c@d.example"}\n'
    text += lines(good | {"smtp_port": True, "display_name": False})
    assert faults(text) == [
        "line 4: it is no JSON object on a line of its own",
        "line 5: it is no JSON object on a line of its own",
        "line 6: 'smtp_prot' is not a known key; did you mean 'smtp_port'?",
        "line 7, key smtp_port: it is no string, whole number or null",
        "line 8: the key 'email' is there twice",
        "line 9, key smtp_port: it is no string, whole number or null",
        "line 9, key display_name: it is no string, whole number or null",
    ]
    assert faults(lines(good | {"email": "not an address"}, good | {"smtp_port": "x"})) == [
        "line 1, key email: 'not an address' cannot be used: it is not of the form name@domain",
        "line 2, key smtp_port: 'x' cannot be used: a port is a whole number from 1 to 65535",
    ]
    [absent] = faults(lines({"user": "a"}))
    assert absent.startswith("no line has the key 'email'; known are: email, user,")
