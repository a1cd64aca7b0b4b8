"""The worker's environment: every fault at once, what is not read is told, and files are read again."""

import base64
from pathlib import Path

import pytest

from warmup_core.settings import FleetSettings
from warmup_core.types import Refused
from warmup_worker.settings import read_settings
from warmup_worker.timing import Timing

KEY = f"k:{base64.b64encode(bytes(32)).decode()}"
GOOD = {
    "DATABASE_URL": "postgresql://worker:hidden@db.example/fleet",
    "WARMUP_WORKER_ID": "3",
    "WARMUP_ENCRYPTION_KEYS": KEY,
}


def faults(**changes: str) -> list[str]:
    with pytest.raises(Refused) as refused:
        read_settings({**GOOD, **changes})
    return refused.value.faults


def test_the_least_that_a_pod_needs() -> None:
    settings = read_settings({**GOOD, "PATH": "/bin", "HOME": "/"})
    assert (settings.number, settings.telemetry_port, settings.grace_seconds, settings.wanted) == (
        3,
        3000,
        90.0,
        None,
    )
    assert settings.timing == Timing()
    assert settings.keys().ids == ["k"]
    assert settings.notices == ()


def test_nothing_secret_shows_itself() -> None:
    shown = repr(read_settings(GOOD))
    assert "hidden" not in shown
    assert KEY.partition(":")[2] not in shown


APPLICATIONS = '{"google": {"client_id": "id", "client_secret": "hidden", "token_endpoint": "https://oauth.example/token"}}'


def test_oauth_applications_come_from_a_file_that_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "applications.json"
    file.write_text(APPLICATIONS)
    settings = read_settings({**GOOD, "WARMUP_OAUTH_APPLICATIONS_FILE": str(file)})
    assert settings.applications()["google"].client_secret == "hidden"
    assert "hidden" not in repr(settings)
    file.write_text(APPLICATIONS.replace("hidden", "another"))
    assert settings.applications()["google"].client_secret == "another"
    file.write_text("{")
    assert settings.applications()["google"].client_secret == "another"
    assert read_settings(GOOD).applications() == {}


def test_oauth_applications_with_faults_are_refused_without_their_secrets(tmp_path: Path) -> None:
    file = tmp_path / "applications.json"
    file.write_text(APPLICATIONS.replace("https", "http"))
    [fault] = faults(WARMUP_OAUTH_APPLICATIONS_FILE=str(file))
    assert "google: token_endpoint: write an https:// URL" in fault
    assert "hidden" not in fault
    [fault] = faults(WARMUP_OAUTH_APPLICATIONS_FILE="/nowhere/applications.json")
    assert fault.startswith(
        "WARMUP_OAUTH_APPLICATIONS_FILE: the file /nowhere/applications.json cannot be read"
    )


def test_every_fault_is_listed_at_once() -> None:
    with pytest.raises(Refused) as refused:
        read_settings(
            {
                "WARMUP_WORKER_ID": "main-1",
                "DATABASE_URL": "mysql://x/y",
                "WARMUP_ENCRYPTION_KEYS": "nonsense",
                "WARMUP_TELEMETRY_PORT": "70000",
                "WARMUP_GRACE_SECONDS": "soon",
                "WARMUP_SMTP_CA_FILE": "/nowhere/ca.crt",
                "WARMUP_WORKER_COUNT": "0",
                "WARMUP_TIME_ZONE": "Mars/Olympus",
                "WARMUP_WINDOW_FROM": "24:00",
                "WARMUP_MAX_CONCURRENT": "many",
                "WARMUP_SMTP_ALLOWED_NETWORKS": "10.0.0.0/8, ten",
                "WARMUP_TIMING": "{}x",
            }
        )
    for words in (
        "WARMUP_WORKER_ID='main-1' is not a whole number. It is the worker's number",
        "only postgresql:// is understood",
        "line 1: not ID:BASE64",
        "WARMUP_TELEMETRY_PORT=70000 must lie between",
        "WARMUP_GRACE_SECONDS='soon' is not",
        "/nowhere/ca.crt cannot be read",
        "WARMUP_WORKER_COUNT=0 must lie between 1 and",
        "'Mars/Olympus' is no IANA time zone",
        "WARMUP_WINDOW_FROM: '24:00' is not a time of day before 24:00",
        "WARMUP_MAX_CONCURRENT='many' is not",
        "WARMUP_SMTP_ALLOWED_NETWORKS: 'ten'",
        "WARMUP_TIMING is not JSON",
    ):
        assert any(words in fault for fault in refused.value.faults), (words, refused.value.faults)


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "", "0x1"])
def test_a_number_is_a_whole_one_from_1(number: str) -> None:
    assert any("WARMUP_WORKER_ID" in fault for fault in faults(WARMUP_WORKER_ID=number))


