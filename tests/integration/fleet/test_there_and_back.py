"""A spec that goes A, B, A, and by way of others again: what stands is what a fresh A made; nothing is left of any B."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.integration.fleet.lives import SPEC, Life, World, difference
from tests.integration.fleet.rest import at_rest
from tests.integration.worker.fleet import about_noon

Json = dict[str, Any]

_TEXTS = {
    "en.txt": "language: en\n== subject\nNews\n== first\nHello {{recipient_name}}\n== answer\nYes\n",
    "NOTES": "no certificate, and no worker reads it",
}
_ZONES = [about_noon(datetime.now(UTC) + timedelta(hours=hours))[0] for hours in (-1, 1)]
"""As far from midnight as the zone of ``SPEC``: in one where the day turns, or the window ends, counts would move."""
_SPECS = st.fixed_dictionaries(
    {
        "workers": st.fixed_dictionaries(
            {"replicas": st.integers(1, 3)},
            optional={
                "image": st.sampled_from(["example.org/worker:1", "example.org/worker:2"]),
                "terminationGracePeriodSeconds": st.integers(70, 120),
                "maxConcurrentSends": st.integers(1, 50),
                "max": st.integers(3, 9),
            },
        )
    },
    optional={
        "content": st.just({"templatesConfigMapRef": {"name": "main-texts"}}),
        "emailsPerMailboxPerDay": st.integers(1, 60),
        "timeZone": st.sampled_from(_ZONES),
        "limits": st.fixed_dictionaries({"perMinute": st.integers(100, 200)}),
        "pacing": st.just({"cooldown": {"min": "3m", "max": "4m"}}),
        "paused": st.just(True),
    },
)
_ADDITIONS: list[Json] = [
    {"smtp": {"caConfigMapRef": {"name": "main-texts", "key": "NOTES"}}},
    {"content": {"templatesConfigMapRef": {"name": "main-texts"}}},
    {"workers": {"terminationGracePeriodSeconds": 75}},
    {"paused": True},
]
"""On top of A, and nothing else: what only came is what may be left behind, as no other change writes the object again."""
_WAYS = st.tuples(
    st.tuples(st.sampled_from(_ADDITIONS[:2]), st.just(True)),
    st.tuples(st.sampled_from(_ADDITIONS), st.booleans()),
    st.tuples(_SPECS, st.just(True)),
    st.tuples(_SPECS, st.just(False)),
)
"""What it becomes in between, and whether that is waited for."""


@settings(
    max_examples=2,
    phases=[Phase.generate],  # each example is a life of many seconds
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(spec=_SPECS, ways=_WAYS)
async def test_there_and_back_again_is_as_if_one_had_never_left(
    world: World, spec: Json, ways: tuple[tuple[Json, bool], ...]
) -> None:
    async with Life(world) as life:
        texts = {"metadata": {"name": "main-texts"}, "data": _TEXTS}
        await world.client.post(life.path("api/v1", "configmaps"), texts)
        life.start_operator()
        await life.create(SPEC | spec)
        fresh = await at_rest(world, life, spec["workers"]["replicas"])
        for way, waited in ways:
            other = way if "replicas" in way.get("workers", {}) else merged(spec, way)
            await life.replace(SPEC | other)
            if waited:
                await at_rest(world, life, other["workers"]["replicas"])
            await life.replace(SPEC | spec)
            back = await at_rest(world, life, spec["workers"]["replicas"])
            assert back == fresh, difference(fresh, back)
        assert not life.verdicts


def merged(spec: Json, addition: Json) -> Json:
    """The spec with the addition."""
    return spec | {
        key: spec.get(key, {}) | value if isinstance(value, dict) else value
        for key, value in addition.items()
    }
