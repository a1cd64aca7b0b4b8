"""The fleet's row: who owns the database, what its workers obey, how many of them there are. All its writes stand here.

Written by the operator, or outside Kubernetes by worker 1; read by every worker's heartbeat. Each function is one transaction's
worth of statements; the caller holds the connection.

Invariants: one row, one owner; another fleet is refused by name and changes nothing. The epoch only rises, also when a fleet
is made again. A resize is compare-and-set on the epoch, so two writers can never both win. What is remembered of a growth stands
here and nowhere else. A changed time zone takes effect at the later of the two next midnights, so no day is ever counted twice.
Fails: ``DatabaseInUse`` names the owner; a lost compare-and-set returns False and the caller observes again.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.settings import FleetSettings
from warmup_core.tables import metadata
from warmup_core.types import GROUP, Growth


@dataclass(frozen=True)
class Owner:
    """A fleet's identity: the cluster (uid of its kube-system namespace, or ``processes``), namespace, name and uid."""

    cluster: str
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} (uid {self.uid}, cluster {self.cluster})"

    def succeeds(self, other: "Owner") -> bool:
        """Whether this is the same fleet made again: same cluster, namespace and name."""
        return (self.cluster, self.namespace, self.name) == (other.cluster, other.namespace, other.name)


PROCESSES = Owner(cluster="processes", namespace="-", name="fleet", uid="-")
"""The owner of a fleet that runs without Kubernetes."""


@dataclass(frozen=True)
class FleetRow:
    """The row as it stands. ``at`` is the database's clock when it was read, ``time_zone`` the one in effect then."""

    owner: Owner
    generation: int
    token: str
    epoch: int
    worker_count: int
    settings: FleetSettings
    settings_version: int
    paused: bool
    deleted: bool
    time_zone: str
    next_time_zone: str | None
    growth: Growth
    at: datetime
    resized_at: datetime | None


ADOPT = f"{GROUP}/adopt"
"""Annotation of a fleet that takes a database over: the uid of the fleet that held it."""


class DatabaseInUse(Exception):
    """The database belongs to another fleet."""

    def __init__(self, holder: Owner) -> None:
        self.holder = holder
        super().__init__(
            f"The database belongs to the fleet {holder}. Give this fleet a database of its own; nothing was changed."
            f" Only if that fleet is gone for good, take its database over: annotate this one with {ADOPT}={holder.uid}."
        )


class SettingsUnreadable(Exception):
    """The row's settings are none that this release knows."""

    def __init__(self, error: ValidationError) -> None:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        super().__init__(
            f"This release cannot read the fleet's settings ({faults}): it needs the release that wrote them."
        )


_READ = """
    SELECT owner_cluster, owner_namespace, owner_name, owner_uid, generation, token, epoch, worker_count, settings,
           settings_version, paused, deleted, fleet_zone() AS zone,
           growing_since, failed_target, retry_after, failed_attempts, failed_reason,
           CASE WHEN next_time_zone_at > clock_timestamp() THEN next_time_zone END AS coming_zone, clock_timestamp() AS at,
           resized_at
    FROM fleet
"""


async def read(connection: AsyncConnection) -> FleetRow | None:
    """The fleet's row, or None while nobody owns the database. Raises SettingsUnreadable."""
    row = (await connection.execute(text(_READ))).first()
    if row is None:
        return None
    try:
        settings = FleetSettings.model_validate(row.settings)
    except ValidationError as error:
        raise SettingsUnreadable(error) from None
    return FleetRow(
        owner=Owner(row.owner_cluster, row.owner_namespace, row.owner_name, row.owner_uid),
        generation=row.generation,
        token=row.token,
        epoch=row.epoch,
        worker_count=row.worker_count,
        settings=settings,
        settings_version=row.settings_version,
        paused=row.paused,
        deleted=row.deleted,
        time_zone=row.zone,
        next_time_zone=row.coming_zone,
        growth=Growth(
            row.growing_since, row.failed_target, row.retry_after, row.failed_attempts, row.failed_reason
        ),
        at=row.at,
        resized_at=row.resized_at,
    )


