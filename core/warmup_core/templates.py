"""The texts of mails as people write them: files of lists, in which a name in double braces stands for a draw or a fact.

```
language: en            the language of the file, as a BCP 47 tag
html: 50                of 100 mails, how many get an HTML part beside the text (0 where the line is missing)
== subject              a list: one alternative a line; empty lines and lines that begin with # say nothing
About {{topic}}
== topic
the schedule
== first                the texts of mails that begin a thread: several lines each, a line of --- between two
Hello {{recipient_first_name}},

a word about {{topic}}.
== answer               the texts of answers
== html                 optional: what stands around {{body}} in the HTML part
```
``subject``, ``first`` and ``answer`` must be there; every other list has a name of its own and is used by it. Nothing is
executed. A list is drawn once a mail, and what the subject drew holds for its whole thread. All draws come from a seed. Pure.
Fails: ``Refused`` with every fault of every file, each with its line.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from warmup_core.types import Refused

FACTS = (
    "sender_name",
    "sender_first_name",
    "sender_address",
    "recipient_name",
    "recipient_first_name",
    "recipient_address",
)
REQUIRED = ("subject", "first", "answer")
_TEXTS = {"first", "answer", "html"}
_LAYOUT = "<html><body>\n{{body}}\n</body></html>"
_LONGEST_LINE = 900
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_BRACES = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Slot:
    """A name in double braces."""

    name: str


@dataclass(frozen=True)
class Alternative:
    """Text and slots in turn. ``line``: where it stands in its file."""

    parts: tuple[str | Slot, ...]
    line: int
    plain: str | None = None
    """The text where it has no slot."""


@dataclass(frozen=True)
class Template:
    """One file. ``lists`` by name; ``html_percent``: how many of 100 mails get an HTML part."""

    language: str
    html_percent: int
    lists: Mapping[str, Sequence[Alternative]]


class Draw:
    """Choices for one mail from one seed. ``drawn``: lists that are decided already."""

    def __init__(self, template: Template, seed: str, drawn: Mapping[str, Alternative] | None = None) -> None:
        self._lists = template.lists
        self.drawn = dict(drawn or {})
        self._rest = int.from_bytes(blake2b(seed.encode(), digest_size=32).digest(), "big")

    def below(self, bound: int) -> int:
        """A number from 0 to less than ``bound``."""
        self._rest, found = divmod(self._rest, bound)
        return found

    def text(self, name: str, facts: Mapping[str, str]) -> str:
        """An alternative of the list with all its slots filled."""
        chosen = self.drawn.get(name)
        if chosen is None:
            alternatives = self._lists[name]
            self._rest, found = divmod(self._rest, len(alternatives))
            chosen = self.drawn[name] = alternatives[found]
        if chosen.plain is not None:
            return chosen.plain
        pieces = []
        for part in chosen.parts:
            if isinstance(part, str):
                pieces.append(part)
            else:
                fact = facts.get(part.name)
                pieces.append(self.text(part.name, facts) if fact is None else fact)
        return "".join(pieces)


@dataclass
class _File:
    """A file while it is read."""

    name: str
    language: str = ""
    html_percent: int = 0
    lists: dict[str, list[Alternative]] = field(default_factory=dict)
    began: dict[str, int] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)

    def fault(self, line: int, text: str) -> None:
        self.faults.append((line, text))


def parse(files: Mapping[str, str]) -> tuple[Template, ...]:
    """The templates of a folder, by file name. Raises Refused."""
    if not files:
        raise Refused("There are no templates: the folder holds no file that ends in .txt.")
    read = [_read(name, text) for name, text in sorted(files.items())]
    faults = [f"{it.name} line {line}: {text}" for it in read for line, text in sorted(it.faults)]
    if faults:
        raise Refused("The templates cannot be used.", faults)
    return tuple(Template(it.language, it.html_percent, it.lists) for it in read)


def _read(name: str, text: str) -> _File:
    file = _File(name)
    section: str | None = None
    block: list[str] = []
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    for number, line in enumerate([*lines, "== "], start=1):
        if found := _CONTROL.search(line):
            file.fault(number, f"it holds the character U+{ord(found[0]):04X}")
        if line.startswith("== "):
            if section in _TEXTS:
                _close(file, section, block, number)
            block = []
            if number <= len(lines):
                section = _open(file, line[3:].strip(), number)
        elif section in _TEXTS:
            if line.strip() == "---":
                _close(file, section, block, number)
                block = []
            else:
                block.append(line)
        elif not line.strip() or line.startswith("#"):
            continue
        elif section is None:
            _setting(file, line, number)
        else:
            _add(file, section, line.strip(), number)
    _check(file, len(lines))
    return file


def _open(file: _File, name: str, number: int) -> str:
    if not _NAME.fullmatch(name):
        file.fault(number, f"{name!r} is no name of a list: small letters, digits and _, a letter first")
    elif name in FACTS or name == "body":
        file.fault(number, f"{name!r} is a name that is given; call the list otherwise")
    elif name in file.lists:
        file.fault(number, f"the list {name!r} stands on line {file.began[name]} already")
    file.lists.setdefault(name, [])
    file.began.setdefault(name, number)
    return name


def _setting(file: _File, line: str, number: int) -> None:
    name, colon, value = (part.strip() for part in line.partition(":"))
    if name == "language" and colon and _LANGUAGE.fullmatch(value):
        file.language = value
    elif name == "html" and colon and re.fullmatch(r"\d{1,2}|100", value):
        file.html_percent = int(value)
    elif name in {"language", "html"}:
        wanted = "a tag such as en or pt-BR" if name == "language" else "a whole number from 0 to 100"
        file.fault(number, f"{name} is followed by a colon and {wanted}")
    else:
        file.fault(number, "before the first list only `language: en` and `html: 50` may stand")


def _close(file: _File, section: str, block: Sequence[str], number: int) -> None:
    """End a text of several lines before the line ``number``."""
    text = "\n".join(line.rstrip() for line in block)
    if not text.strip():
        file.fault(number, f"a text of the list {section!r} is empty")
        return
    blank = next(at for at, line in enumerate(block) if line.strip())
    _add(file, section, text.strip("\n"), number - len(block) + blank)


def _add(file: _File, section: str, text: str, number: int) -> None:
    parts: list[str | Slot] = []
    end = 0
    for found in _BRACES.finditer(text):
        parts += [text[end : found.start()], Slot(found[1])]
        end = found.end()
    parts.append(text[end:])
    for offset, line in enumerate(text.split("\n")):
        bare = _BRACES.sub("", line)
        if "{{" in bare or "}}" in bare:
            file.fault(number + offset, "braces are not closed: a name stands in {{ and }} on one line")
        if len(line.encode(errors="replace")) > _LONGEST_LINE:
            file.fault(number + offset, f"the line is longer than {_LONGEST_LINE} bytes")
    kept = tuple(part for part in parts if part)
    plain = kept[0] if len(kept) == 1 and isinstance(kept[0], str) else None
    file.lists[section].append(Alternative(kept, number, plain))


def _check(file: _File, last: int) -> None:
    """What can be said only when the whole file is read."""
    if not file.language:
        file.fault(1, "the language is missing: begin with a line such as `language: en`")
    for name in REQUIRED:
        if name not in file.lists:
            file.fault(last, f"the list {name!r} is missing: begin it with the line `== {name}`")
    for name, began in file.began.items():
        if not file.lists[name] and name not in _TEXTS:
            file.fault(began, f"the list {name!r} is empty")
    used = set(REQUIRED) | {"html"}
    for section, alternatives in file.lists.items():
        for alternative in alternatives:
            for name, line in _names(alternative):
                used.add(name)
                if not _known(file, section, name):
                    known = [*FACTS, *file.lists, *(["body"] if section == "html" else [])]
                    close = difflib.get_close_matches(name, known, n=1)
                    meant = f"; is {{{{{close[0]}}}}} meant?" if close else ""
                    file.fault(line, f"nothing is called {{{{{name}}}}}{meant}")
    for name, began in file.began.items():
        if name not in used:
            file.fault(began, f"the list {name!r} is used nowhere")
        if circle := _circle(file, name):
            file.fault(began, f"the list {name!r} leads back to itself: {' -> '.join(circle)}")
    for alternative in file.lists.get("html", []):
        if Slot("body") not in alternative.parts:
            file.fault(alternative.line, "an HTML layout says where the text stands: {{body}}")
    file.lists.setdefault("html", [])
    if not file.lists["html"]:
        _add(file, "html", _LAYOUT, last)


def _known(file: _File, section: str, name: str) -> bool:
    return name in FACTS or name in file.lists or (name == "body" and section == "html")


def _names(alternative: Alternative) -> Iterator[tuple[str, int]]:
    line = alternative.line
    for part in alternative.parts:
        if isinstance(part, Slot):
            yield part.name, line
        else:
            line += part.count("\n")


def _circle(file: _File, name: str) -> list[str]:
    """The way from a list back to itself; empty where there is none."""
    ways = [[name]]
    seen = set()
    while ways:
        way = ways.pop()
        for alternative in file.lists.get(way[-1], []):
            for other, _ in _names(alternative):
                if other == name:
                    return [*way, other]
                if other in file.lists and other not in seen:
                    seen.add(other)
                    ways.append([*way, other])
    return []
