"""The files for Compose, Swarm and `docker run`, read strictly: by their schema, and by what a worker makes of them."""

import json
import os
import re
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import warmup_core
from tests.cluster import debian
from tests.integration.deploy.services import (
    DEPLOY,
    MOUNTED,
    Container,
    block,
    container,
    read,
    replicas,
    seconds,
)
from warmup_worker.settings import WorkerSettings, read_settings

COMPOSE, SWARM = read("compose.yaml"), read("swarm.yaml")
WORKERS = {name: it for name, it in COMPOSE["services"].items() if re.fullmatch(r"worker-\d+", name)}
OURS = f"warmup-fleet/worker:{warmup_core.__version__}"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What new-secrets.sh makes."""
    (tmp_path / "new-secrets.sh").write_bytes((DEPLOY / "new-secrets.sh").read_bytes())
    subprocess.run(["sh", tmp_path / "new-secrets.sh"], check=True, capture_output=True)
    return tmp_path / "secrets"


def settings(it: Container, secrets: Path) -> WorkerSettings:
    found = read_settings(it.at(secrets))
    assert found.notices == ()
    return found


@pytest.mark.parametrize("name", ["compose.yaml", "swarm.yaml"])
def test_the_schema_of_the_compose_specification_takes_it(name: str, tmp_path: Path) -> None:
    """As JSON, with its merges done, as Docker sees it."""
    file = tmp_path / "file.json"
    file.write_text(json.dumps(read(name)))
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*checker, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_workers_of_compose_are_numbered_without_a_gap_and_agree(secrets: Path) -> None:
    found = {name: settings(container(it), secrets) for name, it in WORKERS.items()}
    wanted = found["worker-1"].wanted
    assert wanted is not None
    assert {f"worker-{it.number}" for it in found.values()} == found.keys()
    assert len(found) == wanted.worker_count
    for it in found.values():
        assert it.wanted == wanted
        assert it.url.host == "postgres"


def test_the_replicas_of_swarm_are_the_workers(secrets: Path) -> None:
    service = SWARM["services"]["worker"]
    found = [settings(it, secrets) for it in replicas(service)]
    assert [it.number for it in found] == [*range(1, len(found) + 1)]
    for it in found:
        assert it.wanted is not None
        assert it.wanted.worker_count == len(found)
    assert service["deploy"]["update_config"]["order"] == "stop-first"


@pytest.mark.parametrize(
    ("file", "service"), [(COMPOSE, it) for it in WORKERS.values()] + [(SWARM, SWARM["services"]["worker"])]
)
def test_a_worker_is_of_this_release_holds_nothing_and_has_the_time_to_end(
    file: dict[str, Any], service: dict[str, Any]
) -> None:
    assert service["image"].rstrip("}").endswith(OURS)
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert seconds(service["stop_grace_period"]) > int(service["environment"]["WARMUP_GRACE_SECONDS"])


@pytest.mark.parametrize("file", [COMPOSE, SWARM], ids=["compose", "swarm"])
def test_what_a_service_uses_is_there(file: dict[str, Any]) -> None:
    secrets, volumes = file["secrets"].keys(), file.get("volumes", {}).keys()
    used: set[str] = set()
    for service in file["services"].values():
        given = set(service.get("secrets", []))
        read_there = [it for it in service.get("environment", {}).values() if it.startswith(MOUNTED)]
        assert {it.removeprefix(MOUNTED) for it in read_there} == given
        assert given <= secrets
        used |= given
        assert service.get("depends_on", {}).keys() <= file["services"].keys()
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith("./") else source in volumes
    assert used == secrets


def test_a_worker_begins_when_the_schema_is_there_and_the_schema_when_postgres_is_well() -> None:
    services = COMPOSE["services"]
    for it in WORKERS.values():
        assert it["depends_on"] == {"schema": {"condition": "service_completed_successfully"}}
    assert services["schema"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert "healthcheck" in services["postgres"]


@pytest.mark.root
def test_prometheus_asks_every_worker_once() -> None:
    debian.ensure("prometheus")
    program = debian.find("prometheus")
    assert program is not None
    done = subprocess.run(
        [program, "check", "config", DEPLOY / "prometheus.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [job] = read("prometheus.yaml")["scrape_configs"]
    assert [target for it in job["static_configs"] for target in it["targets"]] == [
        f"{it}:3000" for it in WORKERS
    ]


_FAKE = """#!/bin/sh
exec "{python}" -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@"
"""


def typed(first: str, folder: Path) -> list[list[str]]:
    """What the page's own block gives to `docker`, command by command; `docker` only tells it."""
    docker = folder / "docker"
    docker.write_text(_FAKE.format(python=sys.executable))
    docker.chmod(0o755)
    done = subprocess.run(
        ["sh", "-euc", block("deploy/README.md", first)],
        cwd=folder,
        env={"PATH": f"{folder}:{os.environ['PATH']}", "PWD": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def given(words: list[str]) -> dict[str, str]:
    """A `docker run`'s variables, each path that of the file mounted there, which the image's user may read.

    A folder of ours is closed to that user: without capabilities not even root may enter it.
    """
    places = [it.split(":") for flag, it in pairwise(words) if flag == "-v"]
    for source, _, mode in places:
        assert mode == "ro"
        assert Path(source).is_file(), f"{source} is no file"
        assert os.stat(source).st_mode & stat.S_IROTH, f"{source} is closed to others"
    mounted = {inside: source for source, inside, _ in places}
    variables = dict(it.split("=", 1) for flag, it in pairwise(words) if flag == "-e")
    found = {name: mounted.get(it, it) for name, it in variables.items()}
    assert not [it for it in found.values() if it.startswith(MOUNTED)], "a file is named that nothing mounts"
    return found


def test_the_loop_of_docker_run_starts_workers_that_agree(secrets: Path, tmp_path: Path) -> None:
    numbers = []
    for words in typed("# server A", tmp_path):
        assert words[:2] == ["run", "-d"]
        assert words[-1].endswith(OURS)
        found = settings(Container((), given(words)), secrets)
        assert found.wanted is not None
        assert found.wanted.worker_count == 4
        assert int(dict(pairwise(words))["--stop-timeout"]) > found.grace_seconds
        numbers.append(found.number)
    assert numbers == [1, 2]


def test_the_schema_of_docker_run_comes_by_the_same_secret(secrets: Path, tmp_path: Path) -> None:
    [words] = typed("docker run --rm", tmp_path)
    assert words[-3].endswith(OURS)
    assert words[-2:] == ["database", "upgrade"]
    assert given(words) == {"DATABASE_URL_FILE": str(secrets / "database_url")}


def test_a_bigger_count_reaches_the_workers_of_compose_one_after_the_other(tmp_path: Path) -> None:
    """Each by a command of its own, which takes no service along, and Prometheus reads its file again."""
    *workers, last = typed("for number in 1 2 3", tmp_path)
    names = [*WORKERS, f"worker-{len(WORKERS) + 1}"]
    assert workers == [["compose", "up", "-d", "--no-deps", name] for name in names]
    assert last == ["compose", "restart", "prometheus"]
    assert "./prometheus.yaml" in str(COMPOSE["services"]["prometheus"]["volumes"])


def test_the_page_names_this_release_only() -> None:
    named = set(re.findall(r"warmup-fleet/worker:[\w.]+", (DEPLOY / "README.md").read_text()))
    assert named == {OURS}
