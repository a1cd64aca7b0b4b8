"""Each mailbox at its own instant: what is called feasible is met, whatever the draws, and what is not is named beforehand."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.unit.schedules.simulation import Fleet, Mailbox, RateLimit, RollingLimit, Worker, most_in_any
from warmup_core.feasibility import Bound, Feasibility, feasible, pace
from warmup_core.limits import Limit, limit
from warmup_core.pacing import UNHINDERED, Pace, Window
from warmup_core.schedules import Continuous, Offer, Reason, State, choose
from warmup_core.settings import FleetSettings

OPENS = datetime(2026, 11, 25, 8, tzinfo=UTC)
SECOND, MINUTE, HOUR = (timedelta(seconds=seconds) for seconds in (1, 60, 3_600))


def gcra(period: timedelta) -> Callable[[int], Limit]:
    """The limit that the workers keep of a number of mails in this period."""
    return lambda count: limit(count, period.total_seconds())


@dataclass(frozen=True)
class Situation:
    """A worker, its mailboxes with one window, and limits as (mails, period), counted one by one or kept by GCRA."""

    mailboxes: int
    length: timedelta
    cooldown: tuple[timedelta, timedelta]
    send: timedelta
    slots: int
    limits: tuple[tuple[int, timedelta], ...]
    gcra: bool
    seed: str

    @property
    def _shared(self) -> list[Bound]:
        limits = [
            Bound(f"limit {n}", mails, period, self.mailboxes, gcra(period) if self.gcra else None)
            for n, (mails, period) in enumerate(self.limits)
        ]
        return [*limits, Bound("workers.maxConcurrentSends", self.slots, self.send, self.mailboxes)]

    def feasible(self, quota: int) -> Feasibility:
        return feasible(self.length, quota, cooldown=self.cooldown[1], send=self.send, bounds=self._shared)

    def simulate(self, quota: int) -> Fleet:
        """From an hour before the window to long after it."""
        pace_kept = pace(self.length, cooldown=self.cooldown[1], send=self.send, bounds=self._shared)
        plan = Window(OPENS, OPENS + self.length)
        owned = [Mailbox(n, plan, quota, self.cooldown, self.seed, pace_kept) for n in range(self.mailboxes)]
        limits = [
            RateLimit(gcra(period)(mails)) if self.gcra else RollingLimit(mails, period)
            for mails, period in self.limits
        ]
        fleet = Fleet([Worker(1, Continuous(self.slots), owned)], self.send, limits)
        fleet.run(OPENS - HOUR, plan.closes + 24 * HOUR)
        return fleet


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Constraints around one slot of a quota, so that several are tight at once as often as none is."""
    mailboxes, length = draw(st.integers(1, 12)), draw(st.integers(600, 14_400)) * SECOND
    slot = length / draw(st.integers(1, 20))
    longest = slot * draw(st.sampled_from([0.0, 0.3, 0.9, 1.0]))
    send = max(SECOND, slot * draw(st.sampled_from([0.01, 0.1, 0.9])))
    tightness = st.sampled_from([0.3, 0.9, 0.99, 1.0])
    periods = draw(st.lists(st.sampled_from([SECOND, 10 * SECOND, MINUTE, HOUR]), max_size=2))
    return Situation(
        mailboxes,
        length,
        (longest * draw(st.sampled_from([0.0, 0.5, 1.0])), longest),
        send,
        max(1, int(mailboxes * (send / slot) / draw(tightness))),
        tuple((max(1, int(mailboxes * (period / slot) / draw(tightness))), period) for period in periods),
        draw(st.booleans()),
        draw(st.text("abcdef", max_size=3)),
    )


@settings(max_examples=300)
@given(situations(), st.sampled_from([0.3, 0.7, 1.0]), st.sampled_from([0, 0, 1, 4]))
def test_a_feasible_quota_is_met_and_another_is_named(situation: Situation, share: float, more: int) -> None:
    quota = max(1, min(60, round(situation.feasible(1_000).possible * share) + more))
    answer = situation.feasible(quota)
    fleet = situation.simulate(quota)

    met = len(fleet.claims) == quota * situation.mailboxes
    event(f"feasible {answer.ok}, met {met}")
    assert met or not answer.ok, answer
    assert answer.ok or answer.obstacle

    by_mailbox: dict[int, list[datetime]] = {}
    for claim in fleet.claims:
        assert OPENS <= claim.at < OPENS + situation.length
        by_mailbox.setdefault(claim.mailbox, []).append(claim.at)
    apart = max(situation.cooldown[0], situation.send)
    for claims in by_mailbox.values():
        assert len(claims) <= quota
        assert all(after - before >= apart for before, after in pairwise(claims))
    for mails, period in situation.limits:
        assert most_in_any(period, [claim.at for claim in fleet.claims]) <= mails
    assert fleet.workers[0].most_in_flight <= situation.slots


