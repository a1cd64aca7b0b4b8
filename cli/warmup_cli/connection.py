"""Which database and which keys a command works with, and a transaction on that database whose errors are sentences.

They come from the environment, or with ``--fleet`` from the Secrets that the WarmupFleet names (the owner's URL where there is
one).
Fails: ``Refused`` for wrong input (exit code 2), ``Unavailable`` or ``Unreachable`` for what may be better later (1). Nothing is
half done: a transaction that fails is rolled back, and where the reply to COMMIT is lost the message says so.
"""

import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from warmup_core import database, database_tls, fleet, schema
from warmup_core.credentials import Keys, parse_keys
from warmup_core.database import Unreachable
from warmup_core.oauth import Application, parse_applications
from warmup_core.spec import WarmupFleetSpec
from warmup_core.types import Refused

if TYPE_CHECKING:
    from warmup_operator.inputs import Inputs
    from warmup_operator.kube import Kube

T = TypeVar("T")
Json = dict[str, Any]

_STATEMENT_SECONDS = 120.0
_FLEET = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")


class Unavailable(Exception):
    """What is needed is not there: the message says what, where, and what to do."""


@dataclass(frozen=True)
class Source:
    """Where to look: the fleet of ``--fleet``, or the environment."""

    fleet: str | None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    async def url(self) -> URL:
        """The database, by its owner's URL where there is one."""
        if self.fleet is None:
            url = self._given("DATABASE_URL", database.parse_url)
            authorities = self.environ.get("DATABASE_CA_FILE")
            return database_tls.with_authorities_of(url, authorities) if authorities else url
        inputs = await self._inputs()
        if inputs.access is None:
            raise Unavailable("\n".join(problem.message for problem in inputs.problems if problem.database))
        return inputs.access.owner_url

    async def keys(self) -> Keys:
        """The encryption keys."""
        if self.fleet is None:
            return self._given("WARMUP_ENCRYPTION_KEYS", parse_keys)
        inputs = await self._inputs()
        if inputs.keys is None:
            raise Unavailable(
                "\n".join(problem.message for problem in inputs.problems if not problem.database)
            )
        return inputs.keys

    async def applications(self) -> Mapping[str, Application]:
        """The OAuth applications by name; none where none are given."""
        if self.fleet is not None:
            return (await self._all_inputs()).applications
        text = self._file("WARMUP_OAUTH_APPLICATIONS_FILE")
        return parse_applications(text) if text is not None else {}

    async def authorities(self) -> str | None:
        """The fleet's own certificate authorities, as PEM."""
        if self.fleet is not None:
            return (await self._all_inputs()).authorities
        return self._file("WARMUP_SMTP_CA_FILE")

    async def _all_inputs(self) -> "Inputs":
        """What the manifest refers to, none of it missing or wrong."""
        inputs = await self._inputs()
        if inputs.problems:
            raise Unavailable("\n".join(problem.message for problem in inputs.problems))
        return inputs

    def _file(self, name: str) -> str | None:
        """The text of the file that a variable names; None where it is not set."""
        path = self.environ.get(name)
        if not path:
            return None
        try:
            return Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise Unavailable(f"{name}: {path} cannot be read: {error.strerror}.") from None

    def _given(self, name: str, parse: Callable[[str], T]) -> T:
        plain, path = self.environ.get(name), self.environ.get(f"{name}_FILE")
        if plain and path:
            raise Refused(f"Both {name} and {name}_FILE are set; give one of them.")
        if not plain and not path:
            raise Refused(f"Neither {name} nor {name}_FILE is set; set one, or give --fleet NAMESPACE/NAME.")
        return parse(plain or self._file(f"{name}_FILE") or "")

    @property
    def names_a_database(self) -> bool:
        """Whether there is a database to look at, by the fleet or by the environment."""
        return self.fleet is not None or any(
            self.environ.get(name) for name in ("DATABASE_URL", "DATABASE_URL_FILE")
        )

    async def manifest(self) -> Json:
        """The WarmupFleet of ``--fleet`` as the cluster has it."""
        async with self._in_cluster() as (_, found):
            return found

    async def _inputs(self) -> "Inputs":
        """What the fleet's manifest refers to."""
        async with self._in_cluster() as (cluster, found):
            from warmup_operator import inputs

            try:
                spec = WarmupFleetSpec.stored(found["spec"])
            except ValidationError as error:
                where = "; ".join(
                    f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
                )
                raise Unavailable(
                    f"WarmupFleet {self.fleet} cannot be read by this release: {where}"
                ) from None
            return await inputs.read(cluster, found["metadata"]["namespace"], spec)

    @asynccontextmanager
    async def _in_cluster(self) -> "AsyncIterator[tuple[Kube, Json]]":
        """The API of the cluster and the fleet in it, with the rights that kubectl or this pod has."""
        assert self.fleet is not None
        if not _FLEET.match(self.fleet):
            raise Refused(f"--fleet {self.fleet}: write NAMESPACE/NAME, such as mail/main.")
        try:
            from warmup_operator import kube
        except ModuleNotFoundError as error:
            raise Unavailable(
                f"--fleet needs the operator's packages, and {error.name} is not here. Run it in the operator's pod: "
                "kubectl exec -i -n NAMESPACE deploy/warmup-fleet -- warmup --fleet ..."
            ) from None
        namespace, name = self.fleet.split("/")
        try:
            async with kube.connect() as cluster:
                found = await cluster.get(kube.FLEET, namespace, name)
                if found is None:
                    raise Unavailable(
                        f"There is no WarmupFleet {name} in namespace {namespace}; kubectl get warmupfleets -A lists them."
                    )
                yield cluster, found
        except kube.KubernetesError as error:
            raise Unavailable(f"WarmupFleet {self.fleet}: {error}") from None
        except kube.NoCluster as error:
            raise Unavailable(f"--fleet: {error}") from None


