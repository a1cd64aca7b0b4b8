"""A database whose certificate is a private authority's: the Secret's ca.crt brings it to the operator and to running workers."""

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.kubelet import Kubelet
from tests.integration.fleet.scene import Scene
from tests.integration.worker.fleet import KEY_LINE
from tests.postgres.pgbouncer import PgBouncer
from tests.postgres.server import Postgres
from tests.submission.authority import Authority
from tests.waiting import until
from warmup_core import fleet

BEFORE, AFTER = Authority("before"), Authority("after")


@pytest.fixture
def secured(postgres: Postgres) -> Iterator[PgBouncer]:
    """The only way to the database for the fleet, by TLS alone."""
    with PgBouncer(postgres, identity=BEFORE.issue("localhost")) as running:
        yield running


async def test_it_comes_and_is_rotated_without_a_restart(
    scene: Scene, engine: AsyncEngine, kubelet: Kubelet, secured: PgBouncer
) -> None:
    async def live() -> bool:
        async with engine.connect() as connection:
            return 1 in await fleet.live_workers(connection)

    url = make_url(secured.url(scene.url)).set(host="localhost", query={"sslmode": "verify-full"})
    scene.create_secret("main-database", url=url.render_as_string(hide_password=False))
    scene.create_secret("main-keys", keys=KEY_LINE)
    scene.create_fleet()
    await scene.start_operator()
    condition = await scene.reason("DatabaseCertificateRefused", "DatabaseReachable")
    assert "the key ca.crt beside the URL in its Secret" in condition["message"]

    scene.change_secret("main-database", **{"ca.crt": "nonsense"})
    condition = await scene.reason("DatabaseUrlInvalid", "DatabaseReachable")
    assert "ca.crt holds no certificate" in condition["message"]

    scene.change_secret("main-database", **{"ca.crt": BEFORE.pem.decode()})
    await scene.reason("NoMailboxes")
    await scene.counted(engine, 1)
    pod = kubelet.process_of("main-1")

    secured.change(AFTER.issue("localhost"))
    await scene.reason("DatabaseCertificateRefused", "DatabaseReachable")

    async def cut_off() -> bool:
        return not await live()

    await until(cut_off, "the worker is cut off")
    scene.change_secret("main-database", **{"ca.crt": (BEFORE.pem + AFTER.pem).decode()})
    await scene.reason("NoMailboxes")
    await until(live, "the worker is back")
    assert kubelet.process_of("main-1") == pod
