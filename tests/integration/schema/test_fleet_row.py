"""The fleet's row: one owner, compare-and-set, an epoch that only rises, a zone that changes at the later midnight."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.waiting import until
from warmup_core import fleet
from warmup_core.fleet import FleetRow, Owner
from warmup_core.settings import FleetSettings
from warmup_core.types import Growth

OURS = Owner("cluster-a", "mail", "main", "uid-1")
AGAIN = Owner("cluster-a", "mail", "main", "uid-2")
THEIRS = Owner("cluster-b", "mail", "main", "uid-3")


async def own(
    engine: AsyncEngine,
    owner: Owner = OURS,
    generation: int = 1,
    zone: str = "UTC",
    settings: FleetSettings | None = None,
) -> FleetRow:
    async with engine.begin() as connection:
        return await fleet.own(
            connection,
            owner,
            generation=generation,
            token="t0ken",
            settings=settings or FleetSettings(),
            time_zone=zone,
            paused=False,
        )


async def live(engine: AsyncEngine, *numbers: int) -> None:
    async with engine.begin() as connection:
        for number in numbers:
            await connection.execute(
                text(
                    "INSERT INTO workers (number, incarnation, lease_until)"
                    " VALUES (CAST(:n AS integer), CAST(:n AS bigint), now() + interval '1 h')"
                ),
                {"n": number},
            )


async def test_a_second_fleet_is_refused_by_the_first_ones_name(engine: AsyncEngine) -> None:
    await own(engine)
    with pytest.raises(fleet.DatabaseInUse, match=r"mail/main \(uid uid-1, cluster cluster-a\)"):
        await own(engine, THEIRS)
    assert (await own(engine)).owner == OURS


async def test_a_fleet_made_again_goes_on_with_a_higher_epoch(engine: AsyncEngine) -> None:
    before = await own(engine, generation=7)
    after = await own(engine, AGAIN, generation=1)
    assert (after.owner, after.token) == (AGAIN, before.token)
    assert after.epoch > before.epoch
    assert not after.deleted


async def test_a_fleet_whose_end_was_an_error_goes_on_with_a_higher_epoch(engine: AsyncEngine) -> None:
    before = await own(engine)
    async with engine.begin() as connection:
        assert await fleet.delete(connection, OURS)
    after = await own(engine)
    assert not after.deleted
    assert after.epoch > before.epoch
    assert (await own(engine)).epoch == after.epoch


async def test_owning_twice_changes_nothing(engine: AsyncEngine) -> None:
    first, second = await own(engine), await own(engine)
    assert (second.epoch, second.settings_version) == (first.epoch, first.settings_version)


async def test_changed_settings_raise_their_version_and_an_old_view_changes_nothing(
    engine: AsyncEngine,
) -> None:
    first = await own(engine)
    changed = FleetSettings(emails_per_mailbox_per_day=5)
    second = await own(engine, generation=2, settings=changed)
    assert (second.settings, second.settings_version) == (changed, first.settings_version + 1)
    stale = await own(engine, generation=1)
    assert stale.settings == changed


async def test_an_old_view_that_waited_for_a_newer_one_to_commit_changes_nothing(engine: AsyncEngine) -> None:
    await own(engine)
    newer = FleetSettings(emails_per_mailbox_per_day=5)

    async def waits() -> bool:
        async with engine.connect() as other:
            return bool(await other.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    async with engine.begin() as connection:
        await connection.execute(text("SELECT FROM fleet FOR UPDATE"))
        late = asyncio.create_task(own(engine, generation=2))
        await until(waits, "the older view has read the row and waits to write it")
        await connection.execute(
            text("UPDATE fleet SET generation = 3, settings = CAST(:settings AS jsonb)"),
            {"settings": newer.model_dump_json()},
        )
    row = await late
    assert (row.generation, row.settings) == (3, newer)


async def test_growing_waits_for_every_new_worker_and_only_one_flip_wins(engine: AsyncEngine) -> None:
    row = await own(engine)
    await live(engine, 1)
    async with engine.begin() as connection:
        assert not await fleet.flip(connection, epoch=row.epoch, target=2)
    await live(engine, 2)
    async with engine.begin() as connection:
        assert await fleet.flip(connection, epoch=row.epoch, target=2)
        assert not await fleet.flip(connection, epoch=row.epoch, target=2)
        after = await fleet.read(connection)
    assert after is not None
    assert (after.epoch, after.worker_count) == (row.epoch + 1, 2)
    assert row.resized_at is None
    assert after.resized_at is not None
    assert row.at < after.resized_at < after.at


async def test_shrinking_waits_for_nobody(engine: AsyncEngine) -> None:
    row = await own(engine)
    await live(engine, 1, 2)
    async with engine.begin() as connection:
        assert await fleet.flip(connection, epoch=row.epoch, target=2)
        await connection.execute(text("DELETE FROM workers"))
        assert await fleet.flip(connection, epoch=row.epoch + 1, target=1)


async def test_a_changed_zone_waits_for_the_later_midnight_and_never_turns_the_day_back(
    engine: AsyncEngine,
) -> None:
    await own(engine, zone="Pacific/Kiritimati")
    row = await own(engine, generation=2, zone="Pacific/Honolulu")
    assert (row.time_zone, row.next_time_zone) == ("Pacific/Kiritimati", "Pacific/Honolulu")
    async with engine.begin() as connection:
        turn = (
            await connection.execute(
                text(
                    "SELECT (next_time_zone_at - interval '1 us') AT TIME ZONE time_zone AS before,"
                    " next_time_zone_at AT TIME ZONE next_time_zone AS after, next_time_zone_at > clock_timestamp() AS ahead"
                    " FROM fleet"
                )
            )
        ).one()
    assert turn.ahead
    assert turn.before.date() <= turn.after.date()


async def test_what_a_growth_came_to_is_written_once_and_forgotten_with_a_new_spec(
    engine: AsyncEngine,
) -> None:
    row = await own(engine)
    begun = Growth(since=row.at)
    failed = Growth(None, 3, row.at, 1, "Pod main-3: no room.")
    async with engine.begin() as connection:
        assert await fleet.remember(connection, epoch=row.epoch, before=row.growth, growth=begun)
        assert not await fleet.remember(connection, epoch=row.epoch, before=row.growth, growth=begun)
        assert await fleet.remember(connection, epoch=row.epoch, before=begun, growth=failed)
        assert not await fleet.remember(connection, epoch=row.epoch + 1, before=failed, growth=begun)
    assert (await own(engine)).growth == failed
    assert (await own(engine, generation=2)).growth == Growth()


async def test_mailboxes_without_a_live_owner_are_counted_by_the_database(engine: AsyncEngine) -> None:
    row = await own(engine)
    await live(engine, 1, 2, 3)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO users (name) VALUES ('u')"))
        await connection.execute(
            text(
                "INSERT INTO mailboxes (id, user_id, address, smtp_host, smtp_port, smtp_security, active)"
                " SELECT n, (SELECT id FROM users), n || '@x.example', 'h', 587, 'tls', n <> 30"
                " FROM generate_series(1, 30) n"
            )
        )
        assert await fleet.unowned(connection) == 29
        assert await fleet.flip(connection, epoch=row.epoch, target=3)
        assert await fleet.unowned(connection) == 0
        await connection.execute(text("UPDATE workers SET lease_until = now() WHERE number = 1"))
        assert await fleet.unowned(connection) == 9


INTENT = text(
    "INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at)"
    " VALUES (current_date, 1, 1, 2, 0, 'intent', 1, 1, 1, clock_timestamp())"
)


async def test_a_purge_waits_for_a_claim_that_began_before_the_end_and_has_not_committed(
    engine: AsyncEngine,
) -> None:
    await own(engine)
    async with engine.connect() as claiming:
        await claiming.execute(INTENT)
        async with engine.begin() as connection:
            assert not await fleet.empty(connection, OURS, 70), "it is not deleted"
            assert await fleet.delete(connection, OURS)

        async def purge() -> bool:
            async with engine.begin() as connection:
                return await fleet.empty(connection, OURS, 70)

        purging = asyncio.create_task(purge())

        async def waits() -> bool:
            async with engine.connect() as connection:
                asked = text(
                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'mails'::regclass"
                )
                return bool(await connection.scalar(asked))

        await until(waits, "the purge waits for the claim")
        await claiming.commit()
        assert not await purging, "a mail is in flight"
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM mails")) == 1


async def test_a_purge_empties_our_tables_and_nobody_elses(engine: AsyncEngine) -> None:
    await own(engine)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE theirs AS SELECT 1 AS kept"))
        await fleet.delete(connection, OURS)
        assert await fleet.empty(connection, OURS, 70)
        assert await connection.scalar(text("SELECT count(*) FROM theirs")) == 1
        assert await fleet.read(connection) is None
        assert await fleet.empty(connection, OURS, 70), "again changes nothing"
