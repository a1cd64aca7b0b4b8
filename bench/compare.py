"""``python -m bench.compare``: the cost of a mail, ours beside a bare loop, a task queue, and the scheme of old.

Each of them sends some thousand mails in turn, and again, five times: a process of its own on one core; PostgreSQL (fsync on)
and the SMTP sink on the other. What is counted is CPU time of sender and PostgreSQL in the middle of a run, so neither imports
nor the reading of a shard are in it. Ratios are taken within a round, then their median.
"""

import argparse
import asyncio
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from bench import machine, queue, shipped
from bench.cost import Cost, measure, spread
from bench.stage import Stage, stage

SENDERS: Mapping[str, Callable[[Stage], AbstractContextManager["subprocess.Popen[bytes]"]]] = {
    "floor": lambda at: at.program("floor"),
    "ours": Stage.worker,
    "pgqueuer": lambda at: at.program("queue"),
    "scheme": lambda at: at.program("scheme"),
}


def rounds(at: Stage, names: Sequence[str], count: int) -> dict[str, list[Cost]]:
    """Each of ``names`` once a round."""
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for number in range(count):
        for name in names:
            if name == "pgqueuer":
                asyncio.run(queue.fill(at.databases["queue"], at.mails))
            with SENDERS[name](at) as process:
                cost = measure(process.pid, at.server.pid, at.target, at.mails)
            costs[name].append(cost)
            print(f"round {number + 1} {name:9} {cost}", flush=True)
    return costs


def report(costs: Mapping[str, Sequence[Cost]]) -> dict[str, float]:
    """Print medians with their ranges; returns the median of ours against each other one, taken within a round."""
    for name, each in costs.items():
        sender = statistics.median(it.sender for it in each)
        postgres = statistics.median(it.postgres for it in each)
        print(
            f"{name:9} {spread([it.total for it in each], '.3f')} ms a mail: sender {sender:.3f}, Postgres {postgres:.3f};"
            f" sink busy {spread([it.sink_busy for it in each], '.0%')};"
            f" {spread([it.mails_per_second for it in each], '.0f')} mails/s;"
            f" {spread([it.resident_mb for it in each], '.0f')} MB"
        )
    found = {}
    for name in [name for name in costs if name != "ours" and "ours" in costs]:
        ratios = [mine.total / its.total for mine, its in zip(costs["ours"], costs[name], strict=True)]
        found[name] = statistics.median(ratios)
        print(f"ours / {name}: {spread(ratios)}")
    return found


def run(
    mails: int, concurrent: int, mailboxes: int, count: int, names: Sequence[str] = tuple(SENDERS)
) -> dict[str, float]:
    """Print every run, then medians and ratios; returns the ratios."""
    with stage(mails, concurrent, mailboxes) as at:
        return report(rounds(at, names, count))


def main() -> None:
    """The comparison alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=6000, help="mails of one run")
    parser.add_argument("--concurrent", type=int, default=400, help="mails in flight")
    parser.add_argument("--mailboxes", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(SENDERS), choices=list(SENDERS))
    given = parser.parse_args()
    print(machine.description(), shipped.description(), sep="\n", flush=True)
    run(given.mails, given.concurrent, given.mailboxes, given.rounds, given.only)
    print(machine.description())


if __name__ == "__main__":
    main()
