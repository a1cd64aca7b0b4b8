"""The steps of an installation on a real node, as the documents tell a person to take them, each with what was seen of it.

Nothing is judged here but that each comes to its end. The images of the upgrade are the same under another tag: the rollout
is real, the program no newer. The node's network plugin does not enforce NetworkPolicies: that they are taken and pick their
pods is all that is seen.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from demo import cluster
from demo.cluster import CHART, FLEET
from demo.progress import Progress
from demo.target import NAMESPACE, OPERATOR_NAMESPACE, OwnNode
from demo.window import soon
from tests.cluster import images
from tests.cluster.node import Node, NodeError
from tests.end_to_end.monitoring import SELECTED_BY, Monitoring, Target
from tests.end_to_end.notes import command
from tests.end_to_end.policies import TABLES, Guarded, guarded
from tests.end_to_end.watched import Watched, watch
from tests.waiting import until

T = TypeVar("T")

QUOTA = 72
"""Mails a mailbox and hour: four a second with the 200 of the example, each a second at the server."""
SCRAPED_SECONDS = 5
_SHARED = (
    "sum(warmup_worker_mailboxes) == scalar(max(warmup_fleet_mailboxes))"
    " and sum(warmup_worker_due) == scalar(max(warmup_fleet_mails_due))"
)
"""Each worker is scraped at a moment of its own: of two beside a flip one tells of before, one of after."""
ASKED = (
    _SHARED,
    "warmup_operator_fleets",
    "warmup_fleet_mailboxes",
    "warmup_worker_build_info",
    "sum(warmup_worker_mailboxes)",
    "sum(warmup_worker_due) - max(warmup_fleet_mails_due)",
    "count by (__name__) ({__name__=~'warmup_.+'})",
)
"""Of Prometheus, after the scale."""
HEALTHY = {"Ready": "True", "QuotaFeasible": "True", "DatabaseReachable": "True", "Degraded": "False"}
"""Conditions of a fleet in which nothing is wrong. A machine that stands still for seconds makes it say otherwise for moments."""
_POSTGRES = 5432
_PATIENCE = 240
"""Seconds for a step that takes ten on a machine with nothing else to do."""
RELEASE, MAIL = ("-n", OPERATOR_NAMESPACE), ("-n", NAMESPACE)
OPERATOR, WORKERS = "app.kubernetes.io/name=warmup-fleet", "app.kubernetes.io/name=warmup-worker"
OF_HELM, OF_OPERATOR = (f"app.kubernetes.io/managed-by={name}" for name in ("Helm", "warmup-fleet"))
_YESTERDAY = """
INSERT INTO quotas (day, mailbox_id, quota, spent, sent)
SELECT today.day - 1, id, 4, 4, 4 FROM mailboxes CROSS JOIN (SELECT max(day) AS day FROM quotas WHERE spent > 0) AS today
"""
"""What a day that went well leaves behind, so that the fleet has one."""
_KINDS = (
    *(
        "deployments",
        "statefulsets",
        "pods",
        "services",
        "serviceaccounts",
        "poddisruptionbudgets",
        "configmaps",
    ),
    *(
        "roles",
        "rolebindings",
        "clusterroles",
        "clusterrolebindings",
        "networkpolicies",
        "customresourcedefinitions",
    ),
)


class Installation:
    """On a node that is up. The load is steady from ``install`` on."""

    def __init__(self, node: Node, progress: Progress) -> None:
        self._node, self._progress = node, progress
        self.target = OwnNode(node)
        self._monitoring = Monitoring(node)
        self.accepted: dict[str, int] = {}
        """Mails that the server had accepted by the end of each step."""
        self._began = time.time()
        self._notes = ""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self._node.kubectl(*arguments, stdin=stdin)

    def _wait(self, *arguments: str) -> None:
        """`kubectl wait` and `kubectl rollout status`, with patience for a busy machine."""
        self._node.kubectl(*arguments, f"--timeout={_PATIENCE}s", timeout=_PATIENCE + 20)

    def count(self) -> int:
        """Mails that the server has accepted so far."""
        counting = 'grep -c \'"kind": "accepted"\' /log/events.jsonl || true'
        return int(self.kubectl("exec", *MAIL, "deploy/submission", "--", "sh", "-c", counting) or 0)

    def mails_flow(self, step: str) -> None:
        """Back when the server has accepted mails that it had not when this was called."""
        before = self.count()
        asyncio.run(until(lambda: self.count() > before, f"mails flow after {step}", _PATIENCE, pause=0.5))
        self.accepted[step] = self.count()

    def install(self) -> str:
        """As the README and the notes say; what `helm test` said."""
        with self._progress.step("the Prometheus operator"):
            self._monitoring.install_operator()
        with self._progress.step("helm install"):
            cluster.serve(self.target, seconds=1.0)
            monitors = {"enabled": True, "labels": SELECTED_BY}
            self._notes = cluster.install(
                self.target,
                serviceMonitor={**monitors, "interval": f"{SCRAPED_SECONDS}s"},
                prometheusRule=monitors,
                dashboard={"enabled": True},
            )
            self._monitoring.install_prometheus()
        with self._progress.step("the fleet, by the notes"):
            for name in ("postgres", "submission"):
                self._wait("rollout", "status", *MAIL, f"deploy/{name}")
            self._noted("kubectl create secret generic -n mail main-keys")
            # That it is a fleet which the API server takes; ours is the example's, for a day of an hour.
            self._noted("kubectl apply -f -", " --dry-run=server")
            self.kubectl("apply", "-f", "-", stdin=json.dumps(_manifest()))
            self._noted("kubectl wait -n mail warmupfleet/main")
            self._noted("kubectl exec -i", folder="examples")
            self._noted("kubectl describe warmupfleet -n mail main")
        with self._progress.step("helm test"):
            said = self._noted("helm test", " --logs")
        with self._progress.step("mails flow"):
            self._wait("wait", *MAIL, f"warmupfleet/{FLEET}", "--for=condition=Ready")
            self.mails_flow("install")
            yesterday = ("python", "-m", "demo.postgres", "query", _YESTERDAY)
            self.kubectl("exec", *MAIL, "deploy/postgres", "--", *yesterday)
        return said

    def _noted(self, start: str, flag: str = "", folder: str = ".") -> str:
        """Run the command of the notes that begins so, with a ``flag`` after that."""
        typed = command(self._notes, start)
        return self._node.exec("bash", "-c", f"cd {folder} && {start}{flag}{typed.removeprefix(start)}")

    def found(self) -> list[Target]:
        """By Prometheus, of what the chart installed."""
        with self._progress.step("Prometheus"):
            self._monitoring.wait()
            return _at_last(self._monitoring.targets, self._all_scraped)

    def _all_scraped(self, targets: list[Target]) -> bool:
        """Whether Prometheus has found every pod of ours, and its last look at each was answered."""
        pods = self.names("pods", *MAIL, "-l", WORKERS), self.names("pods", *RELEASE, "-l", OPERATOR)
        return len(targets) == sum(map(len, pods)) and all(it.health == "up" for it in targets)

    def watched(self) -> Watched:
        """By Prometheus, so far."""
        with self._progress.step("Prometheus"):
            self._monitoring.reload()
            found = json.loads(
                self.kubectl("get", "configmap", *RELEASE, "warmup-fleet-dashboard", "-o", "json")
            )
            dashboard = json.loads(found["data"]["warmup-fleet.json"])
            # Moments after a resize a mailbox may still have a mail in flight at its owner of before. The operator sees its end
            # with its next look, Prometheus with its next scrape, the alert with its next evaluation: half a minute each.
            return _at_last(
                lambda: watch(self._monitoring, dashboard, ASKED, self._began, time.time(), SCRAPED_SECONDS),
                lambda seen: bool(seen.series[_SHARED]) and seen.quiet and self._all_scraped(seen.targets),
            )

    def conditions(self) -> dict[str, str]:
        return _at_last(self._conditions, lambda found: HEALTHY.items() <= found.items())

    def _conditions(self) -> dict[str, str]:
        fleet = json.loads(self.kubectl("get", "warmupfleet", *MAIL, FLEET, "-o", "json"))
        return {it["type"]: it["status"] for it in fleet["status"]["conditions"]}

    def upgrade(self) -> dict[str, set[str]]:
        """To images of another tag, and to an operator that is confined to one namespace; the images of the pods then."""
        with self._progress.step("helm upgrade"):
            new = {name: self._retagged(name) for name in ("warmup-operator", "warmup-worker")}
            repository, _, tag = new["warmup-operator"].rpartition(":")
            self._node.helm(
                *("upgrade", "warmup-fleet", str(CHART), *RELEASE, "--reset-then-reuse-values"),
                *("--wait", "--timeout", f"{_PATIENCE}s"),
                *cluster.settings(
                    image={"repository": repository, "tag": tag}, workerImage=new["warmup-worker"]
                ),
                *cluster.settings(watchNamespaces=[NAMESPACE], networkPolicy={"enabled": True}),
            )
            self.mails_flow("operator")
            return self._rolled_out(new["warmup-worker"], "upgrade")

    def roll_back(self) -> dict[str, set[str]]:
        """To the first revision, its images and its operator of the whole cluster; the images of the pods then."""
        with self._progress.step("helm rollback"):
            self._node.helm("rollback", "warmup-fleet", "1", *RELEASE, "--wait", "--timeout", f"{_PATIENCE}s")
            return self._rolled_out(images.reference("warmup-worker"), "rollback")

    def _rolled_out(self, worker: str, step: str) -> dict[str, set[str]]:
        """Back when the workers run this image; the images of the pods then."""
        image = f"--for=jsonpath={{.spec.template.spec.containers[0].image}}={worker}"
        self._wait("wait", *MAIL, f"statefulset/{FLEET}", image)
        self._wait("rollout", "status", *MAIL, f"statefulset/{FLEET}")
        self.mails_flow(step)
        return {
            "operator": self._images(*RELEASE, "-l", OPERATOR),
            "worker": self._images(*MAIL, "-l", WORKERS),
        }

    def _retagged(self, name: str) -> str:
        """Another name of an image, which the node then knows, too."""
        old, new = images.reference(name), images.reference(name).replace(":dev", ":next")
        containers = ("ctr", f"--address={self._node.directory}/containerd.sock", "--namespace=k8s.io")
        self._node.exec(*containers, "images", "tag", old, new)
        return new

    def _images(self, *selected: str) -> set[str]:
        found = json.loads(self.kubectl("get", "pods", *selected, "-o", "json"))["items"]
        return {
            it["spec"]["containers"][0]["image"] for it in found if "deletionTimestamp" not in it["metadata"]
        }

    def guarded(self) -> dict[str, Guarded]:
        """Each NetworkPolicy, as NAMESPACE/NAME, and what the pods that it picks do."""
        with self._progress.step("NetworkPolicies"):
            asyncio.run(until(self._none_leaves, "no pod is on its way out", _PATIENCE, pause=0.5))
            return _at_last(
                self._guarded, lambda found: all(_POSTGRES in it.reached for it in found.values())
            )

    def _none_leaves(self) -> bool:
        pods = [
            pod
            for namespace in (RELEASE, MAIL)
            for pod in json.loads(self.kubectl("get", "pods", *namespace, "-o", "json"))["items"]
        ]
        return not any("deletionTimestamp" in pod["metadata"] for pod in pods)

    def _guarded(self) -> dict[str, Guarded]:
        found = {}
        for policy in json.loads(self.kubectl("get", "networkpolicies", "-A", "-o", "json"))["items"]:
            name, namespace = policy["metadata"]["name"], policy["metadata"]["namespace"]
            labels = policy["spec"]["podSelector"]["matchLabels"]
            selector = ",".join(f"{key}={value}" for key, value in labels.items())
            pods = self.names("pods", "-n", namespace, "-l", selector)
            # A kernel without IPv6 has one of the tables.
            there = ("sh", "-c", f"cat {' '.join(TABLES)} 2>/dev/null || true")
            tables = {pod: self.kubectl("exec", "-n", namespace, pod, "--", *there) for pod in pods}
            found[f"{namespace}/{name}"] = guarded(policy["spec"], tables)
        return found

    def scale(self) -> list[str]:
        """To three workers, by kubectl; their pods."""
        with self._progress.step("kubectl scale --replicas=3"):
            self.kubectl("scale", *MAIL, f"warmupfleet/{FLEET}", "--replicas=3")
            three = "--for=jsonpath={.status.workers.ready}=3"
            self._wait("wait", *MAIL, f"warmupfleet/{FLEET}", three)
            self._wait("wait", *MAIL, f"warmupfleet/{FLEET}", "--for=condition=Resizing=False")
            self._wait("rollout", "status", *MAIL, f"statefulset/{FLEET}")
            self.mails_flow("scale")
        return self.names("pods", *MAIL, "-l", WORKERS)

    def behind(self) -> int:
        """As the status has it, once nothing is behind or after a while."""
        figure = ("get", "warmupfleet", *MAIL, FLEET, "-o", "jsonpath={.status.today.behind}")
        return _at_last(lambda: int(self.kubectl(*figure)), lambda behind: behind == 0)

    def uninstall(self) -> str:
        with self._progress.step("helm uninstall"):
            said = self._node.helm("uninstall", "warmup-fleet", *RELEASE, "--wait")
            self._wait("wait", *RELEASE, "--for=delete", "pod", "-l", OPERATOR)
            self.mails_flow("uninstall")
        return said

    def again(self) -> dict[str, str]:
        """What Helm would say to an install over what is left.

        Of the same name, of another, of one that may take what is there, and of one that does without the CRD.
        """
        here, elsewhere = ("warmup-fleet", str(CHART), *RELEASE), ("other", str(CHART), "-n", "default")
        said = {}
        ways = {
            "same": here,
            "other": elsewhere,
            "taking": (*elsewhere, "--take-ownership"),
            "without": (*elsewhere, *cluster.settings(crd={"install": False})),
        }
        for name, words in ways.items():
            try:
                said[name] = self._node.helm("install", *words, "--dry-run=server")
            except NodeError as error:
                said[name] = str(error)
        return said

    def end(self) -> None:
        """The fleet, without an operator."""
        with self._progress.step("kubectl delete warmupfleet"):
            self._noted("kubectl delete warmupfleet")
            gone = (
                "--for=delete",
                "statefulset,pod,service,poddisruptionbudget,serviceaccount",
                "-l",
                OF_OPERATOR,
            )
            self._wait("wait", *MAIL, *gone)

    def names(self, *selected: str) -> list[str]:
        return sorted(self.kubectl("get", *selected, "-o", "name").split())

    def all(self, label: str) -> list[str]:
        """Objects with a label, in every namespace."""
        return self.names(",".join(_KINDS), "-A", "-l", label)


def _at_last(look: Callable[[], T], holds: Callable[[T], bool], seconds: float = _PATIENCE) -> T:
    """What is seen once that holds, or after a while: that it does is for the tests to judge."""
    seen: list[T] = []

    def looked() -> bool:
        seen[:] = [look()]
        return holds(seen[0])

    with contextlib.suppress(AssertionError):
        asyncio.run(until(looked, "it holds", seconds, pause=1.0))
    return seen[0]


def _manifest() -> dict[str, Any]:
    """The example's, with an hour for its day that has just begun."""
    window = soon(datetime.now(UTC), timedelta(0), timedelta(hours=1))
    manifest = cluster.manifest_in(window)
    manifest["spec"]["emailsPerMailboxPerDay"] = QUOTA
    return manifest
