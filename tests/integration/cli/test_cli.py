"""The command as a person runs it: a process, its exit code, what it says, and what stands in the database afterwards."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.command import warmup
from tests.postgres.server import Postgres
from warmup_cli.connection import Source, transaction
from warmup_core import fleet
from warmup_core.credentials import parse_keys
from warmup_core.schema import REVISIONS
from warmup_core.settings import FleetSettings

NEWEST = REVISIONS[-1]
ROWS = "email,user,smtp_host,password\n" + "".join(
    f"m{n}@d{n % 4}.example,u{n % 20},mail.example,s3cret{n}\n" for n in range(500)
)


async def count(url: str, table: str = "mailboxes") -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
    finally:
        await connection.close()


async def test_import_list_and_show(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "mailboxes.csv"
    file.write_text(ROWS + "info@müller-tee.example,tea,mail.example,s3cret\n", encoding="utf-8")
    done = await warmup("mailboxes", "import", str(file), url=database_url)
    assert (done.code, done.out, done.err) == (0, "501 added, 0 changed, 0 untouched.\n", "")
    listed = await warmup("mailboxes", "list", url=database_url)
    assert listed.out.splitlines()[0].split() == ["ID", "ADDRESS", "USER", "HOST", "TODAY", "STATE"]
    assert "info@müller-tee.example" in listed.out
    assert len(listed.out.splitlines()) == 502
    shown = await warmup("mailboxes", "show", "INFO@MÜLLER-TEE.example", url=database_url)
    assert "info@müller-tee.example (info@xn--mller-tee-q9a.example on the wire)" in shown.out
    assert "stored under key k1" in shown.out
    absent = await warmup("mailboxes", "show", "nobody@tea.example", url=database_url)
    assert (absent.code, absent.out) == (2, "")
    assert "nobody@tea.example is not enrolled" in absent.err


async def test_a_dry_run_counts_and_lists_and_writes_nothing(database_url: str) -> None:
    """field-042."""
    await warmup("mailboxes", "import", "-", url=database_url, stdin=ROWS)
    change = "email,quota,smtp_port,user,smtp_host,password\nm1@d1.example,30,2525,,,\nm2@d2.example,30,,,,\n"
    change += "new@müller-tee.example,30,,new,mail.example,s3cret\n"
    done = await warmup("mailboxes", "import", "-", "--dry-run", url=database_url, stdin=change)
    assert done.code == 0
    assert done.out.splitlines() == [
        "added     new@müller-tee.example",
        "changed   m1@d1.example (smtp_port)",
        "untouched m2@d2.example",
        "1 would be added, 1 would be changed, 1 untouched.",
    ]
    assert done.err == "Columns without meaning here, not read: quota\n"
    assert await count(database_url) == 500


async def test_a_file_with_faults_is_refused_whole_with_exit_code_2(database_url: str) -> None:
    bad = ROWS.replace("m7@d3.example", "m7 at d3.example").replace("m9@d1.example,u9", "m9@d1.example,")
    done = await warmup("mailboxes", "import", "-", url=database_url, stdin=bad)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("warmup: The file cannot be used; nothing was written.\n")
    assert "line 9, column 1 (email): 'm7 at d3.example' cannot be used" in done.err
    assert await count(database_url) == 0


async def test_another_encoding_is_refused_or_named(database_url: str) -> None:
    """field-041: nothing is written, and once the encoding is named all of it is."""
    data = (
        ROWS.replace("password\n", "password,display_name\n", 1)
        + "x@y.example,x,h.example,s3cret,A \u2013 B\n"
    ).encode("cp1252")
    refused = await warmup("mailboxes", "import", "-", url=database_url, stdin=data)
    assert refused.code == 2
    assert "line 502" in refused.err
    assert "--encoding windows-1252" in refused.err
    assert await count(database_url) == 0
    done = await warmup(
        "mailboxes", "import", "-", "--encoding", "windows-1252", url=database_url, stdin=data
    )
    assert (done.code, done.out) == (0, "501 added, 0 changed, 0 untouched.\n")


@pytest.mark.parametrize("missing", ["no-such-file.csv", "/"])
async def test_a_file_that_cannot_be_read_is_named(database_url: str, missing: str) -> None:
    done = await warmup("mailboxes", "import", missing, url=database_url)
    assert done.code == 2
    assert f"warmup: {missing} cannot be read: " in done.err


async def test_a_wrong_password_ends_the_command_at_once_with_one_sentence(
    postgres: Postgres, database_url: str
) -> None:
    """field-047."""
    await postgres.execute("DROP ROLE IF EXISTS locked_cli")
    await postgres.execute("CREATE ROLE locked_cli SUPERUSER LOGIN PASSWORD 'right'")
    name = urlsplit(database_url).path[1:]
    done = await warmup("mailboxes", "import", "-", url=postgres.url(name, "locked_cli", "wr0ng"), stdin=ROWS)
    assert (done.code, done.out) == (1, "")
    [line] = done.err.splitlines()
    assert "the password for user 'locked_cli' is wrong" in line
    assert line.endswith("Nothing was written.")
    assert "wr0ng" not in line
    assert await count(database_url) == 0
    mended = await warmup(
        "mailboxes", "import", "-", url=postgres.url(name, "locked_cli", "right"), stdin=ROWS
    )
    assert mended.out == "500 added, 0 changed, 0 untouched.\n"


async def test_a_schema_that_is_behind_is_named_and_upgraded(postgres: Postgres) -> None:
    """field-047."""
    url = postgres.url(await postgres.create_empty())
    done = await warmup("mailboxes", "import", "-", url=url, stdin=ROWS)
    assert done.code == 1
    [line] = done.err.splitlines()
    assert (
        f"The database is at schema none, this release needs {NEWEST}: run `warmup database upgrade` first."
        in line
    )
    status = await warmup("database", "status", url=url)
    assert status.code == 1
    assert status.out.startswith(
        f"schema     none (this release needs {NEWEST}: run `warmup database upgrade`)"
    )
    upgraded = await warmup("database", "upgrade", url=url)
    assert (upgraded.code, upgraded.out) == (0, f"The schema was at none and is at {NEWEST} now.\n")
    again = await warmup("database", "upgrade", url=url)
    assert again.out == f"The schema is at {NEWEST}; there is nothing to do.\n"
    assert (await warmup("mailboxes", "import", "-", url=url, stdin=ROWS)).code == 0
    status = await warmup("database", "status", url=url)
    assert status.out.splitlines() == [
        f"schema     {NEWEST} (up to date)",
        "fleet      none yet: nobody owns this database",
        "mailboxes  500 of 20 users",
    ]


async def test_the_status_says_whose_it_is_and_how_near_to_its_budget(
    database_url: str, engine: AsyncEngine
) -> None:
    settings = FleetSettings(max_connections=40)
    async with engine.begin() as connection:
        await fleet.own(
            connection,
            fleet.PROCESSES,
            generation=0,
            token="t",
            settings=settings,
            time_zone="UTC",
            paused=True,
        )
    async with engine.connect(), engine.connect() as connection:
        await connection.scalar(text("SELECT 1"))
        said = await warmup("database", "status", url=database_url)
    lines = said.out.splitlines()
    assert lines[1:3] == [f"fleet      {fleet.PROCESSES}, epoch 1, paused", "workers    0 live of 0"]
    assert lines[3] == "sessions   3 of 40 that the fleet may use"  # two of the test's and the command's own


@contextlib.asynccontextmanager
async def cut_after(url: str, marker: bytes) -> AsyncIterator[str]:
    """A way to the database that breaks when the client sends ``marker``; yields the URL through it."""
    target = urlsplit(url)
    writers: list[asyncio.StreamWriter] = []
    handlers: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        handlers.append(asyncio.create_task(serve(reader, writer)))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(target.hostname, target.port)
        writers.append(up_writer)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, stop: bytes | None) -> None:
            before = b""
            while data := await source.read(65536):
                if stop and stop in before + data:  # the network may have cut it in two
                    break
                before = data[-len(stop) :] if stop else b""
                sink.write(data)
                await sink.drain()

        tasks = [
            asyncio.create_task(copy(reader, up_writer, marker)),
            asyncio.create_task(copy(up_reader, writer, None)),
        ]
        handlers.extend(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, up_writer):
            each.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield url.replace(f":{target.port}/", f":{server.sockets[0].getsockname()[1]}/")
    finally:
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        for each in writers:
            each.transport.abort()


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        (b"INSERT INTO credentials", "Nothing was written."),
        (b"COMMIT", "run the same command again, nothing is done twice."),
    ],
)
async def test_a_connection_that_breaks_leaves_no_row_and_says_so(
    database_url: str, marker: bytes, says: str
) -> None:
    """field-047."""
    async with cut_after(database_url, marker) as url:
        done = await warmup("mailboxes", "import", "-", url=url, stdin=ROWS)
    assert (done.code, done.out) == (1, "")
    [line] = done.err.splitlines()
    assert line.endswith(says)
    assert await count(database_url) == 0
    mended = await warmup("mailboxes", "import", "-", url=database_url, stdin=ROWS)
    assert mended.out == "500 added, 0 changed, 0 untouched.\n"


async def test_a_workers_role_gets_what_it_needs_and_a_missing_one_is_named(postgres: Postgres) -> None:
    url = postgres.url(await postgres.create_empty())
    await postgres.execute("DROP ROLE IF EXISTS locked_worker_cli")
    absent = await warmup("database", "upgrade", "--worker-role", "locked_worker_cli", url=url)
    assert absent.code == 1
    assert "There is no role 'locked_worker_cli'" in absent.err
    await postgres.execute("CREATE ROLE locked_worker_cli LOGIN")
    done = await warmup("database", "upgrade", "--worker-role", "locked_worker_cli", url=url)
    assert done.out.splitlines()[-1] == "The role locked_worker_cli has what a worker needs."
    assert (
        await count(
            url,
            "pg_class WHERE relname = 'mails' AND has_table_privilege('locked_worker_cli', oid, 'INSERT')",
        )
        == 1
    )


async def test_a_role_with_a_workers_timeouts_may_take_its_time(postgres: Postgres) -> None:
    """Where one role serves for all: neither a migration nor an import is ended because it waits or thinks."""
    name = await postgres.create_empty()
    await postgres.execute(f"CREATE ROLE one_{name} LOGIN")
    await postgres.execute(f"ALTER DATABASE {name} OWNER TO one_{name}")
    await postgres.execute(f"ALTER ROLE one_{name} SET idle_in_transaction_session_timeout = '5s'")
    await postgres.execute(f"ALTER ROLE one_{name} SET lock_timeout = '2s'")
    bounded = "current_setting('idle_in_transaction_session_timeout') <> '0' OR current_setting('lock_timeout') = '2s'"
    await postgres.execute(
        "CREATE FUNCTION hurried() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {bounded} THEN RAISE 'hurried'; END IF; END $$",
        name,
    )
    await postgres.execute(
        "CREATE EVENT TRIGGER hurried ON ddl_command_start WHEN TAG IN ('CREATE VIEW')"
        " EXECUTE FUNCTION hurried()",
        name,
    )
    url = postgres.url(name, f"one_{name}")
    made = await warmup("database", "upgrade", url=url)
    assert made.code == 0, made.err
    async with transaction(Source(None, {"DATABASE_URL": url})) as connection:
        assert not await connection.scalar(text(f"SELECT {bounded}"))


async def test_keys_and_urls_may_stand_in_files(database_url: str, tmp_path: Path) -> None:
    made = await warmup("keys", "new", "--id", "2026")
    assert parse_keys(made.out).ids == ["2026"]
    (tmp_path / "keys").write_text(made.out)
    (tmp_path / "url").write_text(database_url + "\n")
    environ = {
        "WARMUP_ENCRYPTION_KEYS": "",
        "WARMUP_ENCRYPTION_KEYS_FILE": str(tmp_path / "keys"),
        "DATABASE_URL_FILE": str(tmp_path / "url"),
    }
    done = await warmup("mailboxes", "import", "-", stdin=ROWS, environ=environ)
    assert done.out == "500 added, 0 changed, 0 untouched.\n"
    gone = await warmup("mailboxes", "list", environ=environ | {"DATABASE_URL_FILE": str(tmp_path / "gone")})
    assert (gone.code, gone.err) == (
        1,
        f"warmup: DATABASE_URL_FILE: {tmp_path}/gone cannot be read: No such file or directory.\n",
    )


async def test_what_is_not_given_is_asked_for(database_url: str) -> None:
    nothing = await warmup("mailboxes", "list")
    assert (nothing.code, nothing.err.count("\n")) == (2, 1)
    assert "Neither DATABASE_URL nor DATABASE_URL_FILE is set" in nothing.err
    keys = await warmup(
        "mailboxes", "import", "-", url=database_url, stdin=ROWS, environ={"WARMUP_ENCRYPTION_KEYS": "k1"}
    )
    assert keys.code == 2
    assert "line 1: not ID:BASE64" in keys.err
    named = await warmup("--fleet", "mail", "mailboxes", "list")
    assert (named.code, named.err) == (2, "warmup: --fleet mail: write NAMESPACE/NAME, such as mail/main.\n")
    nowhere = await warmup("--fleet", "mail/main", "mailboxes", "list")
    assert nowhere.code == 1
    assert "no cluster is configured here" in nowhere.err


async def test_an_unreachable_database_is_named_without_its_password() -> None:
    url = "postgresql://owner:s3cret@127.0.0.1:1/warmup"
    done = await warmup("mailboxes", "list", url=url)
    assert done.code == 1
    assert "127.0.0.1:1/warmup" in done.err
    assert done.err.count("\n") == 1


async def test_a_worker_where_its_packages_are_not_is_told_so(tmp_path: Path) -> None:
    """The operator's image: a package found first that lacks what the worker needs stands for the missing one."""
    (tmp_path / "uvloop.py").write_text("raise ModuleNotFoundError(name='uvloop')")
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError(name='aiohttp')")
    done = await warmup("worker", environ={"PYTHONPATH": str(tmp_path)})
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "The worker's packages are not here" in done.err
    assert "worker's image" in done.err
    done = await warmup("mailboxes", "verify", "--all", environ={"PYTHONPATH": str(tmp_path)})
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "kubectl exec -n NAMESPACE FLEET-1 -- warmup mailboxes verify" in done.err
