"""An upkeep that meets what it cannot do: everything else is done, it comes again within the hour, and nobody waits for it."""

from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.postgres.judge import judge
from tests.waiting import until
from warmup_core import partitions
from warmup_core.partitions import DAYS_AHEAD, PARTITIONED, name_of
from warmup_core.upkeep import Upkeeper

TODAY = date(2026, 11, 25)
STRAY = date(2026, 11, 20)
DAYS = [TODAY + timedelta(days=offset) for offset in range(-1, DAYS_AHEAD + 1)]
HOUR = 3600.0


async def stray_rows(engine: AsyncEngine, day: date, rows: int = 3) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO mails SELECT :day, nextval('mail_ids'), n, 2, 0, 'sent', 1, 1, 1, now(), NULL, now()"
                " FROM generate_series(1, CAST(:rows AS integer)) n"
            ),
            {"day": day, "rows": rows},
        )


async def occupy(engine: AsyncEngine, name: str) -> None:
    """A table of the partition's name that is none: that day cannot be made."""
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {name} (nothing integer)"))


async def attached(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid")
        )
        return {row.relname for row in rows}


class World:
    """An upkeeper, a clock that only the test moves, and how many upkeeps there were."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.url, self.now, self.upkeeps = engine.url, 1000.0, 0
        self.upkeeper = Upkeeper(self._begin, lambda: self.now)

    def _begin(self) -> AsyncEngine:
        self.upkeeps += 1
        return judge(self.url)

    async def look(self, day: date = TODAY, patience: float = 20) -> int:
        await self.upkeeper.keep(day, 90, patience)
        return self.upkeeps


@pytest.fixture
async def world(engine: AsyncEngine) -> AsyncIterator[World]:
    made = World(engine)
    yield made
    await made.upkeeper.end()


async def test_a_day_that_cannot_be_made_keeps_no_other_from_it(engine: AsyncEngine) -> None:
    await stray_rows(engine, STRAY)
    await stray_rows(engine, TODAY)
    await occupy(engine, name_of("mails", STRAY))
    done = await partitions.upkeep(engine.begin, TODAY, 90)
    assert list(done.failed) == [name_of("mails", STRAY)]
    assert {name_of(table, day) for table in PARTITIONED for day in DAYS} <= await attached(engine)
    assert done.rescued == 3, "today's"
    assert done.made[-1] == name_of("mails", TODAY), "claims wait for rows that move, so that comes last"


async def test_what_cannot_be_dropped_keeps_nothing_else_from_it(engine: AsyncEngine) -> None:
    await partitions.upkeep(engine.begin, date(2026, 8, 1), 90)
    kept = name_of("mails", date(2026, 8, 1))
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE VIEW somebodys AS SELECT * FROM {kept}"))
    done = await partitions.upkeep(engine.begin, TODAY, 90)
    assert list(done.failed) == [kept]
    assert name_of("quotas", date(2026, 8, 1)) in done.dropped


async def test_one_that_fails_in_part_comes_again_within_the_hour_and_not_at_each_look(
    engine: AsyncEngine, world: World
) -> None:
    await stray_rows(engine, STRAY)
    await occupy(engine, name_of("mails", STRAY))
    for _ in range(3):
        assert await world.look() == 1
    pauses = []
    for upkeeps in range(2, 8):
        before = world.now
        while await world.look() < upkeeps:
            world.now += 60
        pauses.append(world.now - before)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (300, HOUR)
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {name_of('mails', STRAY)}"))
    world.now += HOUR
    assert await world.look() == 8
    assert name_of("mails", STRAY) in await attached(engine)
    world.now += HOUR - 1
    assert await world.look() == 8
    assert await world.look(TODAY + timedelta(days=1)) == 9, "the day has turned"


async def test_a_database_that_is_away_is_not_asked_at_each_look(world: World) -> None:
    world.url = world.url.set(database="nowhere")
    for _ in range(3):
        assert await world.look() == 1
    world.now += HOUR
    assert await world.look() == 2


async def test_rows_that_take_long_to_move_hold_nobody_up(engine: AsyncEngine, world: World) -> None:
    await stray_rows(engine, STRAY)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE let_go ()"))
        await connection.execute(
            text(
                "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN WHILE NOT EXISTS (SELECT FROM let_go)"
                " LOOP PERFORM pg_sleep(0.05); END LOOP; RETURN OLD; END $$"
            )
        )
        await connection.execute(
            text("CREATE TRIGGER held BEFORE DELETE ON mails_default FOR EACH ROW EXECUTE FUNCTION held()")
        )

    async def made(day: date) -> bool:
        assert await world.look(patience=0.2) == 1
        return name_of("mails", day) in await attached(engine)

    await until(lambda: made(TODAY), "the other days are there")
    assert not await made(STRAY)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO let_go DEFAULT VALUES"))
    await until(lambda: made(STRAY), "the rows are moved")
