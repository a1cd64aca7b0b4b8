"""Each mailbox at its own instant: what is called feasible is met, whatever the draws, and what is not is named beforehand."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings, event
from hypothesis import strategies as st

from tests.unit.schedules.simulation import Fleet, Mailbox, RollingLimit, Worker, most_in_any
from warmup_core.feasibility import Limit, feasible, pace
from warmup_core.pacing import Window
from warmup_core.schedules import Continuous

OPENS = datetime(2026, 11, 25, 8, tzinfo=UTC)


@st.composite
def situations(draw: st.DrawFn) -> dict:
    mailboxes = draw(st.integers(1, 12))
    shortest = draw(st.integers(0, 300))
    longest = draw(st.integers(shortest, 600))
    return dict(
        mailboxes=mailboxes,
        length=timedelta(seconds=draw(st.integers(60, 4 * 3600))),
        cooldown=(timedelta(seconds=shortest), timedelta(seconds=longest)),
        send=timedelta(seconds=draw(st.integers(1, 60))),
        slots=draw(st.integers(1, 12)),
        limits=draw(
            st.lists(st.tuples(st.integers(1, 40), st.sampled_from([10, 60, 600, 3600])), max_size=2)
        ),
        seed=draw(st.text("abcdefgh", max_size=4)),
        share=draw(st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0])),
    )


@settings(max_examples=1500, deadline=None)
@given(situations())
def test_prop(s):
    limits = [
        Limit(f"limit{i}", n, timedelta(seconds=w), s["mailboxes"]) for i, (n, w) in enumerate(s["limits"])
    ]
    limits.append(Limit("slots", s["slots"], s["send"], s["mailboxes"]))
    kw = dict(cooldown=s["cooldown"][1], send=s["send"], limits=limits)
    possible = feasible(s["length"], 10**9, **kw).possible
    quota = min(60, max(1, round(possible * s["share"])))
    ok = feasible(s["length"], quota, **kw).ok
    if not ok:
        event("infeasible")
        return
    plan = Window(OPENS, OPENS + s["length"])
    p = pace(s["length"], **kw)
    event(f"tight {p.least * quota * 10 // s['length']}")
    boxes = [Mailbox(i, plan, quota, s["cooldown"], s["seed"]) for i in range(s["mailboxes"])]
    rolling = [RollingLimit(n, timedelta(seconds=w)) for n, w in s["limits"]]
    fleet = Fleet([Worker(1, Continuous(s["slots"], p), boxes)], s["send"], rolling)
    fleet.run(OPENS - timedelta(hours=1), plan.closes + timedelta(hours=2))
    assert all(b.spent == quota for b in boxes), (
        quota,
        possible,
        [b.spent for b in boxes],
        p,
        s["length"] / quota,
    )
