"""The life of one installation on a real node, and what was seen of it.

Install by Helm with the Prometheus operator in the cluster, a fleet under a steady load, an upgrade to another image, a scale,
a rollback, the uninstall, and the end of the fleet after that. The tests judge what ``lead`` answers.
"""

from dataclasses import dataclass

from demo import cluster
from demo.accounting import Acceptance, LedgerMail
from tests.end_to_end.installation import OF_HELM, OF_OPERATOR, Installation
from tests.end_to_end.monitoring import Target
from tests.end_to_end.policies import Guarded
from tests.end_to_end.watched import Watched


@dataclass(frozen=True)
class Life:
    """What was seen. Objects are named ``kind.group/name`` as kubectl does."""

    helm_test: str
    """What `helm test` printed."""
    conditions: dict[str, str]
    """Of the fleet, before the upgrade."""
    upgraded: dict[str, set[str]]
    """Images of the operator and of the workers after the upgrade."""
    rolled_back: dict[str, set[str]]
    """The same after the rollback."""
    accepted: dict[str, int]
    """Mails that the server had accepted by the end of each step."""
    guarded: dict[str, Guarded]
    """By each NetworkPolicy, after the upgrade."""
    workers: list[str]
    """Their pods after the scale."""
    found: list[Target]
    """By Prometheus before the upgrade, when the operator served the whole cluster."""
    watched: Watched
    """By Prometheus after the scale."""
    behind: int
    """Mails that should have been sent before the uninstall and were not."""
    said: str
    """What `helm uninstall` said."""
    again: dict[str, str]
    """What Helm would say to another install after it."""
    left_by_helm: list[str]
    left_of_fleet: list[str]
    """Objects there after the uninstall."""
    left_at_last: list[str]
    """Objects of Helm and of the operator that are there after the fleet's end."""
    log: list[Acceptance]
    ledger: list[LedgerMail]


def lead(installation: Installation) -> Life:
    """From the first step to the last."""
    helm_test = installation.install()
    conditions = installation.conditions()
    found = installation.found()
    upgraded = installation.upgrade()
    guarded = installation.guarded()
    workers = installation.scale()
    watched = installation.watched()
    rolled_back = installation.roll_back()
    behind = installation.behind()
    said = installation.uninstall()
    again = installation.again()
    left = {label: installation.all(label) for label in (OF_HELM, OF_OPERATOR)}
    installation.end()
    return Life(
        helm_test=helm_test,
        conditions=conditions,
        upgraded=upgraded,
        rolled_back=rolled_back,
        accepted=installation.accepted,
        guarded=guarded,
        workers=workers,
        found=found,
        watched=watched,
        behind=behind,
        said=said,
        again=again,
        left_by_helm=left[OF_HELM],
        left_of_fleet=left[OF_OPERATOR],
        left_at_last=installation.all(OF_HELM) + installation.all(OF_OPERATOR),
        log=cluster.accepted(installation.target),
        ledger=cluster.ledger(installation.target),
    )
