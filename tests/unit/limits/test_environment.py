"""The limits of a fleet of plain processes, as the environment gives them."""

import base64

import pytest

from warmup_core.settings import FleetSettings
from warmup_core.types import Refused
from warmup_worker.settings import WorkerSettings, read_settings

BASE = {
    "DATABASE_URL": "postgresql://warmup@127.0.0.1/warmup",
    "WARMUP_ENCRYPTION_KEYS": f"first:{base64.b64encode(bytes(32)).decode()}",
    "WARMUP_WORKER_ID": "1",
    "WARMUP_WORKER_COUNT": "100",
}


def read(**variables: str) -> WorkerSettings:
    return read_settings({**BASE, **variables})


def settings(**variables: str) -> FleetSettings:
    wanted = read(**variables).wanted
    assert wanted is not None
    return wanted.settings


def test_the_variables_of_the_known_fleet_of_a_hundred_workers() -> None:
    """1,500 an hour are each worker's: 100 x 1,500 are the fleet's 150,000."""
    found = settings(
        WARMUP_GLOBAL_MINUTE_LIMIT="2500",
        WARMUP_GLOBAL_HOURLY_LIMIT="150000",
        WARMUP_USER_HOURLY_LIMIT="1500",
    )
    assert (found.per_minute_limit, found.per_hour_limit) == (2500, 150_000)
    assert (found.per_worker_per_hour_limit, found.per_user_per_hour_limit) == (1500, None)


def test_the_older_name_of_the_workers_limit_is_told_its_plain_one() -> None:
    assert any("WARMUP_WORKER_HOURLY_LIMIT" in it for it in read(WARMUP_USER_HOURLY_LIMIT="1500").notices)
    plain = read(WARMUP_WORKER_HOURLY_LIMIT="1500")
    assert plain.notices == ()
    assert plain.wanted is not None
    assert plain.wanted.settings.per_worker_per_hour_limit == 1500


def test_both_names_may_say_the_same_but_nothing_else() -> None:
    same = settings(WARMUP_USER_HOURLY_LIMIT="1500", WARMUP_WORKER_HOURLY_LIMIT="1500")
    assert same.per_worker_per_hour_limit == 1500
    with pytest.raises(Refused, match="mean the same"):
        read(WARMUP_USER_HOURLY_LIMIT="1500", WARMUP_WORKER_HOURLY_LIMIT="1600")


def test_without_them_the_limits_are_those_of_a_manifest_that_says_nothing() -> None:
    assert settings() == FleetSettings()
    assert (FleetSettings().per_minute_limit, FleetSettings().per_hour_limit) == (2500, 150_000)


def test_none_takes_a_limit_away() -> None:
    found = settings(WARMUP_GLOBAL_MINUTE_LIMIT="none", WARMUP_GLOBAL_HOURLY_LIMIT="None")
    assert (found.per_minute_limit, found.per_hour_limit) == (None, None)


def test_every_limit_that_cannot_be_is_listed() -> None:
    with pytest.raises(Refused) as refused:
        read(WARMUP_GLOBAL_MINUTE_LIMIT="0", WARMUP_GLOBAL_HOURLY_LIMIT="many", WARMUP_GLOBAL_MINUT_LIMIT="7")
    assert refused.value.faults == [
        "WARMUP_GLOBAL_MINUTE_LIMIT=0 must lie between 1 and 60000000.",
        "WARMUP_GLOBAL_HOURLY_LIMIT='many' is not a whole number. Write none for no limit.",
        "WARMUP_GLOBAL_MINUT_LIMIT is set but not read. Is WARMUP_GLOBAL_MINUTE_LIMIT meant?",
    ]
