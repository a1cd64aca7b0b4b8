"""The variables of the scheme that the fleet grows out of: each column of its table, and what contradicts itself."""

import base64

import pytest

from warmup_core.settings import FleetSettings
from warmup_core.types import Refused
from warmup_worker.settings import WorkerSettings, read_settings

BASE = {
    "DATABASE_URL": "postgresql://warmup@127.0.0.1/warmup",
    "WARMUP_ENCRYPTION_KEYS": f"first:{base64.b64encode(bytes(32)).decode()}",
}
ONE = {
    "WARMUP_DISTRIBUTED_MODE": "false",
    "WARMUP_WORKER_COUNT": "1",
    "WARMUP_WORKER_ID": "1",
    "WARMUP_BATCH_SIZE": "100",
    "WARMUP_MAX_CONCURRENT": "20",
    "WARMUP_CRON_INTERVAL_MINUTES": "15",
    "WARMUP_GLOBAL_HOURLY_LIMIT": "10000",
    "WARMUP_GLOBAL_MINUTE_LIMIT": "200",
    "WARMUP_BATCH_DELAY_MS": "5000",
}
HUNDRED = {
    "WARMUP_DISTRIBUTED_MODE": "true",
    "WARMUP_WORKER_COUNT": "100",
    "WARMUP_WORKER_ID": "100",
    "WARMUP_BATCH_SIZE": "200",
    "WARMUP_MAX_CONCURRENT": "50",
    "WARMUP_CRON_INTERVAL_MINUTES": "10",
    "WARMUP_GLOBAL_HOURLY_LIMIT": "150000",
    "WARMUP_GLOBAL_MINUTE_LIMIT": "2500",
    "WARMUP_USER_HOURLY_LIMIT": "1500",
    "WARMUP_BATCH_DELAY_MS": "2000",
    "WARMUP_STAGGER_MIN_MS": "500",
    "WARMUP_STAGGER_MAX_MS": "2000",
    "WARMUP_MAILBOX_COOLDOWN_MIN_MS": "120000",
    "WARMUP_MAILBOX_COOLDOWN_MAX_MS": "300000",
}
FIFTY = {
    "WARMUP_DISTRIBUTED_MODE": "true",
    "WARMUP_WORKER_COUNT": "50",
    "WARMUP_WORKER_ID": "50",
    "WARMUP_BATCH_SIZE": "500",
    "WARMUP_MAX_CONCURRENT": "100",
    "WARMUP_CRON_INTERVAL_MINUTES": "8",
    "WARMUP_GLOBAL_HOURLY_LIMIT": "200000",
    "WARMUP_GLOBAL_MINUTE_LIMIT": "3500",
    "WARMUP_BATCH_DELAY_MS": "1000",
    "WARMUP_STAGGER_MIN_MS": "100",
    "WARMUP_STAGGER_MAX_MS": "1000",
    "WARMUP_MAILBOX_COOLDOWN_MIN_MS": "60000",
    "WARMUP_MAILBOX_COOLDOWN_MAX_MS": "180000",
}


def read(variables: dict[str, str], **more: str) -> WorkerSettings:
    return read_settings({**BASE, **variables, **more})


def fleet(variables: dict[str, str], **more: str) -> FleetSettings:
    wanted = read(variables, **more).wanted
    assert wanted is not None
    return wanted.settings


def faults(variables: dict[str, str], **more: str) -> list[str]:
    with pytest.raises(Refused) as refused:
        read(variables, **more)
    return refused.value.faults


