"""Who waits looks once more when the time is over, however little he was let run until then."""

import time

import pytest

from tests.waiting import until


async def test_what_became_true_while_nobody_looked_is_seen() -> None:
    looks: list[bool] = []

    def look() -> bool:
        looks.append(bool(looks))
        time.sleep(0.1)  # the machine stands still, longer than the wait
        return looks[-1]

    await until(look, "the second look", within=0.05)
    assert looks == [False, True]


async def test_what_never_becomes_true_fails_with_the_last_answer() -> None:
    with pytest.raises(AssertionError, match=r"not within 0 s: a figure; the last answer was 0"):
        await until(lambda: 0, "a figure", within=0.05)
