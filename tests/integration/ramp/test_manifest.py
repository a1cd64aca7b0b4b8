"""``spec.ramp`` and ``spec.schedule.days`` at a real API server: defaults where nothing is said, every fault refused."""

import json
import urllib.error
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.integration.limits.test_manifest import server
from tests.waiting import until
from warmup_core.ramp import Linear, NoRamp, Steps, Weekday
from warmup_core.settings import from_spec
from warmup_core.spec import WarmupFleetSpec
from warmup_core.types import API_VERSION, KIND, PLURAL

__all__ = ["server"]

SPEC = {
    "database": {"urlSecretRef": {"name": "main-database"}},
    "encryption": {"keysSecretRef": {"name": "main-keys"}},
}


async def create(server: ControlPlane, namespace: str, **spec: Any) -> WarmupFleetSpec:
    """What the API server makes of a fleet."""
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
    await until(lambda: server.exists(path), "the API server serves fleets")
    manifest = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "main", "namespace": namespace},
        "spec": {**SPEC, **spec},
    }
    return WarmupFleetSpec.model_validate(server.request("POST", path, manifest)["spec"])


async def test_a_fleet_that_says_nothing_ramps_up_by_two_a_day_on_every_day(
    server: ControlPlane, namespace: str
) -> None:
    settings = from_spec(await create(server, namespace))
    assert settings.ramp == Linear(2, 2)
    assert settings.days == tuple(Weekday)


@pytest.mark.parametrize(
    ("ramp", "made"),
    [
        ({"type": "None"}, NoRamp()),
        ({"step": 0}, Linear(2, 0)),
        ({"type": "Steps", "steps": [3, 3, 8]}, Steps((3, 3, 8))),
    ],
)
async def test_each_ramp_can_be_asked_for(
    server: ControlPlane, namespace: str, ramp: dict[str, Any], made: object
) -> None:
    assert from_spec(await create(server, namespace, ramp=ramp)).ramp == made


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"ramp": {"type": "Steps"}}, "ramp.type Steps needs ramp.steps"),
        ({"ramp": {"type": "Steps", "steps": []}}, "ramp.type Steps needs ramp.steps"),
        ({"ramp": {"type": "Steps", "steps": [5, 3]}}, "ramp.steps must never fall"),
        ({"ramp": {"type": "Quick"}}, "spec.ramp.type"),
        ({"ramp": {"start": 0}}, "spec.ramp.start"),
        ({"schedule": {"days": []}}, "spec.schedule.days"),
        ({"schedule": {"days": ["Mon", "Mon"]}}, "schedule.days names each day once"),
        ({"schedule": {"days": ["Montag"]}}, "spec.schedule.days[0]"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(
    server: ControlPlane, namespace: str, spec: dict[str, Any], words: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        await create(server, namespace, **spec)
    with refused.value as error:
        assert words in json.loads(error.read())["message"]
