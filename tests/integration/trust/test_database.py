"""Whom we take for our PostgreSQL, at a real one behind a PgBouncer that insists on TLS, with a home that is not there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import warmup
from tests.postgres.pgbouncer import PgBouncer
from tests.postgres.server import Postgres
from tests.submission.authority import Authority, Identity
from warmup_core import database
from warmup_core.types import Refused
from warmup_worker.connection import Database
from warmup_worker.settings import read_settings

OURS, OTHERS = Authority("ours"), Authority("another's")
KEYS = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
SECRET = "hidden-in-the-url"


@pytest.fixture
def server(postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PgBouncer]:
    """The server as ``localhost``; we are as in the image: no home, and authorities of the system that are none of these."""
    monkeypatch.setenv("HOME", "/nonexistent")
    system = tmp_path / "system.pem"
    system.write_bytes(Authority("the system's").pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")
    with PgBouncer(postgres, identity=OURS.issue("localhost")) as running:
        yield running


def url(server: PgBouncer, parameters: str, host: str = "localhost") -> str:
    return f"postgresql://postgres:{SECRET}@{host}:{server.port}/postgres?{parameters}"


async def connect(text: str, authorities: str | None = None) -> None:
    """Connect, by TLS, for the server insists. Raises Unreachable as every user of an engine does."""
    it = database.parse_url(text, authorities)
    engine = database.create_engine(it, pool_size=1, statement_seconds=300, connect_seconds=300)
    try:
        async with engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")
    except database.FAULTS as error:
        raise database.explain(error, it) from error
    finally:
        await engine.dispose()


async def refused(text: str, authorities: str | None = None) -> str:
    with pytest.raises(database.Unreachable) as found:
        await connect(text, authorities)
    assert found.value.reason == "DatabaseCertificateRefused"
    assert SECRET not in str(found.value)
    return str(found.value)


def in_file(directory: Path, authority: Authority) -> Path:
    file = directory / "ca.crt"
    # A bundle often says in its own language whose certificates it holds.
    file.write_bytes("# Behörde\n".encode() + authority.pem)
    return file


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_the_systems_authorities_are_asked_where_the_url_names_none(
    server: PgBouncer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str
) -> None:
    for parameters in (f"sslmode={mode}", f"sslmode={mode}&sslrootcert=system"):
        said = await refused(url(server, parameters))
        assert "Only the system's authorities are trusted" in said
        assert "ca.crt beside the URL in its Secret" in said
    monkeypatch.setenv("SSL_CERT_FILE", str(in_file(tmp_path, OURS)))
    for parameters in (f"sslmode={mode}", f"sslmode={mode}&sslrootcert=system"):
        await connect(url(server, parameters))


async def test_system_alone_means_verify_full_as_with_libpq(
    server: PgBouncer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(in_file(tmp_path, OURS)))
    await connect(url(server, "sslrootcert=system"))
    assert "mismatch" in await refused(url(server, "sslrootcert=system", "127.0.0.1"))


@pytest.mark.parametrize("way", ["in a file", "beside the URL"])
async def test_a_private_authority_vouches_for_its_own_and_for_nobody_else(
    server: PgBouncer, tmp_path: Path, way: str
) -> None:
    def given(authority: Authority, mode: str, host: str = "localhost") -> tuple[str, str | None]:
        file = in_file(tmp_path, authority)
        if way == "in a file":
            return url(server, f"sslmode={mode}&sslrootcert={file}", host), None
        return url(server, f"sslmode={mode}", host), file.read_text()

    for mode in ("verify-ca", "verify-full"):
        await connect(*given(OURS, mode))
        said = await refused(*given(OTHERS, mode))
        where = str(tmp_path / "ca.crt") if way == "in a file" else "ca.crt beside the URL"
        assert f"Only the authorities in {where} are trusted: put the one that signed it there." in said
        assert "BEGIN" not in said
    await connect(*given(OURS, "verify-ca", "127.0.0.1"))
    said = await refused(*given(OURS, "verify-full", "127.0.0.1"))
    assert "mismatch" in said
    assert "Put a name into the URL that the certificate has" in said


async def test_what_does_not_ask_to_verify_goes_on_as_before(server: PgBouncer) -> None:
    wrong = OTHERS.pem.decode()
    with pytest.raises(database.Unreachable) as plain:
        await connect(url(server, "sslmode=disable"), wrong)
    assert plain.value.reason != "DatabaseCertificateRefused"
    for parameters in ("", "sslmode=prefer", "sslmode=require"):
        await connect(url(server, parameters, "127.0.0.1"), wrong)


@pytest.mark.parametrize(
    ("identity", "works"),
    [(OURS.issue("localhost", strict=False), True), (OURS.issue("localhost", expired=True), False)],
    ids=["from an authority that leaves out what libpq does not ask for", "expired"],
)
async def test_a_certificate_is_judged_as_libpq_judges_it(
    server: PgBouncer, identity: Identity, works: bool
) -> None:
    server.change(identity)
    if works:
        await connect(url(server, "sslmode=verify-full"), OURS.pem.decode())
    else:
        assert "expired" in await refused(url(server, "sslmode=verify-full"), OURS.pem.decode())


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nnonsense\n"])
def test_what_is_no_certificate_is_refused_before_anybody_connects(
    server: PgBouncer, tmp_path: Path, content: str
) -> None:
    asks = url(server, "sslmode=verify-full")
    with pytest.raises(Refused, match=r"ca\.crt"):
        database.parse_url(asks, content)
    file = tmp_path / "ca.crt"
    file.write_text(content)
    with pytest.raises(Refused) as found:
        read_settings(
            {
                "WARMUP_WORKER_ID": "1",
                "WARMUP_ENCRYPTION_KEYS": KEYS,
                "DATABASE_URL": asks,
                "DATABASE_CA_FILE": str(file),
            }
        )
    [fault] = found.value.faults
    assert fault.startswith("DATABASE_CA_FILE: ")
    assert SECRET not in str(found.value)


async def test_a_worker_hears_of_authorities_that_come_and_change(server: PgBouncer, tmp_path: Path) -> None:
    """As a Secret's key that is not there yet, then is, then holds both authorities while the server's is exchanged."""
    file = tmp_path / "mounted" / "ca.crt"
    settings = read_settings(
        {
            "WARMUP_WORKER_ID": "1",
            "WARMUP_ENCRYPTION_KEYS": KEYS,
            "DATABASE_URL": url(server, "sslmode=verify-full"),
            "DATABASE_CA_FILE": str(file),
        }
    )
    worker = Database(settings.current_url, 300)

    async def asks() -> None:
        async with worker.transaction() as connection:
            await connection.exec_driver_sql("SELECT 1")

    try:
        with pytest.raises(database.Unreachable, match="Only the system's authorities are trusted"):
            await asks()
        file.parent.mkdir()
        in_file(file.parent, OTHERS)
        with pytest.raises(database.Unreachable, match=r"Only the authorities in ca\.crt beside the URL"):
            await asks()
        in_file(file.parent, OURS)
        await asks()
        file.write_bytes(OURS.pem + OTHERS.pem)
        server.change(OTHERS.issue("localhost"))
        await worker.close()  # its connections, not itself
        await asks()
    finally:
        await worker.close()


async def test_a_command_takes_the_same_file(server: PgBouncer, tmp_path: Path) -> None:
    asks = url(server, "sslmode=verify-full")
    done = await warmup("database", "status", url=asks)
    assert done.code == 1
    assert "Only the system's authorities are trusted" in done.err
    assert SECRET not in done.err
    environ = {"DATABASE_CA_FILE": str(in_file(tmp_path, OURS))}
    done = await warmup("database", "status", url=asks, environ=environ)
    assert "certificate" not in done.out + done.err


@pytest.mark.parametrize("parameter", ["channel_binding", "connect_timeout", "sslcert", "password"])
def test_a_parameter_that_the_driver_would_stumble_over_is_named(parameter: str) -> None:
    with pytest.raises(Refused) as found:
        database.parse_url(f"postgresql://u@db.example/fleet?sslmode=require&{parameter}={SECRET}")
    assert parameter in str(found.value)
    assert SECRET not in str(found.value)
