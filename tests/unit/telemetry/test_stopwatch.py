"""The seconds of each phase, told once, as it ends."""

from warmup_worker.stopwatch import Stopwatch


def test_each_phase_is_told_as_it_ends() -> None:
    told: list[tuple[str, float]] = []
    instants = iter([10.0, 11.0, 13.5, 13.75])
    watch = Stopwatch("connect", lambda phase, seconds: told.append((phase, seconds)), lambda: next(instants))
    watch.begin("tls")
    watch.begin("auth")
    assert told == [("connect", 1.0), ("tls", 2.5)]
    assert watch.end() == "auth"
    assert told[2:] == [("auth", 0.25)]