def test_a_burst_is_not_counted_on_to_the_last_mail() -> None:
    """210 an hour for two mailboxes in eleven minutes: the bucket's five and one every 17.5 s would just make 22 each."""
    for seed in range(30):
        situation = Situation(
            2, 684 * SECOND, (11 * SECOND, 22 * SECOND), SECOND, 2, ((210, HOUR),), True, str(seed)
        )
        possible = situation.feasible(100).possible
        assert possible >= 19
        assert len(situation.simulate(possible).claims) == 2 * possible


def outage(kept: Pace) -> Fleet:
    """A fleet of four workers under 8 mails a minute that starts its day of 24 hours nine hours late."""
    plan = Window(OPENS, OPENS + 24 * HOUR)
    workers = [
        Worker(
            number,
            Continuous(20),
            [Mailbox(id_, plan, 12, (2 * MINUTE, 5 * MINUTE), pace=kept) for id_ in range(number, 201, 4)],
        )
        for number in range(1, 5)
    ]
    fleet = Fleet(workers, 8 * SECOND, [RollingLimit(8, MINUTE)])
    fleet.run(OPENS + 9 * HOUR, plan.closes)
    return fleet


def test_catches_up_after_an_outage_as_fast_as_the_limit_and_no_faster() -> None:
    bound = Bound("limits.perMinute", 8, MINUTE, sharers=200)
    fleet = outage(pace(24 * HOUR, cooldown=5 * MINUTE, send=8 * SECOND, bounds=[bound]))
    claims = [claim.at for claim in fleet.claims]
    assert len(claims) == 200 * 12
    assert most_in_any(MINUTE, claims) == 8
    in_two_hours = sum(at < OPENS + 11 * HOUR for at in claims)
    assert in_two_hours > 0.98 * 2 * 480
    assert most_in_any(MINUTE, [claim.due for claim in fleet.claims]) < 4 * 8


def test_without_turns_an_outage_ends_in_a_stampede() -> None:
    """What the turns are for: else everybody is due in the same instant, and waits."""
    fleet = outage(UNHINDERED)
    assert most_in_any(MINUTE, [claim.due for claim in fleet.claims]) == 200


def test_the_earliest_deadline_goes_first_when_behind() -> None:
    """One slot and two windows: the mails of the window that closes first go first, and so both are met."""
    soon, late = Window(OPENS, OPENS + 10 * MINUTE), Window(OPENS, OPENS + 20 * MINUTE)
    kept = pace(10 * MINUTE, cooldown=timedelta(), send=MINUTE)
    owned = [Mailbox(n, late if n < 5 else soon, 1, pace=kept) for n in range(10)]
    fleet = Fleet([Worker(1, Continuous(1), owned)], MINUTE)
    fleet.run(soon.opens + 5 * MINUTE - SECOND, late.closes)
    assert {claim.mailbox for claim in fleet.claims[:5]} == {5, 6, 7, 8, 9}
    assert len(fleet.claims) == 10


def test_free_slots_take_the_most_urgent_at_once() -> None:
    schedule = Continuous(5)
    assert schedule.appetite(OPENS, 2, State()) == 3
    answer = schedule.decide(OPENS, Offer(7, OPENS + MINUTE), 2, State())
    assert answer.starts == (OPENS, OPENS, OPENS)
    assert answer.look_again is None
    assert answer.reason is Reason.STARTED


def test_it_looks_again_when_the_next_is_due() -> None:
    schedule = Continuous(5)
    few = schedule.decide(OPENS, Offer(2, OPENS + MINUTE), 2, State())
    none = schedule.decide(OPENS, Offer(0, OPENS + MINUTE), 2, State())
    empty = schedule.decide(OPENS, Offer(0), 0, State())
    assert len(few.starts) == 2
    assert few.look_again == none.look_again == OPENS + MINUTE
    assert none.reason is empty.reason is Reason.NOTHING_DUE
    assert empty.look_again is None


def test_full_slots_wait_for_a_mail_to_end() -> None:
    schedule = Continuous(5)
    assert schedule.appetite(OPENS, 6, State()) == 0
    answer = schedule.decide(OPENS, Offer(7, OPENS), 6, State())
    assert (answer.starts, answer.look_again, answer.reason) == ((), None, Reason.SLOTS_FULL)


def test_a_limit_holds_it_until_its_instant() -> None:
    schedule = Continuous(5)
    held = schedule.decide(OPENS, Offer(0, held=True, held_until=OPENS + SECOND), 0, State())
    assert (held.starts, held.look_again, held.reason) == ((), OPENS + SECOND, Reason.HELD)
    some = schedule.decide(OPENS, Offer(2, held=True, held_until=OPENS + SECOND), 0, State())
    assert (len(some.starts), some.look_again) == (2, OPENS + SECOND)


def test_it_is_what_a_fleet_gets_that_does_not_ask_for_runs() -> None:
    settings = FleetSettings(max_concurrent_sends=7)
    assert choose(settings, 3, 4, "seed") == Continuous(7)