@asynccontextmanager
async def engine_on(
    url: URL, statement_seconds: float | None = _STATEMENT_SECONDS
) -> AsyncIterator[AsyncEngine]:
    """An engine of one connection; whatever goes wrong with it is Unreachable."""
    engine = database.create_engine(url, pool_size=1, statement_seconds=statement_seconds)
    try:
        yield engine
    except (SQLAlchemyError, *database.FAULTS) as error:
        raise database.explain(error, url) from None
    finally:
        await engine.dispose()


@asynccontextmanager
async def transaction(source: Source, *, writes: bool = False) -> AsyncIterator[AsyncConnection]:
    """One transaction on a database that has this release's schema and, with ``--fleet``, belongs to that fleet.

    ``writes``: an error also says whether anything was written.
    """
    url = await source.url()
    committing = False
    try:
        async with engine_on(url) as engine, engine.begin() as connection:
            await database.unhurried(connection, _STATEMENT_SECONDS)
            await _check(connection, source)
            yield connection
            committing = True
    except Unreachable as error:
        if not writes:
            raise
        after = (
            "Whether the changes were written is unknown: run the same command again, nothing is done twice."
            if committing
            else "Nothing was written."
        )
        raise Unreachable(error.reason, f"{error.message} {after}") from None


async def _check(connection: AsyncConnection, source: Source) -> None:
    found = await schema.version(connection)
    if not found.current:
        advice = (
            "run `warmup database upgrade` first"
            if found.known
            else "use the release that wrote it, or a later one"
        )
        raise Unavailable(
            f"The database is at schema {found.found or 'none'}, this release needs {found.wanted}: {advice}."
        )
    row = await fleet.read(connection)
    if (
        source.fleet is not None
        and row is not None
        and source.fleet != f"{row.owner.namespace}/{row.owner.name}"
    ):
        raise fleet.DatabaseInUse(row.owner)
