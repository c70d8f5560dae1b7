"""`cluster.node(...)` and `cluster.pod(...)`: a machine or a pod as its tools show it, and a shell on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import KubenetError
from ..kernel.conntrack import Conntrack
from ..kernel.namespace import Namespace
from ..kernel.neighbours import learned_neighbours
from ..kernel.shell import Shell
from ..kernel.walk import Walk
from ..objects.views import Pod
from .edits import Edit
from .node_cni import node_cni

if TYPE_CHECKING:
    import pandas as pd

    from ..cni import CniRuntime
    from .cluster import Cluster

__all__ = ["Machine", "NodeView", "Output", "PodView"]


class Output(str):
    """What a command printed: a plain string that shows itself as a terminal does. `status` is the exit status."""

    __slots__ = ("status",)
    status: int

    def __new__(cls, text: str, status: int = 0) -> Output:
        made = super().__new__(cls, text)
        made.status = status
        return made

    def __repr__(self) -> str:
        return str(self)


def _frame(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=columns)


class Machine:
    """What nodes and pods have in common: one network namespace."""

    _party_name: str  # as a question's source or destination

    def __init__(self, cluster: Cluster, namespace: str):
        self._cluster, self._id = cluster, namespace

    @property
    def _ns(self) -> Namespace:
        found = self._cluster.walkable().namespaces.get(self._id)
        if found is None:
            why = [
                str(p.message) for p in self._cluster.findings if p.object in (f"Pod {self._id.removeprefix('pod:')}", f"Node {self._id}")
            ]
            raise KubenetError(f"{self._id} is not there" + (f": {'; '.join(why)}" if why else ""))
        return found

    def run(self, command: str, stdin: str = "") -> Output:
        """What the real tool prints for a command line. Changes are recorded as hand edits. Raises CommandError for unknown syntax."""
        from .programs import files_of, programs_of

        c = self._cluster
        view: Any = self
        shell = Shell(
            c.walkable(), c.state, self._ns.id, frames=c.capture, resolve=self._addresses_of, files=files_of(c, view),
            programs=programs_of(c, view),
        )  # fmt: skip
        try:
            return Output(shell.run(command, stdin=stdin), shell.status)
        finally:
            c.capture = shell.frames
            if shell.changed and not shell.files.wrote:
                c.record(Edit(self._id, command, stdin))
            elif shell.changed:  # what it did to files is on the disk already, and is not done again
                for line, given in shell.edits:
                    c.record(Edit(self._id, line, given))

    def _addresses_of(self, name: str) -> tuple[str, ...]:
        """A name as the resolver of this machine finds it."""
        return tuple(self._cluster.resolve(self, name).addresses)

    def links(self) -> pd.DataFrame:
        """As `ip -d link`: ifindex, ifname, link_type, address, mtu, operstate, master."""
        rows = [
            {"ifindex": k.index, "ifname": k.name, "link_type": k.kind, "address": k.mac, "mtu": k.mtu,
             "operstate": "UP" if k.up else "DOWN", "master": k.master,
             "local": ", ".join(str(a) for a in k.addresses)}
            for k in self._ns.links.values()
        ]  # fmt: skip
        return _frame(rows, ["ifindex", "ifname", "link_type", "address", "mtu", "operstate", "master", "local"])

    def routes(self, table: str | int = "main") -> pd.DataFrame:
        """As `ip route show table T`: type, dst, gateway, dev, protocol, scope, prefsrc, metric, flags."""
        from ..kernel.routing import TABLES

        number = TABLES.get(str(table), table)
        ns = self._ns
        found = [*(r for r in ns.routes if r.table == number), *([*ns.local_routes(4), *ns.local_routes(6)] if number == 255 else [])]
        rows = [
            {"type": r.type, "dst": "default" if r.default else r.dst, "gateway": r.via, "dev": r.dev, "protocol": r.proto,
             "scope": r.scope,
             "prefsrc": r.src, "metric": r.metric, "flags": "onlink" if r.onlink else ""}
            for r in found
        ]  # fmt: skip
        return _frame(rows, ["type", "dst", "gateway", "dev", "protocol", "scope", "prefsrc", "metric", "flags"])

    def neighbors(self) -> pd.DataFrame:
        """As `ip neigh`: dst, dev, lladdr, state."""
        w = Walk(self._cluster.walkable(), self._cluster.state)
        learned = {k: v for k, v in learned_neighbours(w, self._id).items() if k not in self._ns.neighbours}
        rows = [{"dst": n.ip, "dev": n.dev, "lladdr": n.mac, "state": n.state} for n in [*self._ns.neighbours.values(), *learned.values()]]
        return _frame(rows, ["dst", "dev", "lladdr", "state"])

    def fdb(self) -> pd.DataFrame:
        """As `bridge fdb`: mac, ifname, dst, master, state, flags; what bridges have learned included."""
        ns = self._ns
        rows = [
            {"mac": e.mac, "ifname": e.dev, "dst": e.dst, "master": e.master, "state": e.state,
             "flags": "self" if e.self_ else ""} for e in ns.fdb
        ]  # fmt: skip
        for k in ns.links.values():
            if k.master or k.kind == "bridge":
                rows.append({"mac": k.mac, "ifname": k.name, "dst": "", "master": k.master or k.name, "state": "permanent", "flags": ""})
        for (bridge, mac), (port, _) in sorted(self._cluster.state.read("fdb", self._id).items()):
            rows.append({"mac": mac, "ifname": port, "dst": "", "master": bridge, "state": "", "flags": ""})
        return _frame(rows, ["mac", "ifname", "dst", "master", "state", "flags"])

    def ip_commands(self) -> Output:
        """The `ip` and `bridge` commands that make this machine's links, addresses, routes, neighbours and FDB entries."""
        from ..kernel.shell import commands_for

        return Output("\n".join(commands_for(self._ns)) + "\n")

    def conntrack(self) -> pd.DataFrame:
        """As `conntrack -L`: proto, state, the original and the reply tuple, timeout (seconds), flags, mark."""
        table = Conntrack(self._cluster.state, self._id)
        rows = [
            {"proto": e.orig.proto, "state": e.tcp_state, "src": e.orig.src, "dst": e.orig.dst, "sport": e.orig.sport,
             "dport": e.orig.dport,
             "reply_src": e.reply.src, "reply_dst": e.reply.dst, "reply_sport": e.reply.sport, "reply_dport": e.reply.dport,
             "timeout": int(e.expires - self._cluster.now),
             "flags": " ".join(f for f, on in (("UNREPLIED", not e.seen_reply), ("ASSURED", e.assured)) if on),
             "mark": e.mark}
            for e in table.entries()
        ]  # fmt: skip
        return _frame(
            rows,
            [
                "proto",
                "state",
                "src",
                "dst",
                "sport",
                "dport",
                "reply_src",
                "reply_dst",
                "reply_sport",
                "reply_dport",
                "timeout",
                "flags",
                "mark",
            ],
        )


