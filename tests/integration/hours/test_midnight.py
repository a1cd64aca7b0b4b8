"""Which quota day a mail counts for, seen through a real worker at the instants where it matters."""

from datetime import UTC, datetime

from tests.integration.hours.nights import RUNS, begin, look, quotas, sent, set_clock, today
from tests.integration.worker.fleet import Fleet
from tests.waiting import until

NIGHT = RUNS.model_copy(update={"window_from_seconds": 22 * 3600, "window_to_seconds": 6 * 3600})


async def test_a_night_goes_on_across_midnight_and_its_mails_count_for_two_days(fleet: Fleet) -> None:
    """22:00 to 06:00 and eight mails: two until midnight, six after it, each day under its own key of the ledger."""
    await begin(fleet, datetime(2026, 11, 27, 23, 50, tzinfo=UTC), NIGHT)
    await fleet.enrol(3)
    assert await today(fleet) == {"due": 24, "scheduled": 6, "skipped": 18, "behind": 18}
    async with fleet.worker():
        await until(lambda: _is(fleet, {"2026-11-27": 6}), "two of each before midnight")
        await set_clock(
            fleet, datetime(2026, 11, 27, 23, 59, 59, tzinfo=UTC)
        )  # and not before, or a slow machine sends fewer
        await until(lambda: _is(fleet, {"2026-11-27": 6, "2026-11-28": 18}), "six of each after it")
    # The night before the first one was missed: its six stand in the account of the day, and are made up by none.
    assert await quotas(fleet) == {"2026-11-27": (24, 6), "2026-11-28": (24, 18)}
    await set_clock(fleet, datetime(2026, 11, 27, 23, 50, tzinfo=UTC))
    assert await today(fleet) == {"due": 24, "sent": 6, "skipped": 18, "behind": 12}
    assert await look(fleet, datetime(2026, 11, 28, 6, 0, 1, tzinfo=UTC)) == {"scheduled": 3}
    assert await today(fleet) == {"due": 24, "sent": 18, "scheduled": 6}
    assert await look(fleet, datetime(2026, 11, 28, 22, 0, 1, tzinfo=UTC)) == {"quota met": 3}
    assert await sent(fleet) == {"2026-11-27": 6, "2026-11-28": 24}
    await fleet.adds_up()


async def _is(fleet: Fleet, expected: dict[str, int]) -> bool:
    return await sent(fleet) == expected


async def test_a_working_week_in_los_angeles_under_a_fleet_in_utc(fleet: Fleet) -> None:
    """field-045: 14:00 to 22:00 there is 22:00 to 06:00 here: eight a local working day, none on the local weekend."""
    await begin(fleet, datetime(2026, 11, 27, 21, 59, tzinfo=UTC), RUNS)
    [box] = await fleet.enrol(1)
    await fleet.enrol(1)  # somebody to write to, on the fleet's hours
    await fleet.execute("UPDATE mailboxes SET quota_override = 0 WHERE id <> :id", id=box)
    await fleet.execute(
        "UPDATE mailboxes SET window_from = 50400, window_to = 79200, time_zone = 'America/Los_Angeles',"
        " days = 'Mon,Tue,Wed,Thu,Fri' WHERE id = :id",
        id=box,
    )
    friday_evening = datetime(2026, 11, 27, 22, 0, 1, tzinfo=UTC)
    assert (await look(fleet, friday_evening))["window over"] == 1, "of Thursday's there was nobody to send"
    assert await sent(fleet) == {"2026-11-27": 2}
    await look(fleet, datetime(2026, 11, 28, 3, tzinfo=UTC))
    assert await sent(fleet) == {"2026-11-27": 2, "2026-11-28": 6}, (
        "Friday's other six, on the fleet's Saturday"
    )
    for hour in (4, 23):
        assert (await look(fleet, datetime(2026, 11, 28, hour, tzinfo=UTC)))["quota met"] == 2
    for hour in (1, 23):
        assert (await look(fleet, datetime(2026, 11, 29, hour, tzinfo=UTC)))["quota met"] == 2
    assert sum((await sent(fleet)).values()) == 8, "none on the local Saturday and Sunday"
    await look(fleet, datetime(2026, 11, 30, 22, 0, 1, tzinfo=UTC))
    assert (await sent(fleet))["2026-11-30"] == 2
    await fleet.adds_up()


async def test_the_hour_that_the_clock_shows_twice_is_used_once(fleet: Fleet) -> None:
    """field-044: 02:00 to 03:00 in Berlin on 2026-10-25: one window of two hours, one quota."""
    hour = RUNS.model_copy(update={"window_from_seconds": 7200, "window_to_seconds": 10_800})
    await begin(fleet, datetime(2026, 10, 25, 0, 30, tzinfo=UTC), hour, "Europe/Berlin")
    await fleet.enrol(2)
    assert await look(fleet, datetime(2026, 10, 24, 23, 50, tzinfo=UTC)) == {"scheduled": 2}
    assert await look(fleet, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)) == {"quota met": 2}
    assert await look(fleet, datetime(2026, 10, 25, 1, 30, tzinfo=UTC)) == {"quota met": 2}, "02:30 again"
    assert await quotas(fleet) == {"2026-10-25": (16, 16)}
    assert await sent(fleet) == {"2026-10-25": 16}


async def test_the_hour_that_the_clock_skips_is_named(fleet: Fleet) -> None:
    """field-044."""
    hour = RUNS.model_copy(update={"window_from_seconds": 7200, "window_to_seconds": 10_800})
    await begin(fleet, datetime(2027, 3, 28, 0, 59, 59, tzinfo=UTC), hour, "Europe/Berlin")
    await fleet.enrol(2)
    assert await look(fleet, datetime(2027, 3, 28, 1, 0, 1, tzinfo=UTC)) == {"the clock skips the window": 2}
    assert await quotas(fleet) == {"2027-03-28": (16, 0)}
    assert await sent(fleet) == {}
