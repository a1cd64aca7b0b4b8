"""docs/quickstart.md and the README as a newcomer types them, block by block, on a real API server.

What a cluster has beside it is here too: the operator's container as a process with its ServiceAccount's rights, and a kubelet
whose workers are real processes. Replaced is what the page says that a reader replaces, and nothing else.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster import processes, programs
from tests.cluster.control_plane import TEST_KUBELET, ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.integration.fleet.sending import pod_environment
from tests.pages import ROOT, blocks, run
from tests.ports import free_port
from tests.postgres.server import Postgres
from tests.submission.accounts import table
from tests.submission.server import Submission
from tests.waiting import minding, until

NOT_RUN = {
    "README.md": ["`make demo` has a test of its own (tests/end_to_end), `make test` is the suite itself"],
    "docs/quickstart.md": [
        "kubectl exec needs a real node; the test's `warmup` is the same command, beside the operator"
    ],
}
ON_ONE_MACHINE = "make try"
"""Begins the blocks that tests/end_to_end/test_try.py runs."""
FLEETS = "/apis/warmupfleet.io/v1alpha1/warmupfleets"
PASSWORDS = {"ann@tea.example": "her-app-password", "ben@coffee.example": "his-app-password"}


@pytest.mark.parametrize("page", NOT_RUN)
def test_what_is_not_run_says_why(page: str) -> None:
    assert [it.reason for it in blocks(page) if it.reason] == NOT_RUN[page]
    assert run(page)


def test_what_runs_on_one_machine_is_the_same_in_both() -> None:
    [said], [also] = (
        [it for it in run(page) if it.startswith(ON_ONE_MACHINE)]
        for page in ("README.md", "docs/quickstart.md")
    )
    assert said.split("#")[0].strip() == also.strip() == ON_ONE_MACHINE
    assert run("README.md") == [said]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane on which nobody has installed anything."""
    programs.ensure("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "helm")
    with ControlPlane(tmp_path / "control-plane") as running:
        yield running


@pytest.fixture
async def submission() -> AsyncIterator[Submission]:
    async with Submission(table(PASSWORDS), names=("localhost",)) as server:
        yield server


class Desk:
    """A newcomer's terminal, in a checkout: kubectl and helm at hand, and the operator's `warmup`."""

    def __init__(self, folder: Path, cluster: ControlPlane, replaced: dict[str, str]) -> None:
        self.folder, self._cluster, self._replaced = folder, cluster, replaced
        folder.mkdir()
        (folder / "helm").symlink_to(ROOT / "helm")
        programs_folder = programs.ensure("kubectl", "helm")
        self._environment = {
            "PATH": f"{programs_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HOME": str(folder),
            "KUBECONFIG": str(cluster.kubeconfig),
        }

    async def type(self, block: str) -> str:
        """Run a block as it stands, but for what is replaced; what it said."""
        for theirs, ours in self._replaced.items():
            block = block.replace(theirs, ours)
        shell = await asyncio.create_subprocess_exec(
            "bash", "-euc", block, cwd=self.folder, env=self._environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, error = await asyncio.wait_for(shell.communicate(), 400)
        assert shell.returncode == 0, f"{block}\n{out.decode()}\n{error.decode()}"
        return out.decode()

    def start_operator(self, stack: ExitStack) -> None:
        """What the operator's container would be."""
        log = self.folder / "operator.log"
        rights = self._cluster.kubeconfig_of_service_account("warmup-system", "warmup-fleet")
        environment = {
            **self._environment,
            "KUBECONFIG": str(rights),
            "WARMUP_LISTEN": f"127.0.0.1:{free_port()}",
            "WARMUP_OPERATOR_NAMESPACE": "warmup-system",
            "WARMUP_IDLE_SECONDS": "2",
        }
        operator = processes.start(
            [sys.executable, "-m", "warmup_operator"], log=log, environment=environment
        )
        stack.callback(processes.stop, operator, 10)
        stack.enter_context(
            minding(lambda: processes.last_lines(log) if operator.poll() is not None else None)
        )


async def test_the_quick_start_from_helm_to_the_first_mail_and_away_again(
    cluster: ControlPlane, postgres: Postgres, submission: Submission, tmp_path: Path
) -> None:
    """Also field-036: at the end the operator is gone first, and the namespace goes with its fleet and workers all the same."""
    url = postgres.url(await postgres.create_empty("quickstart"))
    replaced = {
        "postgresql://USER:PASSWORD@HOST:5432/DATABASE": url,
        "smtp.example.com,587": f"localhost,{submission.port}",
        "10.0.0.0/8": "127.0.0.0/8",
    }
    page = [it for it in run("docs/quickstart.md") if not it.startswith(ON_ONE_MACHINE)]
    assert all(any(theirs in block for block in page) for theirs in replaced)
    desk = Desk(tmp_path / "checkout", cluster, replaced)
    (desk.folder / "ca.crt").write_bytes(submission.authority.pem)

    install, *blocks_between, watch, leave = page
    kubeconfig = cluster.kubeconfig_of(TEST_KUBELET)
    pods = pod_environment()
    async with (
        Kubelet(kubeconfig, tmp_path / "system", "warmup-system", node="system-node"),
        Kubelet(kubeconfig, tmp_path / "pods", "mail", environment=pods, node="mail-node"),
    ):
        with ExitStack() as stack:
            await desk.type(install)
            desk.start_operator(stack)
            # Who types takes seconds from block to block; a kind that has just been made is not served at once.
            await until(lambda: cluster.exists(FLEETS), "the API server has the kind")
            for block in blocks_between:
                said = await desk.type(block)
            assert "2 added" in said
            await until(
                lambda: {it.mail_from for it in submission.journal.accepted} == PASSWORDS.keys(),
                "a mail of each",
                180,
            )
            said = await desk.type(watch)
            heading, fleet, *_ = (line for line in said.splitlines() if not line.startswith("warmupfleet"))
            assert heading.split()[0] == "NAME"
            assert fleet.split()[0] == "main"
            assert all(address in said for address in PASSWORDS)
        await desk.type(leave)
    assert cluster.request("GET", FLEETS)["items"] == []