async def own(
    connection: AsyncConnection,
    owner: Owner,
    *,
    generation: int,
    token: str,
    settings: FleetSettings,
    time_zone: str,
    paused: bool,
    adopt: str | None = None,
) -> FleetRow:
    """Make the row this fleet's and write what its workers obey; idempotent, and writes nothing when nothing changed.

    ``token``: a random word used only when the row is made; it makes Message-IDs unique over fleets.
    ``adopt``: the uid of a fleet whose row this one takes over, under a higher epoch. An older generation than the row's is
    an old view of the object and changes nothing. A newer one forgets a growth that failed: whoever changes the spec may have
    mended the cause. A row that was marked deleted goes on under a higher epoch. Raises DatabaseInUse, SettingsUnreadable.
    """
    document = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    await connection.execute(
        text(
            "INSERT INTO fleet (owner_cluster, owner_namespace, owner_name, owner_uid, generation, token, settings,"
            " time_zone, paused) VALUES (:cluster, :namespace, :name, :uid, :generation, :token,"
            " CAST(:settings AS jsonb), :zone, :paused) ON CONFLICT (id) DO NOTHING"
        ),
        {
            "cluster": owner.cluster,
            "namespace": owner.namespace,
            "name": owner.name,
            "uid": owner.uid,
            "generation": generation,
            "token": token,
            "settings": document,
            "zone": time_zone,
            "paused": paused,
        },
    )
    row = await read(connection)
    assert row is not None
    if row.owner != owner:
        if not owner.succeeds(row.owner) and adopt != row.owner.uid:
            raise DatabaseInUse(row.owner)
        await connection.execute(
            text(
                "UPDATE fleet SET owner_cluster = :cluster, owner_namespace = :namespace, owner_name = :name,"
                " owner_uid = :uid, generation = :generation, deleted = false, epoch = epoch + 1"
                " WHERE owner_uid = :before"
            ),
            {**asdict(owner), "generation": generation, "before": row.owner.uid},
        )
    elif generation < row.generation:
        return row
    elif row.deleted:  # its end was read from an old view of the cluster: the fleet is there
        await connection.execute(
            text("UPDATE fleet SET deleted = false, epoch = epoch + 1 WHERE owner_uid = :uid AND deleted"),
            {"uid": owner.uid},
        )
    if generation != row.generation or row.owner != owner:
        await _forget_growth(connection)
    await connection.execute(
        text(
            "UPDATE fleet SET settings = CAST(:settings AS jsonb), paused = :paused, generation = :generation,"
            " settings_version = settings_version + CASE WHEN settings = CAST(:settings AS jsonb) THEN 0 ELSE 1 END"
            " WHERE owner_uid = :uid AND generation <= :generation"  # again: another may have written since the reading
            " AND (settings <> CAST(:settings AS jsonb) OR paused <> :paused OR generation <> :generation)"
        ),
        {"settings": document, "paused": paused, "generation": generation, "uid": owner.uid},
    )
    if (row.next_time_zone or row.time_zone) != time_zone:
        await _change_zone(connection, time_zone)
    changed = await read(connection)
    assert changed is not None
    return changed


async def _forget_growth(connection: AsyncConnection) -> None:
    await connection.execute(
        text(
            "UPDATE fleet SET growing_since = NULL, failed_target = NULL, retry_after = NULL, failed_attempts = 0,"
            " failed_reason = ''"
        )
    )


async def _change_zone(connection: AsyncConnection, time_zone: str) -> None:
    """Note the new zone; it takes effect at the later of the next midnights in the old zone and in the new."""
    await connection.execute(
        text(
            "UPDATE fleet SET time_zone = fleet_zone(), settings_version = settings_version + 1,"
            " next_time_zone = :zone, next_time_zone_at = greatest("
            "  (date_trunc('day', clock_timestamp() AT TIME ZONE fleet_zone()) + interval '1 day')"
            "   AT TIME ZONE fleet_zone(),"
            "  (date_trunc('day', clock_timestamp() AT TIME ZONE :zone) + interval '1 day') AT TIME ZONE :zone)"
        ),
        {"zone": time_zone},
    )


