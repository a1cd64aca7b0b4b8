"""Which fields an older CRD lacks; and that nobody asks again once it has all."""

import copy
from typing import Any

import pytest

from warmup_core import crd
from warmup_operator.kube import KubernetesError
from warmup_operator.served import Served, lacking

WHOLE: dict[str, Any] = crd.build()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def without(*path: str) -> dict[str, Any]:
    """The schema with one property less."""
    older = copy.deepcopy(WHOLE)
    *above, last = path
    place = older
    for name in above:
        place = place["properties"][name]
        place = place.get("items", place)
    del place["properties"][last]
    return older


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("spec", "limits", "perUserPerHour"), "spec.limits.perUserPerHour"),
        (("spec", "limits"), "spec.limits"),
        (("spec", "limits", "providers", "perMailboxPerDay"), "spec.limits.providers[].perMailboxPerDay"),
        (("status", "yesterday"), "status.yesterday"),
    ],
)
def test_what_an_older_crd_lacks_is_named_by_its_path(path: tuple[str, ...], name: str) -> None:
    assert lacking(without(*path), WHOLE) == [name]


def test_this_releases_and_a_newer_one_lack_nothing() -> None:
    newer = copy.deepcopy(WHOLE)
    newer["properties"]["spec"]["properties"]["later"] = {"type": "string"}
    assert lacking(WHOLE, WHOLE) == lacking(newer, WHOLE) == []


class Cluster:
    """Answers one schema after the other, or the status of a refusal."""

    def __init__(self, *answers: dict[str, Any] | int | None) -> None:
        self.answers = list(answers)

    async def served_fleet(self) -> dict[str, Any] | None:
        answer = self.answers.pop(0)
        if isinstance(answer, int):
            raise KubernetesError(answer, "no")
        return answer


async def test_it_is_asked_until_nothing_is_lacking() -> None:
    cluster = Cluster(None, without("spec", "oauth"), WHOLE)
    served = Served(cluster)
    assert [list(await served.lacking()) for _ in range(5)] == [[], ["spec.oauth"], [], [], []]
    assert cluster.answers == []


async def test_no_answer_ends_no_look_and_what_was_found_stands() -> None:
    cluster = Cluster(503, without("spec", "oauth"), 429, WHOLE)
    served = Served(cluster)
    assert [list(await served.lacking()) for _ in range(4)] == [[], ["spec.oauth"], ["spec.oauth"], []]
