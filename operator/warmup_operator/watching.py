"""How kopf is reduced to watching: no events, no annotations, no finalizers, no look at other kinds or namespaces.

A watch that is silent too long is opened anew. Of the cluster's StatefulSets only those of fleets are sent to us.
"""

import kopf

from warmup_core.types import GROUP
from warmup_operator.resources import MANAGED_BY, MANAGER


def configure(settings: kopf.OperatorSettings, silence_seconds: float) -> None:
    """Set kopf up, at its start. ``silence_seconds``: how long a watch may bring nothing."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.inactivity_timeout = silence_seconds
    settings.watching.label_selectors["apps", "v1", "statefulsets"] = f"{MANAGED_BY}={MANAGER}"
    # Never written, as there is no handler that needs them; named all the same, lest they be somebody else's.
    settings.persistence.finalizer = f"{GROUP}/never-set"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
