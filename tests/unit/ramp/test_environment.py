"""The ramp and the working days of a fleet of plain processes, as the environment gives them."""

import base64

import pytest

from warmup_core.ramp import Linear, NoRamp, Steps, Weekday
from warmup_core.settings import FleetSettings
from warmup_core.types import Refused
from warmup_worker.settings import read_settings

BASE = {
    "DATABASE_URL": "postgresql://warmup@127.0.0.1/warmup",
    "WARMUP_ENCRYPTION_KEYS": f"first:{base64.b64encode(bytes(32)).decode()}",
    "WARMUP_WORKER_ID": "1",
    "WARMUP_WORKER_COUNT": "2",
}


def settings(**variables: str) -> FleetSettings:
    wanted = read_settings({**BASE, **variables}).wanted
    assert wanted is not None
    return wanted.settings


def test_left_out_the_ramp_is_that_of_a_manifest_that_says_nothing() -> None:
    assert settings().ramp == Linear(2, 2)
    assert settings().days == tuple(Weekday)


def test_each_ramp_can_be_asked_for() -> None:
    assert settings(WARMUP_RAMP_TYPE="none").ramp == NoRamp()
    assert settings(WARMUP_RAMP_START="5", WARMUP_RAMP_STEP="0").ramp == Linear(5, 0)
    assert settings(WARMUP_RAMP_TYPE="Steps", WARMUP_RAMP_STEPS="3, 5,8").ramp == Steps((3, 5, 8))
    assert settings(WARMUP_DAYS="mon,Tue").days == (Weekday.MON, Weekday.TUE)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WARMUP_RAMP_TYPE": "Cubic"}, "WARMUP_RAMP_TYPE: 'Cubic' is none of Linear, Steps, None"),
        ({"WARMUP_RAMP_TYPE": "Steps"}, "at least one step"),
        ({"WARMUP_RAMP_TYPE": "Steps", "WARMUP_RAMP_STEPS": "5,3"}, "never falls"),
        ({"WARMUP_RAMP_STEPS": "3-5"}, "'3-5' is no list of whole numbers"),
        ({"WARMUP_RAMP_START": "0"}, "WARMUP_RAMP_START=0 must lie between 1 and 2000"),
        ({"WARMUP_DAYS": "Mon,Sonntag"}, "'Sonntag' is none of Mon, Tue"),
    ],
)
def test_what_cannot_be_is_refused_in_words(variables: dict[str, str], words: str) -> None:
    with pytest.raises(Refused) as refused:
        read_settings({**BASE, **variables})
    assert words in str(refused.value)
