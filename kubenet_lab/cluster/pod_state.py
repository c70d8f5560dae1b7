"""`set_pod`: what a kubelet or a deletion changes of one pod: ready or not, terminating, serving while it terminates.

Source: Kubernetes 1.34, staging/src/k8s.io/endpointslice/utils.go (podToEndpoint): serving is the pod's Ready condition,
terminating its deletionTimestamp, ready is serving and not terminating. KEP-1672.
"""

from __future__ import annotations

from typing import Any

from ..errors import KubenetError, NotFound
from ..objects.snapshot import Snapshot
from ..objects.status import with_deletion, with_ready
from ..objects.store import Store
from ..objects.views import Pod
from .names import party, siblings

__all__ = ["changed_pod"]


def changed_pod(
    snapshot: Snapshot, store: Store, key: str, now: float, ready: bool | None, terminating: bool | None, serving: bool | None
) -> dict[str, Any]:
    """The pod's document after the change. Of a workload: the first pod that is not so yet. Raises KubenetError, NotFound."""
    for name, value in (("ready", ready), ("terminating", terminating), ("serving", serving)):
        if value is not None and not isinstance(value, bool):
            raise KubenetError(f"{name}: found {value!r}, expected True or False")
    if ready is None and terminating is None and serving is None:
        raise KubenetError("set_pod: nothing to set; give ready=, terminating= or serving=")
    who = party(snapshot, key).pod
    if who is None:
        raise NotFound("pod", key, [p.key for p in snapshot.list(Pod)])
    wanted = serving if ready is None else ready

    def is_so(pod: Pod) -> bool:
        ends = pod.metadata.deletion_timestamp is not None
        return (wanted is None or pod.ready == wanted) and (terminating is None or ends == terminating)

    if is_so(who) and isinstance(key, str) and who.key != key.removeprefix("pod/"):
        who = next((p for p in siblings(snapshot, key, who) if not is_so(p) and p.ips), who)
    ends = who.metadata.deletion_timestamp is not None
    if terminating is False and ends:
        raise KubenetError(f"pod {who.key} is being deleted, and a deletion is not taken back; delete it, or let its workload make another")
    if ready is True and (terminating or ends):
        raise KubenetError(
            f"pod {who.key} terminates: it is not a ready endpoint, whatever its probe says; serving=True lets the probe succeed"
        )
    if ready is not None and serving is not None and ready != serving and not (terminating or ends):
        raise KubenetError("ready and serving: they are the same condition until a pod terminates")
    document = store.document("Pod", who.key)
    if (condition := ready if serving is None else serving) is not None:
        document = with_ready(document, condition, at=now)
    if terminating and not ends:
        document = with_deletion(document, at=now)
    return document
