"""The Prometheus operator and a Prometheus in a node, as a cluster has them, and questions to that Prometheus.

Owns the namespace `monitoring`. Invariant: nothing here knows of the chart but the label by which its monitors are selected.
Failure: `NodeError` with what kubectl or Prometheus said.
"""

import asyncio
import base64
import gzip
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import yaml

from tests.cluster import images, programs
from tests.cluster.node import Node
from tests.waiting import until

Question = tuple[str, Sequence[tuple[str, str]]]
"""A path below /api/v1 and its parameters."""
IMAGES = (images.PROMETHEUS, images.PROMETHEUS_OPERATOR)
SELECTED_BY = {"release": "prometheus"}

_HERE = Path(__file__).parent
_PREFIX = "monitoring.coreos.com_"
# Those that the operator needs to serve a Prometheus.
_KINDS = ("podmonitors", "probes", "prometheuses", "prometheusrules", "scrapeconfigs", "servicemonitors")
_POD = ("-n", "monitoring", "pod/prometheus-main-0")
_CONFIGURATION = ("-n", "monitoring", "secret/prometheus-main")
# Beside the node: its pods are reached from nowhere else.
_ASK = """
import json, sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
answers = []
for path in json.load(sys.stdin):
    try:
        with opener.open(sys.argv[1] + path, timeout=60) as answer:
            answers.append(json.load(answer)["data"])
    except urllib.error.HTTPError as error:
        sys.exit(f"{path}: {error.read().decode()}")
json.dump(answers, sys.stdout)
"""


class Target(NamedTuple):
    """What is scraped."""

    namespace: str
    pod: str
    """Its name without the part that a Deployment draws."""
    health: str


class Monitoring:
    """``install_operator``, then whatever is to be watched, then ``install_prometheus``: its first configuration has it all.

    A change of the configuration of a Prometheus that runs reaches it with the kubelet's next look at its volumes, which may
    take more than a minute, or with ``reload``.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._url = ""

    def install_operator(self) -> None:
        """The kinds and the operator; back before its pod is ready."""
        definitions = programs.definitions()
        files = [f"--filename={definitions}/{_PREFIX}{kind}.yaml" for kind in _KINDS]
        # From the server's side: client-side apply would keep a copy of each in an annotation, which has no room for it.
        self._node.kubectl("apply", "--server-side", *files)
        # What is applied too early after its kind is refused, and Helm does not ask again.
        self._node.kubectl("wait", "--for=condition=Established", *files, "--timeout=240s")
        self._node.kubectl("apply", f"--filename={_HERE}/monitoring.yaml")

    def install_prometheus(self) -> None:
        """A Prometheus; back before its pod is there."""
        self._node.kubectl("apply", f"--filename={_HERE}/prometheus.yaml")

    def wait(self) -> None:
        """Until Prometheus answers."""
        available = ("prometheus/main", "--for=condition=Available", "--timeout=240s")
        self._node.kubectl("wait", "-n", "monitoring", *available, timeout=260)
        address = self._node.kubectl("get", *_POD, "--output=jsonpath={.status.podIP}")
        self._url = f"http://{address}:9090/api/v1/"

    def ask(self, *questions: Question) -> list[Any]:
        """The answers of Prometheus' API."""
        paths = [f"{path}?{urlencode(parameters)}" for path, parameters in questions]
        return list(
            json.loads(self._node.exec(sys.executable, "-c", _ASK, self._url, stdin=json.dumps(paths)))
        )

    def targets(self) -> list[Target]:
        """All that is scraped, in order."""
        [found] = self.ask(("targets", [("state", "active")]))
        return sorted(map(_target, found["activeTargets"]))

    def reload(self) -> None:
        """Have the kubelet look at Prometheus' volumes until Prometheus scrapes what the monitors say."""
        asyncio.run(until(self._reloaded, "Prometheus has its configuration", pause=2.0))

    def _reloaded(self) -> bool:
        # Each time: the operator may write the configuration after the kubelet has looked.
        self._node.kubectl("annotate", "--overwrite", *_POD, f"looked-at={time.time()}")
        [status] = self.ask(("status/config", []))
        text = self._node.kubectl("get", *_CONFIGURATION, "--output=jsonpath={.data.prometheus\\.yaml\\.gz}")
        wanted = yaml.safe_load(gzip.decompress(base64.b64decode(text)))
        running = yaml.safe_load(status["yaml"])
        return _jobs(running) == _jobs(wanted)


def _jobs(configuration: dict[str, Any]) -> dict[str, Any]:
    """Where each job looks for targets."""
    return {
        job["job_name"]: [it.get("namespaces", {}).get("names") for it in job["kubernetes_sd_configs"]]
        for job in configuration["scrape_configs"]
    }


def _target(target: dict[str, Any]) -> Target:
    pod = re.sub(r"-[0-9a-f]+-\w{5}$", "", target["labels"]["pod"])
    return Target(target["discoveredLabels"]["__meta_kubernetes_namespace"], pod, target["health"])
