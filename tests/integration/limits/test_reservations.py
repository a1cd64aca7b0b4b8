"""Reservations of tokens on a real database: the pure rule's arithmetic, many reservers at once, no settings of yesterday."""

import asyncio
import random
from datetime import datetime, timedelta

from tests.integration.limits.claimants import limited
from tests.integration.worker.fleet import Fleet, as_database
from warmup_core.limits import Kind, Limit, grant
from warmup_worker import limiting
from warmup_worker.connection import Database
from warmup_worker.limiting import Bucket, Reservation

VERSION = 1


def bucket(scope: str, limit: Limit) -> Bucket:
    return Bucket(Kind.MINUTE, scope, limit)


async def reserve(
    database: Database, buckets: list[Bucket], wanted: int, version: int = VERSION
) -> Reservation:
    async with database.transaction() as connection:
        found = await limiting.reserve(connection, buckets, wanted, version)
    assert found is not None
    return found


async def make(database: Database, *scopes: str) -> None:
    async with database.transaction() as connection:
        await limiting.ensure(connection, scopes)


def microseconds(since: datetime, at: datetime) -> int:
    return (at - since) // timedelta(microseconds=1)


async def test_the_database_grants_what_the_pure_rule_grants(fleet: Fleet, worker_database: Database) -> None:
    await fleet.start()
    await make(worker_database, "a")
    draw = random.Random(4)
    for _ in range(40):
        limit = Limit(
            count := draw.randint(2, 40), draw.randint(1, 4_000_000), draw.randint(1, count), 300_000
        )
        ahead = draw.choice([-3600.0, draw.uniform(-0.1, limit.burst * limit.step_us / 1e6)])
        (before,) = await fleet.rows(
            "UPDATE rate_limits SET tat = clock_timestamp() + make_interval(secs => :ahead) RETURNING tat",
            ahead=ahead,
        )
        wanted = draw.randint(1, 12)
        given = await reserve(worker_database, [bucket("a", limit)], wanted)
        (after,) = await fleet.rows("SELECT tat FROM rate_limits")
        pure = grant(microseconds(given.granted_at, before.tat), 0, wanted, limit)
        assert given.tokens == pure.tokens
        assert microseconds(given.granted_at, after.tat) == pure.tat_us
        assert round(given.wait * 1_000_000) == pure.due_us


async def test_a_bucket_never_seen_is_full_and_a_missing_one_is_told(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start()
    limit = Limit(6, 3_000_000, 2)
    async with worker_database.transaction() as connection:
        assert await limiting.reserve(connection, [bucket("a", limit)], 1, VERSION) is None
    await make(worker_database, "a")
    assert (await reserve(worker_database, [bucket("a", limit)], 9)).tokens == 2


async def test_all_buckets_give_the_same_number_and_the_emptiest_is_named(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start()
    await make(worker_database, "wide", "narrow")
    wide, narrow = bucket("wide", Limit(100, 60_000_000, 9)), bucket("narrow", Limit(10, 60_000_000, 3))
    given = await reserve(worker_database, [wide, narrow], 5)
    assert (given.tokens, given.short) == (3, "narrow")
    assert 0 < given.wait <= narrow.limit.step_us / 1e6
    again = await reserve(worker_database, [wide, narrow], 5)
    assert (again.tokens, again.short) == (0, "narrow")
    assert (await reserve(worker_database, [wide], 9)).tokens == 6


async def test_nothing_is_reserved_under_settings_that_are_no_longer_the_fleets(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start(limited())
    await make(worker_database, "a")
    limit = Limit(6, 3_000_000, 2)
    await fleet.execute("UPDATE fleet SET settings_version = settings_version + 1")
    given = await reserve(worker_database, [bucket("a", limit)], 1)
    assert (given.tokens, given.current) == (0, False)
    assert (await reserve(worker_database, [bucket("a", limit)], 1, VERSION + 1)).tokens == 1


async def test_many_reservers_at_once_get_no_more_than_one_would_and_never_deadlock(fleet: Fleet) -> None:
    """Eight connections, two buckets named in both orders."""
    await fleet.start()
    databases = [as_database(fleet.url) for _ in range(4)]
    await make(databases[0], "a", "b")
    limits = {"a": Limit(40, 1_000_000, 7), "b": Limit(60, 1_000_000, 5)}
    granted: list[tuple[datetime, int]] = []

    async def reserver(database: Database, order: str) -> None:
        for _ in range(60):
            given = await reserve(database, [bucket(it, limits[it]) for it in order], 3)
            granted.append((given.granted_at, given.tokens))

    async with asyncio.timeout(300):
        await asyncio.gather(*(reserver(it, order) for it in databases for order in ("ab", "ba")))
    granted.sort()
    assert sum(tokens for _, tokens in granted) > 7
    for first, (start, _) in enumerate(granted):
        total = 0
        for at, tokens in granted[first:]:
            total += tokens
            for limit in limits.values():
                assert total <= limit.burst + microseconds(start, at) // limit.step_us
    for database in databases:
        await database.close()