async def flip(
    connection: AsyncConnection,
    *,
    epoch: int,
    target: int,
    growth: Growth | None = None,
    all_live: bool = True,
) -> bool:
    """Make ``target`` the count of workers, if the epoch is still ``epoch`` and, when growing, rows 1..target are live.

    ``growth``: what the row remembers from now on, by default nothing. ``all_live`` False grows without asking who is live,
    for a fleet whose mailboxes nobody owns yet.
    False: somebody was faster or a worker is not live any more; observe again.
    """
    done = await connection.execute(
        text(
            "UPDATE fleet SET epoch = epoch + 1, worker_count = :target, resized_at = clock_timestamp(),"
            " growing_since = CAST(:since AS timestamptz),"
            " failed_target = CAST(:failed_target AS integer), retry_after = CAST(:retry_after AS timestamptz),"
            " failed_attempts = :attempts, failed_reason = :reason"
            " WHERE epoch = :epoch AND worker_count <> :target"
            " AND NOT deleted AND (:target < worker_count OR NOT :all_live OR :target = (SELECT count(*) FROM workers"
            "   WHERE number <= :target AND lease_until > clock_timestamp()))"
        ),
        {"epoch": epoch, "target": target, "all_live": all_live, **asdict(growth or Growth())},
    )
    return bool(done.rowcount)


async def remember(connection: AsyncConnection, *, epoch: int, before: Growth, growth: Growth) -> bool:
    """Write how a growth stands, if the epoch is still ``epoch`` and nobody wrote it since it was read as ``before``."""
    done = await connection.execute(
        text(
            "UPDATE fleet SET growing_since = CAST(:since AS timestamptz),"
            " failed_target = CAST(:failed_target AS integer), retry_after = CAST(:retry_after AS timestamptz),"
            " failed_attempts = :attempts, failed_reason = :reason WHERE epoch = :epoch AND NOT deleted"
            " AND growing_since IS NOT DISTINCT FROM CAST(:since_before AS timestamptz) AND failed_attempts = :attempts_before"
        ),
        {
            "epoch": epoch,
            "since_before": before.since,
            "attempts_before": before.attempts,
            **asdict(growth),
        },
    )
    return bool(done.rowcount)


async def renew(connection: AsyncConnection, token: str) -> FleetRow | None:
    """Let the fleet go on under a new token and a higher epoch: what was given under the old ones is not given again."""
    await connection.execute(text("UPDATE fleet SET token = :token, epoch = epoch + 1"), {"token": token})
    return await read(connection)


async def live_workers(connection: AsyncConnection) -> frozenset[int]:
    """The numbers whose lease runs, by the database's clock."""
    rows = await connection.execute(text("SELECT number FROM workers WHERE lease_until > clock_timestamp()"))
    return frozenset(row.number for row in rows)


async def unowned(connection: AsyncConnection) -> int:
    """Active mailboxes without a live owner: the worker that the count gives them is not live, or the count is 0."""
    found = await connection.scalar(
        text(
            "SELECT count(*) FROM mailboxes m CROSS JOIN fleet f WHERE m.active AND NOT EXISTS (SELECT FROM workers w"
            " WHERE w.number = m.id % nullif(f.worker_count, 0) + 1 AND w.lease_until > (SELECT clock_timestamp()))"
        )
    )
    return int(found or 0)


async def delete(connection: AsyncConnection, owner: Owner) -> bool:
    """End the fleet: no claim any more, the ledger stays. False when the row is not this fleet's."""
    done = await connection.execute(
        text(
            "UPDATE fleet SET deleted = true, epoch = epoch + 1, worker_count = 0 WHERE owner_uid = :uid AND NOT deleted"
        ),
        {"uid": owner.uid},
    )
    return bool(done.rowcount)


async def empty(connection: AsyncConnection, owner: Owner, sweep_seconds: float) -> bool:
    """Empty a deleted fleet's tables; the schema stays. False while mail may still be in flight, or the fleet is not deleted.

    An intent older than ``sweep_seconds`` cannot be sent any more. True also where there is no row of this fleet: then there
    is nothing of it to empty. Tables that are not ours are left alone.
    """
    deleted = await connection.scalar(
        text("SELECT deleted FROM fleet WHERE owner_uid = :uid FOR UPDATE"), {"uid": owner.uid}
    )
    if deleted is None:
        return True
    if not deleted:
        return False
    # A claim that began before the fleet was deleted may not have committed yet: its intent is waited for.
    await connection.execute(text("LOCK TABLE mails IN SHARE MODE"))
    young = await connection.scalar(
        text(
            "SELECT EXISTS (SELECT FROM mails WHERE state = 'intent'"
            " AND claimed_at > clock_timestamp() - make_interval(secs => :seconds))"
        ),
        {"seconds": sweep_seconds},
    )
    if young:
        return False
    await connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
    return True
