"""How many workers: the formula, the term that binds and the cheaper choice, and counts that do not flap."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmup_core.sizing import MARGIN_PERCENT, Need, Present, Rules, SizedBy, Sizing, size, terms
from warmup_core.spec import Workers

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WHOLE = Need(100_000, 3_000_000, 540_000)
"""The company of 1,000 users with 100 mailboxes each, with the default settings."""


def rules(**changes: object) -> Rules:
    return replace(Rules(cooldown=10 * MINUTE), **changes)  # type: ignore[arg-type]


def at_first(need: Need, **changes: object) -> Sizing:
    return size(need, rules(**changes), Present(0, 0, NOON))


@pytest.mark.parametrize(
    ("most", "slots", "workers", "by"),
    [
        (2_000, 540_000, 50, SizedBy.MAILBOXES),
        (1_000, 540_000, 100, SizedBy.MAILBOXES),
        (None, 540_000, 7, SizedBy.MAILS),
        (None, 1_080_000, 4, SizedBy.MAILS),
    ],
)
def test_100_000_mailboxes(most: int | None, slots: int, workers: int, by: SizedBy) -> None:
    found = at_first(replace(WHOLE, capacity=slots), max_mailboxes_per_worker=most)
    assert (found.wanted, found.ideal, found.by) == (workers, workers, by)


def test_3_000_000_mails_a_day_at_9_600_a_worker_need_313_workers() -> None:
    found = at_first(replace(WHOLE, capacity=9_600), maximum=1_000, headroom_percent=0)
    assert (found.wanted, found.by) == (313, SizedBy.MAILS)
    assert at_first(replace(WHOLE, capacity=9_600), maximum=1_000).wanted == 375


@pytest.mark.parametrize(
    ("need", "changes", "by", "reason"),
    [
        (
            WHOLE,
            {},
            "Mailboxes",
            "100000 mailboxes, at most 2000 a worker, want 50; by mails alone,"
            " workers.maxMailboxesPerWorker: null, 7 would do",
        ),
        (
            WHOLE,
            {"max_mailboxes_per_worker": None},
            "Mails",
            "3000000 mails a day with 20 % headroom, 540000 a worker, want 7; without headroom 6 would do",
        ),
        (
            WHOLE,
            {"maximum": 40},
            "Max",
            "workers.max is 40; 100000 mailboxes, at most 2000 a worker, want 50",
        ),
        (
            replace(WHOLE, capacity=9_600),
            {},
            "Max",
            "workers.max is 100; 3000000 mails a day with 20 % headroom, 9600 a worker, want 375",
        ),
        (
            Need(10, 300, 540_000),
            {"minimum": 3},
            "Min",
            "workers.min is 3 and 10 mailboxes want no more; without it 1 would do",
        ),
        (Need(0, 0, 540_000), {}, "Min", "workers.min is 1 and 0 mailboxes want no more"),
        (
            WHOLE,
            {"fixed": 5},
            "Fixed",
            "workers.replicas fixes the count at 5; by itself it would be 50: 100000 mailboxes, at most 2000 a worker,"
            " want 50; by mails alone, workers.maxMailboxesPerWorker: null, 7 would do",
        ),
    ],
)
def test_the_term_that_binds_and_the_cheaper_choice(
    need: Need, changes: dict[str, object], by: str, reason: str
) -> None:
    found = at_first(need, **changes)
    assert (found.by, found.reason) == (by, reason)


def test_a_fixed_count_holds_at_once_and_zero_stops() -> None:
    just_now = Present(50, 50, NOON, NOON)
    assert [size(WHOLE, rules(fixed=n), just_now).wanted for n in (0, 3, 200)] == [0, 3, 200]


def test_recommend_changes_nothing_and_says_what_would_be() -> None:
    found = size(WHOLE, rules(recommend=True), Present(3, 3, NOON))
    assert (found.wanted, found.ideal, found.by) == (3, 50, SizedBy.MAILBOXES)
    assert found.wait == "workers.sizing is Recommend, so the count stays 3 where it would be 50"
    assert found.reason.endswith(found.wait)
    assert size(WHOLE, rules(recommend=True, minimum=2), Present(0, 0, NOON)).wanted == 2
    assert size(WHOLE, rules(recommend=True), Present(50, 50, NOON)).wait == ""


def test_growth_waits_for_the_cooldown_only_while_the_headroom_carries_it() -> None:
    six = Present(6, 6, NOON, NOON - MINUTE)
    found = size(WHOLE, rules(max_mailboxes_per_worker=None), six)
    assert (found.wanted, found.ideal) == (6, 7)
    assert found.wait == "the count stays 6 until resizeCooldown is over at 12:09:00 UTC"
    later = replace(six, now=NOON + 9 * MINUTE)
    assert size(WHOLE, rules(max_mailboxes_per_worker=None), later).wanted == 7
    more = replace(WHOLE, mails=6 * 540_000 + 1)
    assert size(more, rules(max_mailboxes_per_worker=None), six).wanted == 8


def test_a_worker_with_too_many_mailboxes_is_helped_at_once() -> None:
    assert size(Need(2_001, 10, 540_000), rules(), Present(1, 1, NOON, NOON)).wanted == 2


def test_bounds_that_a_person_moved_hold_at_once() -> None:
    just_now = Present(50, 50, NOON, NOON)
    assert size(WHOLE, rules(minimum=60), just_now).wanted == 60
    assert size(WHOLE, rules(maximum=40), just_now).wanted == 40


def test_shrinking_waits_for_the_cooldown_and_for_a_margin() -> None:
    rested, hasty = Present(60, 60, NOON, NOON - 10 * MINUTE), Present(60, 60, NOON, NOON - 9 * MINUTE)
    assert size(WHOLE, rules(), rested).wanted == 50
    assert (
        size(WHOLE, rules(), hasty).wait == "the count stays 60 until resizeCooldown is over at 12:01:00 UTC"
    )
    close = replace(rested, count=55, replicas=55)
    found = size(WHOLE, rules(), close)
    assert (found.wanted, found.ideal) == (55, 50)
    assert found.wait == "the count stays 55: fewer would not do for 10 % more"


def test_a_growth_by_mails_that_is_under_way_is_not_broken_off_by_a_better_measurement() -> None:
    by_mails = rules(max_mailboxes_per_worker=None)
    growing = Present(6, 7, NOON)
    quicker = replace(WHOLE, capacity=605_000)
    assert terms(quicker, by_mails, 20).wanted == 6
    assert size(quicker, by_mails, growing).wanted == 7
    assert size(replace(WHOLE, capacity=700_000), by_mails, growing).wanted == 6


def test_the_rules_of_a_manifest() -> None:
    workers = Workers(min=2, max=9, headroom_percent=5, resize_cooldown="90s", sizing="Recommend", replicas=4)
    assert Rules.of(workers) == Rules(2, 9, 2_000, 5, 4, timedelta(seconds=90), True)
    assert Rules.of(Workers()).cooldown == 10 * MINUTE


needs = st.builds(
    Need, st.integers(0, 200_000), st.integers(0, 5_000_000), st.sampled_from([0, 9_600, 90_000, 540_000])
)
made = st.builds(
    lambda low, more, most, headroom, cooldown: Rules(
        low, low + more, most, headroom, None, cooldown * MINUTE
    ),
    st.integers(1, 50),
    st.integers(0, 400),
    st.none() | st.integers(100, 5_000),
    st.integers(0, 100),
    st.integers(0, 20),
)


@given(need=needs, rules=made, count=st.integers(0, 500), minutes=st.none() | st.integers(0, 30))
def test_the_count_stays_within_its_bounds(need: Need, rules: Rules, count: int, minutes: int | None) -> None:
    resized_at = None if minutes is None else NOON - minutes * MINUTE
    found = size(need, rules, Present(count, count, NOON, resized_at))
    assert rules.minimum <= found.wanted <= rules.maximum
    assert rules.minimum <= found.ideal <= rules.maximum


@given(need=needs, rules=made, more=st.integers(0, 100_000), mails=st.integers(0, 1_000_000))
def test_more_mailboxes_or_mails_never_want_fewer_workers(
    need: Need, rules: Rules, more: int, mails: int
) -> None:
    larger = replace(need, mailboxes=need.mailboxes + more, mails=need.mails + mails)
    assert (
        terms(larger, rules, rules.headroom_percent).wanted
        >= terms(need, rules, rules.headroom_percent).wanted
    )


def follow(trace: list[Need], rules: Rules, count: int) -> list[tuple[datetime, int, int]]:
    """The resizes (when, from, to) of a fleet that is looked at every half a minute and resized as soon as it is wanted."""
    resizes: list[tuple[datetime, int, int]] = []
    now, resized_at = NOON, None
    for need in trace:
        wanted = size(need, rules, Present(count, count, now, resized_at)).wanted
        if wanted != count:
            resizes.append((now, count, wanted))
            count, resized_at = wanted, now
        now += MINUTE / 2
    return resizes


wild = st.lists(needs, min_size=1, max_size=60)


@given(trace=wild, rules=made, count=st.integers(0, 400))
def test_no_demand_makes_a_fleet_shrink_soon_after_a_resize_nor_leaves_it_too_small(
    trace: list[Need], rules: Rules, count: int
) -> None:
    resizes = follow(trace, rules, count)
    for (before, _, _), (at, old, new) in pairwise(resizes):
        if new < old:
            assert at - before >= rules.cooldown
    for need in trace:
        wanted = size(need, rules, Present(count, count, NOON, NOON)).wanted
        assert wanted >= terms(need, rules, 0).wanted


@given(
    base=st.builds(Need, st.integers(1, 100_000), st.integers(1, 3_000_000), st.just(54_000)),
    drift=st.lists(st.integers(0, MARGIN_PERCENT), min_size=1, max_size=80),
    rules=made,
    count=st.integers(1, 450),
)
def test_a_demand_that_stays_within_the_margin_shrinks_a_fleet_at_most_once(
    base: Need, drift: list[int], rules: Rules, count: int
) -> None:
    """After the first step down it only grows, and never past what the largest demand wants: no up and down for ever."""
    trace = [
        Need(base.mailboxes * (100 + n) // 100, base.mails * (100 + n) // 100, base.capacity) for n in drift
    ]
    resizes = follow(trace, rules, count)
    down = [at for at, old, new in resizes if new < old]
    assert len(down) <= 1
    first_up = next((at for at, old, new in resizes if new > old), None)
    if down and first_up:
        assert down[0] < first_up
