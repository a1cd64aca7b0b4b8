"""``python -m bench.resize``: 4 to 8 to 4 workers under a steady load, by the protocol's own constants; writes docs/resize.svg.

A real control plane, the operator, a process for each pod, PostgreSQL and an SMTP server on this machine. The load is what the
mailboxes ask for, well below what the machine can do, so that what is lost is lost to the resize and to nothing else. Mails are
counted in the SMTP server's log. It wants the machine for itself: every new worker starts on the same cores.

Five seconds of any load differ from five others, so the same is measured while nothing is resized: what a resize costs is what
its worst five seconds lack of the worst of a calm time of the same length. Cooldowns are spread wide, lest mailboxes that all
began together go on in step.

Last line: `resize: mails_per_second=N lowest_calm=R lowest_growing=R lowest_shrinking=R first_claim_seconds=S late_seconds=S`. R
is the worst five seconds beside the mean of the time before. The first S is from the flip to the last new owner's first claim,
the second the most that a mailbox which moved claimed later than the flip and its own rest let it.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench import machine, plane
from tests.cluster import programs
from tests.cluster.control_plane import TEST_KUBELET, ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.integration.fleet.scene import Scene
from tests.integration.fleet.sending import Sending, pod_environment
from tests.integration.worker.fleet import password_of
from tests.postgres.server import Postgres
from tests.submission.accounts import derived
from tests.submission.server import Submission
from warmup_core import database
from warmup_worker.timing import Timing

MAILBOXES, COOLDOWN = 720, (5_000, 15_000)
NO_TURNS = {"perMinute": 60_000, "perHour": 3_600_000}
"""So high that a mailbox which is behind has no turn to wait for: what it waits after a flip is the resize's."""
SETTLES, BEFORE, AFTER, WINDOW = 60.0, 40.0, 40.0, 5.0
"""Seconds: until the load is even, of the measure before, of what is looked at after a wish, and of the worst moment."""
_PLOT = Path(__file__).parents[1] / "docs" / "resize.svg"


@dataclass(frozen=True)
class Turn:
    """One resize: when it was wished for and when the count turned, and how soon the new owners claimed."""

    to: int
    wished: datetime
    flipped: datetime
    first_claim: float
    late: float


def rate(mails: Sequence[datetime], begin: datetime, seconds: float) -> float:
    """Mails a second from ``begin`` on."""
    end = begin + timedelta(seconds=seconds)
    return sum(begin <= at < end for at in mails) / seconds


def lowest(mails: Sequence[datetime], begin: datetime, before: float) -> float:
    """The worst ``WINDOW`` of the ``AFTER`` from ``begin`` on, beside ``before``, in mails a second."""
    steps = [begin + timedelta(seconds=step / 2) for step in range(int(2 * (AFTER - WINDOW)) + 1)]
    return min(rate(mails, step, WINDOW) for step in steps) / before


async def resize(it: Sending, to: int) -> Turn:
    """Wish, and watch until all is over."""
    [row] = await it.fleet.rows("SELECT clock_timestamp() AS at, worker_count FROM fleet")
    it.wish(to)
    await it.scene.counted(it.fleet.engine, to)
    idle = await it.fleet.rows(
        "SELECT id, not_before, clock_timestamp() AS at FROM mailboxes WHERE in_flight IS NULL AND id % :was <> id % :to",
        was=row.worker_count,
        to=to,
    )
    await asyncio.sleep(AFTER)
    await it.pods_are(*range(1, to + 1))
    [flip] = await it.fleet.rows("SELECT resized_at AS at, epoch FROM fleet")
    moved = await it.fleet.rows(
        "SELECT number, min(claimed_at) AS at FROM mails WHERE epoch = :epoch GROUP BY number",
        epoch=flip.epoch,
    )
    firsts = {
        mail.mailbox_id: mail.at
        for mail in await it.fleet.rows(
            "SELECT mailbox_id, min(claimed_at) AS at FROM mails WHERE epoch = :epoch GROUP BY mailbox_id",
            epoch=flip.epoch,
        )
    }
    late = max(
        firsts[box.id] - max(flip.at, box.not_before)
        for box in idle
        if box.id in firsts and firsts[box.id] > box.at
    )
    last = max(worker.at for worker in moved if worker.number <= to)
    return Turn(to, row.at, flip.at, (last - flip.at).total_seconds(), late.total_seconds())


