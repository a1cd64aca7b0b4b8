"""Which namespaces are served while some refuse, and when it is waited."""

from collections.abc import Sequence
from typing import Any

import pytest

from warmup_operator.kube import Kind, KubernetesError
from warmup_operator.listing import Fleets
from warmup_operator.metrics import Metrics

Json = dict[str, Any]


class Cluster:
    """Has one fleet in each namespace; ``refusals``: the status of the answers to come, by namespace, before it is well."""

    def __init__(self, **refusals: list[int]) -> None:
        self.refusals = refusals

    async def list(self, kind: Kind, namespace: str | None) -> Sequence[Json]:
        assert kind.plural == "warmupfleets"
        if statuses := self.refusals.get(namespace or "everywhere"):
            raise KubernetesError(statuses.pop(0), "no")
        return [{"metadata": {"namespace": namespace, "name": "main"}}]


def counted(metrics: Metrics) -> dict[str, float]:
    """The errors by reason."""
    [family] = metrics.errors.collect()
    return {it.labels["reason"]: it.value for it in family.samples if it.name.endswith("_total")}


@pytest.mark.parametrize(("status", "reason"), [(403, "Forbidden"), (404, "NotFound")])
async def test_a_namespace_that_refuses_takes_no_other_with_it(status: int, reason: str) -> None:
    metrics = Metrics()
    fleets = Fleets(Cluster(b=[status, status]), ("a", "b", "c"), metrics, 0)
    listing = await fleets.list()
    assert [it["metadata"]["namespace"] for it in listing.fleets] == ["a", "c"]
    assert list(listing.refused) == ["b"]
    assert await fleets.answering() == ["a", "c"]
    assert counted(metrics) == {reason: 2.0}
    assert (await fleets.list()).refused == {}


async def test_where_none_answers_it_is_waited_and_counted() -> None:
    metrics = Metrics()
    assert await Fleets(Cluster(a=[403], b=[404]), ("a", "b"), metrics, 0).answering() == ["a", "b"]
    assert counted(metrics) == {"Forbidden": 1.0}


async def test_the_whole_cluster_is_asked_at_once() -> None:
    metrics = Metrics()
    fleets = Fleets(Cluster(everywhere=[404]), (), metrics, 0)
    assert await fleets.answering() == []
    assert counted(metrics) == {"NotFound": 1.0}
    assert len((await fleets.list()).fleets) == 1


@pytest.mark.parametrize("status", [0, 429, 500])
async def test_no_answer_is_no_refusal(status: int) -> None:
    """Else a namespace would be unwatched for a moment's fault."""
    metrics = Metrics()
    with pytest.raises(KubernetesError):
        await Fleets(Cluster(b=[status]), ("a", "b"), metrics, 0).list()
    assert await Fleets(Cluster(b=[status]), ("a", "b"), metrics, 0).answering() == ["a", "b"]
