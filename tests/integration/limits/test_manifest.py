"""``spec.limits`` at a real API server: defaults where nothing is said, null for none, and every fault refused."""

import asyncio
import json
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.waiting import until
from warmup_core.crd import build
from warmup_core.settings import from_spec
from warmup_core.spec import WarmupFleetSpec
from warmup_core.types import API_VERSION, GROUP, KIND, PLURAL

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFAULTS = {"perMinute": 2500, "perHour": 150_000, "providers": [{"name": "gmail", "perMailboxPerDay": 500}]}


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """A control plane that knows fleets; as it was again at the end, so that the chart can be installed."""
    name = f"{PLURAL}.{GROUP}"
    if control_plane.exists(f"{CRDS}/{name}"):
        yield control_plane
    else:
        control_plane.request("POST", CRDS, build())
        yield control_plane
        control_plane.request("DELETE", f"{CRDS}/{name}")
        asyncio.run(until(lambda: not control_plane.exists(f"{CRDS}/{name}"), "the definition is gone"))


async def create(server: ControlPlane, namespace: str, limits: dict[str, Any] | None) -> dict[str, Any]:
    """What the API server makes of a minimal fleet with these limits."""
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
    await until(lambda: server.exists(path), "the API server serves fleets")
    spec: dict[str, Any] = {
        "database": {"urlSecretRef": {"name": "main-database"}},
        "encryption": {"keysSecretRef": {"name": "main-keys"}},
    }
    if limits is not None:
        spec["limits"] = limits
    manifest = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "main", "namespace": namespace},
        "spec": spec,
    }
    made: dict[str, Any] = server.request("POST", path, manifest)
    return made


async def test_limits_left_out_are_filled_in_and_reach_the_settings(
    server: ControlPlane, namespace: str
) -> None:
    made = await create(server, namespace, None)
    assert made["spec"]["limits"] == DEFAULTS
    settings = from_spec(WarmupFleetSpec.model_validate(made["spec"]))
    assert (settings.per_minute_limit, settings.per_hour_limit) == (2500, 150_000)
    assert settings.per_mailbox_per_day_limits == {"gmail": 500}


async def test_null_is_no_limit_and_stays_null(server: ControlPlane, namespace: str) -> None:
    made = await create(server, namespace, {"perMinute": None, "perUserPerHour": 9, "providers": []})
    settings = from_spec(WarmupFleetSpec.model_validate(made["spec"]))
    assert (settings.per_minute_limit, settings.per_hour_limit, settings.per_user_per_hour_limit) == (
        None,
        150_000,
        9,
    )
    assert settings.per_mailbox_per_day_limits == {}


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"perMinute": 0}, "spec.limits.perMinute"),
        ({"providers": [{"name": "gmail", "perMailboxPerDay": 0}]}, "perMailboxPerDay"),
        ({"providers": [{"name": "Google Mail", "perMailboxPerDay": 5}]}, "spec.limits.providers[0].name"),
        (
            {"providers": [{"name": "gmail", "perMailboxPerDay": n} for n in (1, 2)]},
            "limits.providers names each provider once",
        ),
    ],
)
async def test_what_cannot_be_is_refused_in_words(
    server: ControlPlane, namespace: str, limits: dict[str, Any], words: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        await create(server, namespace, limits)
    with refused.value as error:
        assert words in json.loads(error.read())["message"]