async def measure(control_plane: ControlPlane, server: Submission, url: str, folder: Path) -> list[Turn]:
    """A fleet of four, then of eight, then of four; judged at the end."""
    plane.prepare(control_plane, "bench", "warmup-system")
    engine = database.create_engine(database.parse_url(url), pool_size=3, statement_seconds=60)
    scene = Scene(control_plane, "bench", control_plane.kubeconfig, folder, url)
    node = Kubelet(
        control_plane.kubeconfig_of(TEST_KUBELET),
        folder / "pods",
        "bench",
        environment=pod_environment(Timing()),
    )
    try:
        async with node:
            it = Sending(scene, engine, server)
            await it.create(workers=4, mailboxes=MAILBOXES, quota=1000, cooldown=COOLDOWN, limits=NO_TURNS)
            await scene.start_operator(WARMUP_IDLE_SECONDS="30")
            await scene.counted(engine, 4)
            await it.claiming(1, 2, 3, 4)
            await asyncio.sleep(SETTLES + BEFORE)
            turns = [await resize(it, 8), await resize(it, 4)]
            await it.judge()
            return turns
    finally:
        scene.stop_operator()
        await engine.dispose()


def plot(mails: Sequence[datetime], turns: Sequence[Turn]) -> str:
    """Mails a second over time, each point the five seconds before it, as SVG."""
    begin = turns[0].wished - timedelta(seconds=BEFORE)
    span = (turns[-1].wished - begin).total_seconds() + AFTER
    points = [
        (second, rate(mails, begin + timedelta(seconds=second - WINDOW), WINDOW))
        for second in range(0, int(span), 1)
    ]
    top = 1.3 * max(value for _, value in points)
    left, right, high, low = 50, 790, 20, 260

    def x(second: float) -> float:
        return left + second / span * (right - left)

    def y(value: float) -> float:
        return low - value / top * (low - high)

    def text(at_x: float, at_y: float, words: str, anchor: str = "middle") -> str:
        return f'<text x="{at_x:.0f}" y="{at_y:.0f}" text-anchor="{anchor}">{words}</text>'

    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 820 310" font-family="sans-serif" font-size="12">',
        '<rect width="820" height="310" fill="#fff"/>',
        f'<path d="M{left} {high}V{low}H{right}" fill="none" stroke="#333"/>',
        text(left - 8, high + 4, f"{top:.0f}", "end"),
        text(left - 8, low, "0", "end"),
        text(left, high - 6, "mails a second, mean of five seconds", "start"),
        text((left + right) / 2, low + 40, "seconds"),
    ]
    lines += [text(x(second), low + 16, str(second)) for second in range(0, int(span), 30)]
    base = rate(mails, begin, BEFORE)
    lines.append(f'<path d="M{left} {y(0.8 * base):.1f}H{right}" stroke="#999" stroke-dasharray="2 4"/>')
    lines.append(text(right, y(0.8 * base) + 14, "0.8 of before", "end"))
    for turn in turns:
        for at, words, row in ((turn.wished, f"{turn.to} wanted", 14), (turn.flipped, "flip", 28)):
            place = x((at - begin).total_seconds())
            lines.append(f'<path d="M{place:.1f} {high}V{low}" stroke="#c33" stroke-dasharray="4 3"/>')
            lines.append(text(place + 4, high + row, words, "start"))
    path = " ".join(f"{x(second):.1f},{y(value):.1f}" for second, value in points)
    lines.append(f'<polyline points="{path}" fill="none" stroke="#1565c0" stroke-width="2"/>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def run() -> str:
    """All of it; the last line."""
    programs.ensure("etcd", "kube-apiserver", "kube-controller-manager")
    server: Any = Submission(derived(password_of))
    with (
        tempfile.TemporaryDirectory(prefix="warmup-resize-") as name,
        Postgres() as postgres,
        ControlPlane(Path(name) / "cluster") as control_plane,
        server.in_thread(),
    ):
        with asyncio.Runner() as runner:
            url = runner.run(postgres.create())
            turns = runner.run(measure(control_plane, server, url, Path(name)))
        mails = [event.at for event in server.journal.accepted]
    _PLOT.write_text(plot(mails, turns))
    begins = [turn.wished - timedelta(seconds=BEFORE) for turn in turns]
    before = [rate(mails, begin, BEFORE) for begin in begins]
    growing, shrinking = (lowest(mails, turn.wished, was) for turn, was in zip(turns, before, strict=True))
    return (
        f"resize: mails_per_second={before[0]:.1f} lowest_calm={lowest(mails, begins[0], before[0]):.2f}"
        f" lowest_growing={growing:.2f} lowest_shrinking={shrinking:.2f}"
        f" first_claim_seconds={max(turn.first_claim for turn in turns):.1f}"
        f" late_seconds={max(turn.late for turn in turns):.1f}"
    )


if __name__ == "__main__":
    print(machine.description())
    print(run())
