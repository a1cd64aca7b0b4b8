"""A pod's status says how its process stands, and is written only when it says something new."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.cluster.pod_status import Container, pod_status

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
RUNNING = Container(
    {"running": {"startedAt": "2026-11-25T11:59:00Z"}}, {}, started=True, ready=False, restarts=0
)
WAITING = Container({"waiting": {"reason": "ContainerCreating"}}, {}, started=False, ready=False, restarts=0)
CRASHED = WAITING._replace(last_state={"terminated": {"exitCode": 1}})


def report(
    container: Container, shown: dict[str, Any] | None = None, now: datetime = NOON
) -> dict[str, Any] | None:
    pod = {"spec": {"containers": [{"name": "worker", "image": "warmup"}]}, "status": shown or {}}
    return pod_status(pod, [container], address="127.1.0.1", node_address="127.1.0.254", now=now)


def conditions(status: dict[str, Any] | None) -> dict[str, tuple[str, str]]:
    assert status
    return {item["type"]: (item["status"], item["lastTransitionTime"]) for item in status["conditions"]}


def test_a_pod_is_pending_until_its_first_process() -> None:
    phases = [status["phase"] for container in (WAITING, RUNNING, CRASHED) if (status := report(container))]
    assert phases == ["Pending", "Running", "Running"]


def test_what_the_pod_shows_already_is_not_written_again() -> None:
    shown = report(RUNNING)
    assert shown
    shown["conditions"].insert(0, {"type": "PodScheduled", "status": "True"})
    shown["qosClass"] = "BestEffort"
    assert report(RUNNING, shown, NOON + timedelta(hours=1)) is None


def test_only_a_condition_that_turns_gets_a_new_time() -> None:
    later = report(RUNNING._replace(ready=True), report(RUNNING), NOON + timedelta(minutes=1))
    assert conditions(later) == {
        "Initialized": ("True", "2026-11-25T12:00:00Z"),
        "ContainersReady": ("True", "2026-11-25T12:01:00Z"),
        "Ready": ("True", "2026-11-25T12:01:00Z"),
    }


def test_a_condition_that_somebody_else_turned_is_put_right() -> None:
    shown = report(RUNNING._replace(ready=True))
    assert shown
    shown["conditions"][-1]["status"] = "False"  # as the node lifecycle controller does with a lost node
    assert conditions(report(RUNNING._replace(ready=True), shown))["Ready"][0] == "True"
