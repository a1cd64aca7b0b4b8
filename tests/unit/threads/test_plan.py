"""The day's plan of conversations: the share asked for, no turn answered twice, threads that end."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from warmup_core import threads
from warmup_core.threads import LONGEST, MOST_PERCENT, RECENT

seeds = st.integers(0, 10_000).map(lambda n: f"t0ken/{n}")
percents = st.integers(0, MOST_PERCENT)


@given(seeds, percents)
def test_a_turn_answers_an_earlier_one_that_nobody_else_answers(seed: str, percent: int) -> None:
    plan = threads.plan(seed, percent, 60)
    answered = [step.answers for step in plan if step.answers is not None]
    assert len(set(answered)) == len(answered)
    for step in plan:
        if step.answers is None:
            assert (step.first, step.depth) == (step.k, 0)
        else:
            parent = plan[step.answers]
            assert step.k - RECENT <= parent.k < step.k
            assert (step.first, step.depth) == (parent.first, parent.depth + 1)
        assert step.depth < LONGEST


@given(seeds, percents)
def test_the_share_is_the_one_asked_for_after_any_number_of_turns(seed: str, percent: int) -> None:
    """To within one; the largest shares fall a thread's length short at the start, when there is little to answer."""
    plan = threads.plan(seed, percent, 60)
    for k in range(1, 60):
        answers = sum(step.answers is not None for step in plan[:k])
        assert answers <= percent * k / 100 + 1
        if percent <= 60:
            assert answers >= percent * k / 100 - 2


def test_over_many_days_two_mails_a_day_have_the_share_too() -> None:
    """A young mailbox: its first mail of the day has nothing to answer, its second must make up for it."""
    days = [threads.plan(f"t0ken/{day}", 30, 2) for day in range(1000)]
    answers = sum(step.answers is not None for plan in days for step in plan)
    assert 540 <= answers <= 660


@given(seeds, percents, st.integers(1, 60))
def test_a_longer_plan_begins_with_the_shorter(seed: str, percent: int, turns: int) -> None:
    assert threads.plan(seed, percent, 60)[:turns] == threads.plan(seed, percent, turns)
    assert threads.step(seed, percent, turns) == threads.plan(seed, percent, turns + 1)[turns]


def test_threads_of_every_length_occur() -> None:
    plan = [step for day in range(20) for step in threads.plan(f"t0ken/{day}", 30, 30)]
    assert set(Counter(step.depth for step in plan)) == set(range(LONGEST))
