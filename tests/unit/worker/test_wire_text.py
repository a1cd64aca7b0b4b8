"""What goes onto the wire and what comes back from it: dots doubled once, a server's words made safe."""

from hypothesis import given
from hypothesis import strategies as st

from warmup_worker.mailer import on_the_wire
from warmup_worker.redaction import readable


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=5), max_size=10))
def test_dots_are_doubled_once_and_come_back(lines: list[str]) -> None:
    message = "".join(f"{line}\r\n" for line in [*lines, "end"]).encode()
    wire = on_the_wire(message) + b"\r\n.\r\n"
    received = wire[: wire.index(b"\r\n.\r\n") + 2]
    undone = b"\r\n".join(one[1:] if one.startswith(b".") else one for one in received.split(b"\r\n"))
    assert undone == message


@given(st.text(max_size=2000))
def test_a_servers_words_are_safe_to_store_and_to_show(text: str) -> None:
    shown = readable(text)
    assert len(shown) <= 500
    assert shown.isprintable() or all(ord(one) > 159 for one in shown if not one.isprintable())
    assert "\x00" not in shown
    shown.encode()
