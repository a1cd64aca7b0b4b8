"""A volume's files change all at once."""

import contextlib
import os
import threading
from itertools import count
from pathlib import Path

from tests.cluster.pod_volume import publish


def test_a_reader_never_sees_half_of_a_change(tmp_path: Path) -> None:
    publish(tmp_path, {"first": b"0", "second": b"0"})
    seen: set[tuple[bytes, bytes]] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            version = (tmp_path / "..data").resolve()
            # A version may be gone before both are read, as in a real pod; it never changes.
            with contextlib.suppress(FileNotFoundError):
                seen.add(((version / "first").read_bytes(), (version / "second").read_bytes()))

    reader = threading.Thread(target=read)
    reader.start()
    for number in count(1):
        publish(tmp_path, {"first": str(number).encode(), "second": str(number).encode()})
        # However rarely the reader is let run, and however often its version goes away under it.
        if number >= 200 and (len(seen) > 1 or not reader.is_alive()):
            break
    done.set()
    reader.join()
    assert len(seen) > 1
    assert all(first == second for first, second in seen)


def test_keys_come_and_go(tmp_path: Path) -> None:
    publish(tmp_path, {"url": b"one", "old": b"", "deep/er": b"here"})
    publish(tmp_path, {"url": b"two", "new": b""})
    assert sorted(name for name in os.listdir(tmp_path) if not name.startswith("..")) == ["new", "url"]
    assert (tmp_path / "url").read_bytes() == b"two"
    assert len(os.listdir(tmp_path)) == 4  # the two, the newest version and the link to it