def test_each_column_of_the_table_is_what_it_says() -> None:
    """Where it shows a dash there is no stagger, no limit of a worker, and the usual cooldown."""
    usual = FleetSettings().model_dump()
    assert fleet(ONE).model_dump() == usual | {
        "pacing_mode": "Interval",
        "interval_ms": 900_000,
        "interval_batch": 100,
        "batch_delay_ms": 5_000,
        "stagger_min_ms": 0,
        "stagger_max_ms": 0,
        "max_concurrent_sends": 20,
        "per_minute_limit": 200,
        "per_hour_limit": 10_000,
    }
    assert fleet(HUNDRED).model_dump() == usual | {
        "pacing_mode": "Interval",
        "interval_ms": 600_000,
        "interval_batch": 200,
        "batch_delay_ms": 2_000,
        "stagger_min_ms": 500,
        "stagger_max_ms": 2_000,
        "max_concurrent_sends": 50,
        "per_worker_per_hour_limit": 1_500,
    }
    assert fleet(FIFTY).model_dump() == usual | {
        "pacing_mode": "Interval",
        "interval_ms": 480_000,
        "interval_batch": 500,
        "batch_delay_ms": 1_000,
        "stagger_min_ms": 100,
        "stagger_max_ms": 1_000,
        "cooldown_min_ms": 60_000,
        "cooldown_max_ms": 180_000,
        "max_concurrent_sends": 100,
        "per_minute_limit": 3_500,
        "per_hour_limit": 200_000,
    }


def test_a_single_worker_needs_neither_number_nor_count() -> None:
    settings = read({"WARMUP_DISTRIBUTED_MODE": "False"})
    assert settings.number == 1
    assert settings.wanted is not None
    assert settings.wanted.worker_count == 1
    assert settings.notices == ()


def test_a_worker_of_several_without_a_count_follows_the_fleets_row() -> None:
    settings = read({"WARMUP_DISTRIBUTED_MODE": "true", "WARMUP_WORKER_ID": "3"})
    assert (settings.number, settings.wanted) == (3, None)


def test_one_variable_of_the_runs_selects_them_and_none_leaves_the_mails_their_own_instants() -> None:
    one = {"WARMUP_WORKER_ID": "1", "WARMUP_WORKER_COUNT": "1"}
    assert fleet(one).pacing_mode == "Continuous"
    batch = fleet(one, WARMUP_BATCH_SIZE="7")
    assert (batch.pacing_mode, batch.interval_batch, batch.interval_ms, batch.batch_delay_ms) == (
        "Interval",
        7,
        600_000,
        0,
    )
    named = fleet(one, WARMUP_PACING_MODE="interval")
    assert (named.pacing_mode, named.interval_batch, named.stagger_max_ms) == ("Interval", 200, 0)
    moved = fleet(one, WARMUP_STAGGER_MIN_MS="300")
    assert (moved.stagger_min_ms, moved.stagger_max_ms) == (300, 300)


def test_what_contradicts_itself_is_listed_all_at_once() -> None:
    found = faults(
        HUNDRED,
        WARMUP_DISTRIBUTED_MODE="false",
        WARMUP_PACING_MODE="Continuous",
        WARMUP_WORKER_HOURLY_LIMIT="1600",
        BATCH_SIZE="7",
        WARMUP_CRON_INTERVAL_MINUTE="9",
    )
    assert found == [
        "WARMUP_DISTRIBUTED_MODE=false is a single worker, and WARMUP_WORKER_ID is 100: give 1, or true.",
        "WARMUP_DISTRIBUTED_MODE=false is a single worker, and WARMUP_WORKER_COUNT is 100: give 1, or true.",
        "WARMUP_PACING_MODE is Continuous, and WARMUP_CRON_INTERVAL_MINUTES and WARMUP_BATCH_SIZE and WARMUP_BATCH_DELAY_MS"
        " and WARMUP_STAGGER_MIN_MS and WARMUP_STAGGER_MAX_MS are for Interval: leave one or the other out.",
        "WARMUP_WORKER_HOURLY_LIMIT and WARMUP_USER_HOURLY_LIMIT mean the same, the limit of one worker: give one.",
        "WARMUP_USER_HOURLY_LIMIT limits each worker; its plain name is WARMUP_WORKER_HOURLY_LIMIT, and what limits each user"
        " is WARMUP_PER_USER_HOURLY_LIMIT.",
        "WARMUP_CRON_INTERVAL_MINUTE is set but not read. Is WARMUP_CRON_INTERVAL_MINUTES meant?",
    ]


