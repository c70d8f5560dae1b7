"""`Machine`: where a program runs: its names, its resolver, and the questions it may ask. `files_of`: what stands on its disk."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...dns import ResolvConf, hosts_file, parse_resolv_conf
from ...dns.hosts_file import NODE_HOSTS, hosts_entries, pod_hostname
from ...dns.message import Edns, Response
from ...dns.resolver import Call, SentQuery
from ...kernel.pcap import frames_of
from ...kernel.shell import Files, Terminal
from ...objects.views import Pod
from ..node_disk import beneath
from ..request import request
from ..world import stub_resolve

if TYPE_CHECKING:
    from ...dns import Resolution
    from ...trace import Trace
    from ..cluster import Cluster
    from ..names import Party
    from ..views import NodeView, PodView

__all__ = ["Machine", "canonical_name", "files_of"]


@dataclass(frozen=True, slots=True)
class Machine:
    """A node or a pod. What its programs ask is live: it leaves its marks."""

    cluster: Cluster
    view: NodeView | PodView

    @property
    def pod(self) -> Pod | None:
        return getattr(self.view, "object", None)

    @property
    def hostname(self) -> str:
        return pod_hostname(self.pod)[0] if self.pod is not None and not self.pod.spec.host_network else self.node_name

    @property
    def node_name(self) -> str:
        return self.pod.spec.node_name if self.pod is not None else self.view.name

    @property
    def domain(self) -> str:
        """What stands behind the hostname: only a pod with spec.subdomain has it."""
        own = self.pod is not None and not self.pod.spec.host_network
        return pod_hostname(self.pod, self.cluster.options.domain)[1] if own and self.pod is not None else ""

    @property
    def hosts(self) -> str:
        """/etc/hosts."""
        return hosts_file(self.pod, self.cluster.options.domain) if self.pod is not None else NODE_HOSTS

    @property
    def resolv(self) -> ResolvConf:
        """/etc/resolv.conf."""
        return self.cluster.resolv_of(self.pod) if self.pod is not None else parse_resolv_conf(self.cluster.node_resolv_conf)

    @property
    def party(self) -> Party:
        from ..fork import source_of

        return source_of(self.cluster.live(), self.view)

    def resolve(self, t: Terminal, name: str, family: str = "any") -> Resolution:
        """getaddrinfo(name), by packets."""
        found = stub_resolve(self.cluster, self.cluster.live(), self.party, name, family, "glibc")
        self.seen(t, (q.trace for q in found.queries))
        return found

    def fetch(self, t: Terminal, url: str, **options: Any) -> Trace:
        """One HTTP request (cluster.request)."""
        done = request(self.cluster.live(), self.view, url, **options)
        names = (q.trace for name, stage in done.stages if name == "resolve" for q in stage.queries)
        self.seen(t, [*names, done])
        return done

    def call(self, name: str) -> Call:
        """A DNS client of its own, as dig and nslookup are. Queries of one call use one socket each."""
        live = self.cluster.live()
        serial = self.cluster.state.next_serial()
        return Call(live, self.party.namespace, f"{name}/{serial}", self.resolv)

    def ask(
        self, t: Terminal, call: Call, name: str, type: str, server: str, timeout: float, protocol: str = "UDP", edns: Edns | None = None,
        recurse: bool = True,
    ) -> SentQuery:  # fmt: skip
        """One question to one server."""
        sent = call.ask(name, type, server, call.socket(), timeout, protocol=protocol, edns=edns, recurse=recurse)
        self.seen(t, [sent.trace])
        return sent

    @staticmethod
    def seen(t: Terminal, traces: Iterable[Trace | None]) -> None:
        """What these walks put on links is what tcpdump shows next."""
        frames = [f for trace in traces if trace is not None for f in frames_of(trace)]
        t.frames = sorted(frames, key=lambda f: f[0])

    def named_in_hosts(self, name: str) -> list[tuple[str, tuple[str, ...]]]:
        return [(ip, names) for ip, names in hosts_entries(self.hosts) if name.lower() in (n.lower() for n in names) or ip == name]


def canonical_name(response: Response | None, name: str) -> str:
    """Where the aliases of an answer end."""
    names = {r.name.lower(): r.data for r in (response.answer if response else ()) if r.type == "CNAME"}
    for _ in range(len(names)):
        name = names.get(name.lower(), name)
    return name


def files_of(cluster: Cluster, view: NodeView | PodView) -> Files:
    """A pod: what the kubelet writes for it. A node: also what the pod network's agents and plugins keep there."""
    machine = Machine(cluster, view)
    made = {"/etc/hostname": f"{machine.hostname}\n", "/etc/hosts": machine.hosts, "/etc/resolv.conf": machine.resolv.text}
    if machine.pod is not None:
        return Files(made=made)
    disk, written = cluster.disk(view.name)
    kept = {posixpath.dirname(p) for p in disk}
    made |= beneath(disk, written)
    made |= {f"{folder}/lock": "" for folder in kept if folder.startswith("/var/lib/cni/networks/") and f"{folder}/lock" not in disk}
    return Files(disk, made)

