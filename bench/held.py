"""``python -m bench.held``: the rate that one worker process holds for a minute when each send takes 8 s, and its memory.

The sink replies to the dot after 8 s, so 500 mails a second are 4,000 in flight. Before the minute begins the worker has as many
in flight as it may have.
"""

import argparse
import time
from dataclasses import dataclass

from bench import machine, shipped
from bench.cost import Cost, Moment, reach
from bench.stage import stage

DELAY = 8.0
_SETTLE_SECONDS = 4.0
"""After the first mails have ended: until as many end as begin."""


@dataclass(frozen=True)
class Held:
    """What a minute cost, how many were in flight at most, and memory in kB for each of them."""

    cost: Cost
    in_flight: int
    kb_in_flight: float

    def __str__(self) -> str:
        return f"{self.cost}; {self.in_flight} in flight, {self.kb_in_flight:.0f} kB each"


def run(in_flight: int, mailboxes: int, seconds: float = 60.0) -> Held:
    """One worker with up to ``in_flight`` mails in flight, for ``seconds``."""
    with stage(1, in_flight, mailboxes, DELAY) as at, at.worker() as worker:
        idle = machine.resident_mb(worker.pid)
        reach(at.target, int(in_flight * 0.98))
        time.sleep(DELAY + _SETTLE_SECONDS)
        start = Moment.now(worker.pid, at.server.pid, at.target)
        time.sleep(seconds)
        resident = machine.resident_mb(worker.pid)
        cost = start.until(Moment.now(worker.pid, at.server.pid, at.target), resident)
        most = at.target.counts().most_open
    return Held(cost, most, (resident - idle) * 1000 / most)


def main() -> None:
    """The minute alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, default=4400)
    parser.add_argument("--mailboxes", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    print(machine.description(), shipped.description(), sep="\n", flush=True)
    print(run(given.in_flight, given.mailboxes, given.seconds))


if __name__ == "__main__":
    main()