def test_a_number_beyond_the_count_contradicts_it() -> None:
    assert faults(HUNDRED, WARMUP_WORKER_ID="101") == [
        "WARMUP_WORKER_ID is 101 and WARMUP_WORKER_COUNT is 100: the numbers go from 1 to the count.",
        "WARMUP_USER_HOURLY_LIMIT limits each worker; its plain name is WARMUP_WORKER_HOURLY_LIMIT, and what limits each"
        " user is WARMUP_PER_USER_HOURLY_LIMIT.",
    ]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("WARMUP_DISTRIBUTED_MODE", "yes", "WARMUP_DISTRIBUTED_MODE: 'yes' is none of true, false"),
        ("WARMUP_BATCH_SIZE", "0", "WARMUP_BATCH_SIZE=0 must lie between 1 and 100000."),
        ("WARMUP_CRON_INTERVAL_MINUTES", "7.5", "WARMUP_CRON_INTERVAL_MINUTES='7.5' is not a whole number."),
        ("WARMUP_BATCH_DELAY_MS", "5s", "WARMUP_BATCH_DELAY_MS='5s' is not a whole number."),
        ("WARMUP_PACING_MODE", "Cron", "WARMUP_PACING_MODE: 'Cron' is none of Continuous, Interval"),
        ("WARMUP_PROVIDER_DAILY_LIMITS", "gmail", "'gmail' is no provider and its number of mails"),
        ("WARMUP_PROVIDER_DAILY_LIMITS", "gmail=5,gmail=6", "the provider gmail is there twice"),
        (
            "WARMUP_PER_USER_HOURLY_LIMIT",
            "x",
            "WARMUP_PER_USER_HOURLY_LIMIT='x' is not a whole number. Write none",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(name: str, value: str, words: str) -> None:
    assert any(words in fault for fault in faults(FIFTY, **{name: value}))


def test_the_limits_that_the_scheme_did_not_have() -> None:
    found = fleet(
        FIFTY,
        WARMUP_PER_USER_HOURLY_LIMIT="3000",
        WARMUP_PER_DOMAIN_DAILY_LIMIT="9000",
        WARMUP_PROVIDER_DAILY_LIMITS="gmail=400, mail.example.org=20",
    )
    assert (found.per_user_per_hour_limit, found.per_domain_per_day_limit) == (3_000, 9_000)
    assert found.per_mailbox_per_day_limits == {"gmail": 400, "mail.example.org": 20}
    assert found.per_worker_per_hour_limit is None


def test_a_workers_limit_that_caps_the_fleets_is_told() -> None:
    assert read(FIFTY, WARMUP_WORKER_HOURLY_LIMIT="1500").notices == (
        "50 x 1500, the limit of each worker, are 75000 an hour: the fleet's limit of 200000 is never reached.",
    )


def test_more_workers_than_connections_is_told() -> None:
    assert read(FIFTY, WARMUP_DATABASE_MAX_CONNECTIONS="54").notices == ()
    assert read(FIFTY, WARMUP_DATABASE_MAX_CONNECTIONS="53").notices == (
        "50 workers hold a connection each, and 4 are kept for people: WARMUP_DATABASE_MAX_CONNECTIONS is 53, give 54 or more.",
    )


def test_a_window_may_go_across_midnight() -> None:
    night = fleet(FIFTY, WARMUP_WINDOW_FROM="22:00", WARMUP_WINDOW_TO="06:00")
    assert (night.window_from_seconds, night.window_to_seconds) == (79_200, 21_600)
    evening = fleet(FIFTY, WARMUP_WINDOW_FROM="18:00", WARMUP_WINDOW_TO="00:00")
    assert (evening.window_from_seconds, evening.window_to_seconds) == (64_800, 86_400)