class NodeView(Machine):
    """A node of the cluster."""

    def __init__(self, cluster: Cluster, namespace: str):
        super().__init__(cluster, namespace)
        self._party_name = f"node:{namespace}"

    @property
    def name(self) -> str:
        return self._id

    @property
    def cni(self) -> CniRuntime:
        """CNI by hand on this node: `node.cni.add("demo")` attaches a pod to the node's network; a hand edit, until resync."""
        return node_cni(self._cluster, self._id)

    @property
    def files(self) -> Mapping[str, str]:
        """What CNI plugins, the runtime and the network's agent keep on this node's disk: {path: content}."""
        return dict(sorted(self._cluster.live_host(self._id).disk.items()))

    def iptables_written(self, family: int = 4) -> Output:
        """What the agents hand to `iptables-restore --noflush`, agent by agent."""
        return Output(self._cluster.written_rules(self._id, family))

    def iptables_save(self, family: int = 4, counters: bool = False) -> Output:
        """What `iptables-save` (`-c` with counters) prints."""
        tool = "iptables-save" if family == 4 else "ip6tables-save"
        return self.run(f"{tool} -c" if counters else tool)

    def iptables_restore(self, text: str, family: int = 4, noflush: bool = False) -> Output:
        """Load rules as `iptables-restore` does; a hand edit. Raises CommandError with the line in the tool's words."""
        tool = "iptables-restore" if family == 4 else "ip6tables-restore"
        return self.run(f"{tool} --noflush" if noflush else tool, stdin=text)

    def nft_written(self) -> Output:
        """What kube-proxy in nftables mode hands to `nft -f -`, one transaction a family; empty in another mode."""
        return Output(self._cluster.written_rules(self._id, nft=True))

    def nft_ruleset(self) -> Output:
        """What `nft list ruleset` prints: nftables' own tables. The iptables rules are what `iptables_save()` prints."""
        return self.run("nft list ruleset")

    def __repr__(self) -> str:
        return f"Node({self._id})"


class PodView(Machine):
    """A pod: the network namespace that its containers share."""

    def __init__(self, cluster: Cluster, namespace: str, pod: Pod):
        super().__init__(cluster, namespace)
        self.object = pod
        self._party_name = f"pod/{pod.key}"

    @property
    def name(self) -> str:
        return self.object.key

    @property
    def ip(self) -> str:
        return self.object.ips[0]

    @property
    def node(self) -> NodeView:
        return self._cluster.node(self.object.spec.node_name)

    def plot(self, **options: Any) -> Any:
        """The pod's anatomy, as a figure."""
        return self._cluster.plot.pod(self._party_name, **options)

    def resolv_conf(self) -> Output:
        """The pod's /etc/resolv.conf, as the kubelet writes it."""
        return Output(self._cluster.resolv_of(self.object).text)

    def __repr__(self) -> str:
        return f"Pod({self.object.key}, {self.ip} on {self.object.spec.node_name})"
