"""kopf's handlers: each wakes a loop and does nothing else. No timers, daemons, finalizers or annotations.

So deleting a fleet waits for the operator only where its policy is Purge (see ``ending``). ``memo`` comes from ``__main__``:
``loops`` is the one ``Loops`` of the process, ``silence_seconds`` how long a watch may be silent.
"""

from typing import Any

import kopf

from warmup_core.types import GROUP, PLURAL, VERSION
from warmup_operator import watching
from warmup_operator.resources import INSTANCE, MANAGED_BY, MANAGER


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Reduce kopf to watching."""
    watching.configure(settings, memo.silence_seconds)


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """End the loops."""
    await memo.loops.stop()


@kopf.on.login()
def log_in(**options: Any) -> kopf.ConnectionInfo | None:
    """The same credentials as ``kube.connect``: a kubeconfig where there is one, else the pod's account."""
    return kopf.login_with_kubeconfig(**options) or kopf.login_with_service_account(**options)


@kopf.on.event(GROUP, VERSION, PLURAL)
async def fleet_changed(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """A fleet was made, changed or deleted."""
    memo.loops.heard(event["object"], deleted=event["type"] == "DELETED")


@kopf.on.event("apps", "v1", "statefulsets", labels={MANAGED_BY: MANAGER, INSTANCE: kopf.PRESENT})
async def workers_changed(namespace: str | None, labels: kopf.Labels, memo: kopf.Memo, **_: Any) -> None:
    """A fleet's StatefulSet was changed by somebody, or its pods came or went."""
    memo.loops.wake(namespace or "", labels[INSTANCE], known_only=True)
