"""`cluster.node(NAME).cni`: CNI by hand on a node of the cluster, on its real links, rules and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..cni import INSTALLED, CniRuntime, NetworkList, Operation, Runtime
from ..cni.live import LiveHost
from ..errors import KubenetError, NotFound
from ..kernel.network import Network
from ..kernel.shell import Shell
from ..objects.views import Pod
from .edits import Edit, HandEdit
from .networks import Disk, container_id
from .node_disk import ALLOCATED

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["CniEdit", "forget", "node_cni"]


@dataclass(frozen=True, slots=True)
class CniEdit:
    """An ADD, DEL or GC that somebody ran by hand. `before` is the node's disk as it was, `changed` {path: (content before, after)}.

    Made again on a rebuilt network with the disk of that time, so it gives the same addresses, whatever was given since.
    """

    namespace: str
    operation: Operation
    conf: NetworkList | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict, repr=False)
    changed: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict, repr=False)
    door: str = "cni"

    @property
    def command(self) -> str:
        return self.operation.title

    def __str__(self) -> str:
        return f"CNI on {self.namespace}: {self.command}"

    def again(self, network: Network) -> None:
        """Raises KubenetError if it went well then and does not now."""
        o, a, conf = self.operation, self.arguments, self.conf
        if conf is None:  # the pod's namespace was taken away
            network.remove_namespace(a["netns"])
            return
        runtime = Runtime(LiveHost(network, self.namespace, INSTALLED, dict(self.before)))
        try:
            if o.command == "ADD":
                if a["netns"] not in network.namespaces:
                    network.add_namespace(self.namespace, a["netns"], f"Pod {a['pod']}").label = a["pod"]
                runtime.add(conf, o.container_id, a["netns"], o.ifname, a["args"], a["capabilities"])
            elif o.command == "DEL":
                netns = a["netns"] if a["netns"] in network.namespaces else ""
                runtime.delete(conf, o.container_id, netns, o.ifname, a["args"], a["capabilities"])
            else:
                runtime.gc(conf, a["valid"])
        except KubenetError:
            if o.error is None:
                raise


def node_cni(cluster: Cluster, node: str) -> CniRuntime:
    """The runtime on one node. What it changes is recorded as a hand edit, and kept on the node's disk."""
    if node in cluster.runtimes:
        return cluster.runtimes[node]

    def naming(pod: str) -> tuple[str, str]:
        namespace, slash, name = pod.partition("/")
        if not slash:
            return pod, f"pod:{pod}"
        found = cluster.snapshot().get(Pod, name, namespace)
        if found is None or found.spec.node_name != node or found.spec.host_network:
            pods = [p.key for p in cluster.snapshot().list(Pod) if p.spec.node_name == node and not p.spec.host_network]
            raise NotFound(f"pod with a network of its own on {node}", pod, pods)
        return container_id(found), f"pod:{found.key}"

    def shell(id: str, command: str, stdin: str) -> str:
        if id == node:
            return cluster.node(node).run(command, stdin)
        if "/" in id:
            return cluster.pod(id.removeprefix("pod:")).run(command, stdin)
        run = Shell(cluster.walkable(), cluster.state, id, frames=cluster.capture)
        try:
            return run.run(command, stdin=stdin)
        finally:
            cluster.capture = run.frames
            if run.changed:
                cluster.record(Edit(id, command, stdin))

    def done(operation: Operation | None, conf: NetworkList | None, arguments: Mapping[str, Any], before: Mapping[str, str]) -> None:
        disk = cluster.live_host(node).disk
        changed = {p: (before.get(p), disk.get(p)) for p in {*before, *disk} if before.get(p) != disk.get(p)}
        if operation is not None and (operation.changes or changed or conf is None):
            cluster.record(CniEdit(node, operation, conf, arguments, before, changed))

    cluster.runtimes[node] = CniRuntime(lambda: cluster.live_host(node), naming=naming, shell=shell, done=done)
    return cluster.runtimes[node]


def forget(edits: Sequence[HandEdit], disks: Mapping[str, Disk], written: Callable[[], Mapping[str, Mapping[str, str]]]) -> None:
    """Take back what hand edits left on the nodes' disks, the last one first. `written`: what agents and plugins put there themselves."""
    for e in reversed(edits):
        if not isinstance(e, CniEdit):
            continue
        disk = disks.get(e.namespace, {})
        for path, (before, after) in e.changed.items():
            if disk.get(path) != after:
                continue  # somebody else has been there since
            ours = not path.startswith(ALLOCATED) and written().get(e.namespace, {}).get(path) == before
            if before is None or ours:
                disk.pop(path, None)
            else:
                disk[path] = before
