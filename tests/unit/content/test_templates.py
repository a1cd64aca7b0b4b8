"""Templates that people write: what they may say, and how every fault is named."""

import logging
import os
from pathlib import Path

import pytest

from tests.unit.content.mails import claim, mail, read, texts
from warmup_core.templates import parse
from warmup_core.types import Refused
from warmup_worker.answering import Thread
from warmup_worker.wording import TemplateFolder, read_folder

GOOD = """\
# About the garden.
language: en
html: 100

== subject
The {{thing}}

== thing
hedge
pond

== first
Hello {{recipient_first_name}},

the {{thing}} & the <gate>.
---
Dear {{ recipient_name }}, the {{thing}} again.

== answer
Yes, the {{thing}}.

== html
<html><body style="color:#333">
{{body}}
<i>{{sender_name}}</i></body></html>
"""


def faults(text: str) -> list[str]:
    with pytest.raises(Refused) as refused:
        parse({"garden.txt": text})
    return refused.value.faults


def test_a_good_file_is_followed() -> None:
    templates = parse({"garden.txt": GOOD})
    seen = set()
    for mail_id in range(60):
        parsed = read(mail(claim(mail_id), templates=templates))
        plain, html = texts(parsed)
        thing = str(parsed["Subject"]).removeprefix("The ")
        assert thing in {"hedge", "pond"}
        assert f"the {thing}" in plain, "the subject's draw holds for the text"
        assert "<i>Ada Tea</i></body></html>" in html
        assert "<gate>" not in html
        seen.add(plain)
    assert seen == {
        f"{text}\n"
        for thing in ("hedge", "pond")
        for text in (
            f"Hello Ben,\n\nthe {thing} & the <gate>.",
            f"Dear Ben Leaf, the {thing} again.",
        )
    }


def test_an_answer_speaks_of_what_its_thread_is_about() -> None:
    templates = parse({"garden.txt": GOOD})
    for first in range(20):
        parsed = read(mail(claim(99, thread=Thread(first, first, None, 1)), templates=templates))
        thing = str(parsed["Subject"]).removeprefix("Re: The ")
        assert texts(parsed)[0] == f"Yes, the {thing}.\n"


@pytest.mark.parametrize(
    ("change", "to", "fault"),
    [
        ("{{recipient_first_name}}", "{{recipient_frist_name}}",
         "line 13: nothing is called {{recipient_frist_name}}; is {{recipient_first_name}} meant?"),
        ("the {{thing}} & the", "the {{thing} & the", "line 15: braces are not closed"),
        ("The {{thing}}", "The {{body}}", "line 6: nothing is called {{body}}"),
        ("language: en\n", "", "line 1: the language is missing"),
        ("language: en", "language: english!", "line 2: language is followed by a colon and a tag"),
        ("html: 100", "html: 120", "line 3: html is followed by a colon and a whole number"),
        ("html: 100", "colour: red", "line 3: before the first list only"),
        ("== thing", "== Thing", "line 8: 'Thing' is no name of a list"),
        ("== thing", "== sender_name", "line 8: 'sender_name' is a name that is given"),
        ("== thing", "== subject", "line 8: the list 'subject' stands on line 5 already"),
        ("hedge\npond\n", "", "line 8: the list 'thing' is empty"),
        ("pond", "{{subject}}", "line 8: the list 'thing' leads back to itself: thing -> subject -> thing"),
        ("== answer\nYes, the {{thing}}.\n", "", "the list 'answer' is missing"),
        ("---\n", "---\n---\n", "line 17: a text of the list 'first' is empty"),
        ("== answer", "== unused\nx\n== answer", "line 19: the list 'unused' is used nowhere"),
        ("{{body}}", "text", "line 23: an HTML layout says where the text stands: {{body}}"),
        ("pond", "po\x07nd", "line 10: it holds the character U+0007"),
        ("pond", "p" * 901, "line 10: the line is longer than 900 bytes"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_line(change: str, to: str, fault: str) -> None:
    assert GOOD.count(change) >= 1
    found = faults(GOOD.replace(change, to, 1))
    assert any(
        f"garden.txt {fault}" in it or (not fault.startswith("line") and fault in it) for it in found
    ), found


def test_all_faults_of_all_files_are_told_at_once() -> None:
    with pytest.raises(Refused) as refused:
        parse(
            {"a.txt": GOOD.replace("pond", "{{pnod}}"), "b.txt": GOOD.replace("pond", "{{x"), "c.txt": GOOD}
        )
    assert [it.split(":")[0] for it in refused.value.faults] == ["a.txt line 10", "b.txt line 10"]


def test_nothing_is_executed() -> None:
    found = faults(GOOD.replace("pond", "{{sender_name.__class__}} {{1+1}} {{os}}"))
    assert len(found) == 3
    (template,) = parse({"x.txt": GOOD.replace("pond", "${x} %(y)s {0} {z} \\1")})
    assert any(
        "${x} %(y)s {0} {z} \\1" in read(mail(claim(n), templates=[template]))["Subject"] for n in range(9)
    )


def test_a_folder_with_a_fault_later_leaves_the_last_good_set_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a ConfigMap is mounted: the files are links through a folder that is swapped."""
    for version, text in (
        ("1", GOOD),
        ("2", GOOD.replace("pond", "{{x}}")),
        ("3", GOOD.replace("pond", "oak")),
    ):
        (tmp_path / version).mkdir()
        (tmp_path / version / "garden.txt").write_text(text)
    (tmp_path / "mount").mkdir()
    (tmp_path / "mount" / "garden.txt").symlink_to("../data/garden.txt")

    def swap(version: str) -> None:
        (tmp_path / "next").symlink_to(version)
        os.replace(tmp_path / "next", tmp_path / "data")

    swap("1")
    folder = TemplateFolder(tmp_path / "mount", look_seconds=0.0)
    first = folder.current()
    swap("2")
    with caplog.at_level(logging.ERROR):
        assert folder.current() is first
        assert folder.current() is first
    assert len(caplog.messages) == 1
    assert "garden.txt line 10: nothing is called {{x}}" in caplog.messages[0]
    swap("3")
    assert any("oak" in str(it.parts) for it in folder.current()[0].lists["thing"])


def test_a_folder_that_cannot_be_used_at_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"no file that ends in \.txt"):
        TemplateFolder(tmp_path)
    with pytest.raises(Refused, match="cannot be read"):
        TemplateFolder(tmp_path / "missing")
    (tmp_path / "a.txt").write_bytes(b"language: en\n\xff")
    with pytest.raises(Refused, match=r"a\.txt.*UTF-8"):
        read_folder(tmp_path)
