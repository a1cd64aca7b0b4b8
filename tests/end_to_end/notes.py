"""The commands that the chart's notes bring, as a person copies them. Pure."""

import re

_HERE_DOCUMENT = re.compile(r"^(?P<line>.*<<EOF\n)(?P<text>(?:.*\n)*?)(?P<end>EOF)$", re.MULTILINE)


def command(notes: str, start: str) -> str:
    """The one command of the notes that begins so, with its here-document. Fails where it would not end in a shell."""
    [at] = [found.start() for found in re.finditer(f"^{re.escape(start)}", notes, re.MULTILINE)]
    line = notes[at:].partition("\n")[0]
    if not line.endswith("<<EOF"):
        return line
    whole = _HERE_DOCUMENT.match(notes, at)
    assert whole, f"a shell would wait for the end of: {notes[at:]}"
    return whole[0]
