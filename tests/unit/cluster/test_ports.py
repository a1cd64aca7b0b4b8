"""A port that a test chooses is none that the kernel gives to a connection meanwhile, however the machine is set."""

import pytest

from tests import ports


@pytest.mark.parametrize(
    ("given_out", "kept"),
    [
        ("32768\t60999\n", range(10_000, 32_768)),
        ("16000\t65535\n", range(10_000, 16_000)),
        ("1024\t60999\n", range(61_000, 65_536)),
        ("1024\t65535\n", range(10_000, 65_536)),  # all of them: no choice is better
    ],
)
def test_ports_lie_where_the_kernel_gives_none_out(given_out: str, kept: range) -> None:
    assert ports.kept(given_out) == kept


def test_each_call_brings_another() -> None:
    assert len({ports.free_port() for _ in range(50)}) == 50
