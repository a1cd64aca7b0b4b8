"""Why pods do not come up, in the cluster's own words."""

from typing import Any

from warmup_operator.pods import obstacles


def pod(name: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": status}


def test_a_pull_error_names_the_pod_and_the_image() -> None:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x:1".'}}
    assert obstacles([pod("main-3", containerStatuses=[{"state": state}])], []) == [
        'Pod main-3: ImagePullBackOff: Back-off pulling image "x:1".'
    ]


def test_a_pod_without_a_node_says_what_the_scheduler_says() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient cpu."}
    assert obstacles([pod("main-1", conditions=[condition])], []) == [
        "Pod main-1: not scheduled: 0/1 nodes: Insufficient cpu."
    ]


def test_the_newest_refusal_to_make_a_pod_speaks() -> None:
    old = {"lastTimestamp": "2026-11-25T10:00:00Z", "message": "old"}
    new = {"lastTimestamp": "2026-11-25T11:00:00Z", "message": "exceeded quota"}
    assert obstacles([], [new, old]) == ["The cluster refuses to make a pod: exceeded quota."]


def test_pods_on_their_way_are_no_obstacle_and_many_are_counted() -> None:
    creating = {"state": {"waiting": {"reason": "ContainerCreating"}}}
    running: dict[str, Any] = {"state": {"running": {}}}
    assert (
        obstacles([pod("a", containerStatuses=[creating]), pod("b", containerStatuses=[running])], []) == []
    )
    crash = {"state": {"terminated": {"reason": "Error"}}}
    many = [pod(f"main-{n}", containerStatuses=[crash]) for n in range(1, 14)]
    told = obstacles(many, [{"message": "exceeded quota"}])
    assert told[10:] == ["And 3 more.", "The cluster refuses to make a pod: exceeded quota."]
