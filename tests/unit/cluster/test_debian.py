"""What tests need of Debian's packages is there whole, whoever installs it."""

import threading

from tests.cluster import debian, steps


def test_what_another_run_is_installing_is_waited_for() -> None:
    """A program is unpacked seconds before its users are made."""
    waiting = threading.Thread(target=debian.ensure)
    with steps.alone(debian._LOCK):
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(600)  # whoever runs beside us may have come first, with a real package
    assert not waiting.is_alive()
