"""A whole programmed network, built again in real namespaces from what it prints: `ip_commands`, iptables-save, ipset save.

For one layer-2 segment and IPv4. Every namespace of the network becomes a real one of the same name; veth pairs are made from the
node's side. Listeners are replaced on both sides by ones that echo, as the harness probes them.
"""

from __future__ import annotations

from typing import Any

from kubenet_lab.kernel.namespace import Listener, Namespace
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.shell.commands import commands_for
from kubenet_lab.kernel.state import State

from .real import Real

LAN = "lan"


class Replay:
    """`with Replay(real, network, name) as r:` builds it; then `r.real.ask("probe", ...)` with case=name."""

    def __init__(self, real: Real, network: Network, name: str, ports: dict[str, list[tuple[str, int]]], backend: str = "legacy"):
        """`ports`: namespace -> [(protocol, port)] that are listened on."""
        self.real, self.net, self.name, self.backend = real, network, name, backend
        self.spaces = [ns for ns in network.namespaces.values() if ns.host != "gateway"]
        for ns in self.spaces:
            ns.copy_sockets(Listener(proto, port, Echo(), ns.id) for proto, port in ports.get(ns.id, ()))  # type: ignore[arg-type]
        self.listen = [[id, id, proto, port] for id, some in ports.items() for proto, port in some]

    def spec(self) -> dict[str, Any]:
        gateway = self.net.namespaces["gateway"].links[LAN]
        ends = [{"name": ns.id, "mac": ns.links["eth0"].mac} for ns in self.spaces if ns.links["eth0"].kind == "physical"]
        lines = [[ns.id, line] for ns in sorted(self.spaces, key=lambda ns: ns.id != ns.host) for line in self.lines(ns)]
        return {
            "underlay": [{
                "mac": gateway.mac, "mtu": self.net.segments[LAN].mtu, "ends": ends,
                "gateway": next(str(a) for a in gateway.addresses if a.family == 4),
            }],
            "spaces": [ns.id for ns in self.spaces], "lines": lines, "listen": self.listen, "iptables": self.backend,
        }  # fmt: skip

    def lines(self, ns: Namespace) -> list[str]:
        """The commands of one namespace without IPv6, and with the pairs that they only mention."""
        out = []
        for line in commands_for(ns):
            if line.startswith("# ") and "one end of a veth pair" in line:
                here = ns.links[line.split()[1]]
                if ns.id == ns.host and here.peer is not None:
                    other = self.net.namespaces[here.peer[0]]
                    there = other.links[here.peer[1]]
                    far = f"name {there.name} address {there.mac} mtu {there.mtu} netns @{other.id}"
                    out.append(f"ip link add {here.name} address {here.mac} mtu {here.mtu} type veth peer {far}")
            elif not line.startswith(("#", "ip -6")) and "ipv6" not in line and ":" not in "".join(line.split()[3:4]):
                out.append(line)
        return out

    def __enter__(self) -> Replay:
        self.real.ask("build", id=self.name, spec=self.spec())
        for ns in self.spaces:
            if ns.id != ns.host:
                continue
            ruleset = Shell(self.net, State(), ns.id).run("iptables-save")  # builds the sets too
            if ns.ipsets is not None:
                sets = [line for line in ns.ipsets.save().splitlines() if " inet6 " not in line and ":" not in line.rpartition(" ")[2]]
                self.real.ask("restore", id=self.name, space=ns.id, program="ipset", text="\n".join(sets) + "\n")
            self.real.ask("restore", id=self.name, space=ns.id, program="iptables", text=ruleset)
        return self

    def __exit__(self, *_: object) -> None:
        self.real.ask("drop", id=self.name)
