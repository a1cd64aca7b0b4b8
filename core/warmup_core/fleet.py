"""The fleet's row: who owns the database, what its workers obey, how many of them there are. All its writes stand here.

Written by the operator, or outside Kubernetes by worker 1; read by every worker's heartbeat. Each function is one transaction's
worth of statements; the caller holds the connection.

Invariants: one row, one owner; another fleet is refused by name and changes nothing. The epoch only rises, also when a fleet
is made again. A resize is compare-and-set on the epoch, so two writers can never both win. A changed time zone takes effect at
the later of the two next midnights, so no day is ever counted twice.
Fails: ``DatabaseInUse`` names the owner; a lost compare-and-set returns False and the caller observes again.
"""

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.settings import FleetSettings


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
    at: datetime


class DatabaseInUse(Exception):
    """The database belongs to another fleet."""

    def __init__(self, holder: Owner) -> None:
        self.holder = holder
        super().__init__(
            f"The database belongs to the fleet {holder}. Give this fleet a database of its own; nothing was changed."
        )


_READ = """
    SELECT owner_cluster, owner_namespace, owner_name, owner_uid, generation, token, epoch, worker_count, settings,
           settings_version, paused, deleted, fleet_zone() AS zone,
           CASE WHEN next_time_zone_at > clock_timestamp() THEN next_time_zone END AS coming_zone, clock_timestamp() AS at
    FROM fleet
"""


async def read(connection: AsyncConnection) -> FleetRow | None:
    """The fleet's row, or None while nobody owns the database."""
    row = (await connection.execute(text(_READ))).first()
    if row is None:
        return None
    return FleetRow(
        owner=Owner(row.owner_cluster, row.owner_namespace, row.owner_name, row.owner_uid),
        generation=row.generation,
        token=row.token,
        epoch=row.epoch,
        worker_count=row.worker_count,
        settings=FleetSettings.model_validate(row.settings),
        settings_version=row.settings_version,
        paused=row.paused,
        deleted=row.deleted,
        time_zone=row.zone,
        next_time_zone=row.coming_zone,
        at=row.at,
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
) -> FleetRow:
    """Make the row this fleet's and write what its workers obey; idempotent, and writes nothing when nothing changed.

    ``token``: a random word used only when the row is made; it makes Message-IDs unique over fleets. Raises DatabaseInUse.
    An older generation than the row's is an old view of the object and changes nothing.
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
        if not owner.succeeds(row.owner):
            raise DatabaseInUse(row.owner)
        await connection.execute(
            text(
                "UPDATE fleet SET owner_uid = :uid, generation = :generation, deleted = false, epoch = epoch + 1"
                " WHERE owner_uid = :before"
            ),
            {"uid": owner.uid, "generation": generation, "before": row.owner.uid},
        )
    elif generation < row.generation:
        return row
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


async def flip(connection: AsyncConnection, *, epoch: int, target: int) -> bool:
    """Make ``target`` the count of workers, if the epoch is still ``epoch`` and, when growing, rows 1..target are live.

    False: somebody was faster or a worker is not live any more; observe again.
    """
    done = await connection.execute(
        text(
            "UPDATE fleet SET epoch = epoch + 1, worker_count = :target WHERE epoch = :epoch AND worker_count <> :target"
            " AND NOT deleted AND (:target < worker_count OR :target = (SELECT count(*) FROM workers"
            "   WHERE number <= :target AND lease_until > clock_timestamp()))"
        ),
        {"epoch": epoch, "target": target},
    )
    return bool(done.rowcount)


async def live_workers(connection: AsyncConnection) -> frozenset[int]:
    """The numbers whose lease runs, by the database's clock."""
    rows = await connection.execute(text("SELECT number FROM workers WHERE lease_until > clock_timestamp()"))
    return frozenset(row.number for row in rows)


async def delete(connection: AsyncConnection, owner: Owner) -> bool:
    """End the fleet: no claim any more, the ledger stays. False when the row is not this fleet's."""
    done = await connection.execute(
        text(
            "UPDATE fleet SET deleted = true, epoch = epoch + 1, worker_count = 0 WHERE owner_uid = :uid AND NOT deleted"
        ),
        {"uid": owner.uid},
    )
    return bool(done.rowcount)