def test_what_looks_like_ours_and_is_not_read_is_told() -> None:
    settings = read_settings(
        {
            **GOOD,
            "BATCH_SIZE": "200",
            "WARMUP_BATCHES": "200",
            "WARMUP_WORKERS_COUNT": "4",
            "WARMUP_FLEET_SERVICE_HOST": "10.0.0.1",
            "WARMUP_FLEET_PORT_443_TCP_ADDR": "10.0.0.1",
        }
    )
    assert settings.notices == (
        "BATCH_SIZE is set but not read: it is called WARMUP_BATCH_SIZE.",
        "WARMUP_BATCHES is set but not read.",
        "WARMUP_WORKERS_COUNT is set but not read. Is WARMUP_WORKER_COUNT meant?",
    )


def test_the_fleets_own_settings_are_read_beside_a_count_only() -> None:
    fleet = {
        "WARMUP_EMAILS_PER_MAILBOX_PER_DAY": "3",
        "WARMUP_WINDOW_FROM": "08:00",
        "WARMUP_WINDOW_TO": "18:00:30",
        "WARMUP_MAILBOX_COOLDOWN_MIN_MS": "1000",
        "WARMUP_MAILBOX_COOLDOWN_MAX_MS": "2000",
        "WARMUP_MAX_CONCURRENT": "7",
        "WARMUP_SMTP_ALLOWED_NETWORKS": "10.0.0.0/8, fd00::/8",
        "WARMUP_TIME_ZONE": "Europe/Berlin",
    }
    wanted = read_settings({**GOOD, **fleet, "WARMUP_WORKER_COUNT": "4"}).wanted
    assert wanted is not None
    assert (wanted.worker_count, wanted.time_zone) == (4, "Europe/Berlin")
    assert wanted.settings.model_dump() == FleetSettings().model_dump() | {
        "emails_per_mailbox_per_day": 3,
        "window_from_seconds": 28_800,
        "window_to_seconds": 64_830,
        "cooldown_min_ms": 1000,
        "cooldown_max_ms": 2000,
        "max_concurrent_sends": 7,
        "smtp_allowed_networks": ("10.0.0.0/8", "fd00::/8"),
    }
    alone = read_settings({**GOOD, **fleet})
    assert alone.wanted is None
    assert len(alone.notices) == len(fleet)


def test_ends_that_cross_are_refused() -> None:
    found = faults(
        WARMUP_WORKER_COUNT="4",
        WARMUP_MAILBOX_COOLDOWN_MIN_MS="5",
        WARMUP_MAILBOX_COOLDOWN_MAX_MS="4",
        WARMUP_STAGGER_MIN_MS="9",
        WARMUP_STAGGER_MAX_MS="8",
    )
    assert found == [
        "WARMUP_MAILBOX_COOLDOWN_MIN_MS (5) must not be greater than WARMUP_MAILBOX_COOLDOWN_MAX_MS (4).",
        "WARMUP_STAGGER_MIN_MS (9) must not be greater than WARMUP_STAGGER_MAX_MS (8).",
    ]


def test_files_are_read_again_and_a_bad_one_leaves_the_last_good(tmp_path: Path) -> None:
    keys, url = tmp_path / "keys", tmp_path / "url"
    keys.write_text(KEY)
    url.write_text(GOOD["DATABASE_URL"])
    settings = read_settings(
        {"WARMUP_WORKER_ID": "1", "DATABASE_URL_FILE": str(url), "WARMUP_ENCRYPTION_KEYS_FILE": str(keys)}
    )
    keys.write_text("second" + KEY + "\n" + KEY)
    url.write_text("postgresql://worker:changed@db.example/fleet")
    assert settings.keys().ids == ["secondk", "k"]
    assert settings.current_url().password == "changed"
    keys.write_text("broken")
    assert settings.keys().ids == ["secondk", "k"]


def test_a_value_and_its_file_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(GOOD["DATABASE_URL"])
    assert faults(DATABASE_URL_FILE=str(tmp_path / "url")) == [
        "DATABASE_URL or DATABASE_URL_FILE: give one, not both."
    ]


def test_time_constants_that_contradict_each_other_are_refused() -> None:
    (fault,) = faults(WARMUP_TIMING='{"claim": 100, "lease": 3, "statement": 200}')
    assert "3 x heartbeat (2.0 s) must be less than lease (3.0 s)" in fault
    assert "statement (200.0 s) must be less than claim (100.0 s)" in fault
    assert "claim (100.0 s) must be less than sweep (70.0 s)" in fault
