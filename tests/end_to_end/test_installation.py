"""An installation from `helm install` to the end of its fleet, on a real node, judged by the mail server's own log."""

from collections import Counter

import pytest

from demo.accounting import account
from demo.target import NAMESPACE, OPERATOR_NAMESPACE
from tests.end_to_end.installation import HEALTHY, QUOTA
from tests.end_to_end.life import Life
from warmup_core.types import MailState

pytestmark = pytest.mark.node

CRD = "customresourcedefinition.apiextensions.k8s.io/warmupfleets.warmupfleet.io"


def test_nothing_is_lost_and_nothing_sent_twice(life: Life) -> None:
    """Through three rollouts, a resize, the operator's end and the fleet's own."""
    # A claim that grew too old before its mail was begun is a row that failed, and another row stands for the mail.
    rows = Counter(row.sender for row in life.ledger if row.state is not MailState.FAILED)
    drawn = account(life.log, life.ledger, rows)
    assert drawn.discrepancies == ()
    assert (drawn.duplicates, drawn.lost, drawn.in_doubt) == (0, 0, 0)
    assert drawn.sent == len(life.log) == rows.total()
    assert drawn.workers == 3
    assert max(rows.values()) <= QUOTA


def test_mails_flow_through_every_step(life: Life) -> None:
    steps = ["install", "operator", "upgrade", "scale", "rollback", "uninstall"]
    assert list(life.accepted) == steps
    counts = [life.accepted[step] for step in steps]
    assert counts == sorted(set(counts)), life.accepted
    assert life.behind == 0


def test_a_fleet_is_ready_and_the_release_tests_itself(life: Life) -> None:
    assert HEALTHY.items() <= life.conditions.items()
    assert "the operator is ready: ok" in life.helm_test


@pytest.mark.parametrize("kind", ["operator", "worker"])
def test_an_upgrade_and_a_rollback_reach_every_pod(life: Life, kind: str) -> None:
    image = f"localhost/warmup-{kind}"
    assert (life.upgraded[kind], life.rolled_back[kind]) == ({f"{image}:next"}, {f"{image}:dev"})


def test_kubectl_scales_it(life: Life) -> None:
    assert life.workers == ["pod/main-1", "pod/main-2", "pod/main-3"]


def test_policies_let_through_what_the_pods_do(life: Life) -> None:
    """That they are enforced cannot be seen here: the node's network plugin does not."""
    operator = life.guarded[f"{OPERATOR_NAMESPACE}/warmup-fleet"]
    workers = life.guarded[f"{NAMESPACE}/warmup-fleet-workers"]
    assert [pod.rsplit("-", 2)[0] for pod in operator.pods] == ["pod/warmup-fleet"]
    assert workers.pods == ["pod/main-1", "pod/main-2"]
    for guarded, listened in ((operator, {8080}), (workers, {3000})):
        assert 5432 in guarded.reached
        assert guarded.reached <= guarded.let_out
        assert guarded.listened == guarded.let_in == listened


def test_an_uninstall_leaves_the_crd_and_the_fleet_at_work(life: Life) -> None:
    assert life.left_by_helm == [CRD]
    assert "warmupfleets.warmupfleet.io" in life.said
    assert life.left_of_fleet == [
        "pod/main-1",
        "pod/main-2",
        "pod/main-3",
        "poddisruptionbudget.policy/main-workers",
        "service/main-workers",
        "serviceaccount/main-workers",
        "statefulset.apps/main",
    ]


def test_another_install_takes_over_what_is_left(life: Life) -> None:
    assert "DESCRIPTION: Dry run complete" in life.again["same"]
    assert "invalid ownership metadata" in life.again["other"]
    assert "DESCRIPTION: Dry run complete" in life.again["taking"]
    assert "DESCRIPTION: Dry run complete" in life.again["without"]


def test_a_fleet_ends_without_an_operator(life: Life) -> None:
    assert life.left_at_last == [CRD]
