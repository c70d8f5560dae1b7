"""A whole programmed network, built again in real namespaces from what it prints: `ip_commands`, iptables-save, ipset save.

For one layer-2 segment, and IPv4 unless `families` names IPv6 too. Every namespace of the network becomes a real one of the same name;
veth pairs and macvlan children are made from the node's side. Listeners are replaced on both sides by ones that echo, as the harness
probes them.
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
from .state import both

LAN = "lan"
#: the driver's namespaces begin without IPv6. No addresses but those that are given, as in the lab, and at once
SIX = [
    f"sysctl -w net.ipv6.conf.{key}"
    for key in ("default.disable_ipv6=0", "default.addr_gen_mode=1", "default.accept_dad=0", "eth0.addr_gen_mode=1", "eth0.accept_dad=0",
                "all.disable_ipv6=0")
]  # fmt: skip


class Replay:
    """`with Replay(real, network, name) as r:` builds it; then `r.real.ask("probe", ...)` with case=name."""

    def __init__(
        self, real: Real, network: Network, name: str, ports: dict[str, list[tuple[str, int]]], backend: str = "legacy",
        families: tuple[int, ...] = (4,),
    ):  # fmt: skip
        """`ports`: namespace -> [(protocol, port)] that are listened on."""
        self.real, self.net, self.name, self.backend, self.six = real, network, name, backend, 6 in families
        self.spaces = [ns for ns in network.namespaces.values() if ns.host != "gateway"]
        for ns in self.spaces:
            ns.copy_sockets(Listener(proto, port, Echo(), ns.id) for proto, port in ports.get(ns.id, ()))  # type: ignore[arg-type]
        self.listen = [[id, id, proto, port] for id, some in ports.items() for proto, port in some]

    def spec(self) -> dict[str, Any]:
        gateway = self.net.namespaces["gateway"].links[LAN]
        ends = [{"name": ns.id, "mac": ns.links["eth0"].mac} for ns in self.spaces if ns.links["eth0"].kind == "physical"]
        lines = [[ns.id, line] for ns in self.spaces if self.six for line in SIX if "eth0" not in line or ns.id == ns.host]
        lines += [[ns.id, line] for ns in sorted(self.spaces, key=lambda ns: ns.id != ns.host) for line in self.lines(ns)]
        return {
            "underlay": [{
                "mac": gateway.mac, "mtu": self.net.segments[LAN].mtu, "ends": ends,
                "gateway": next((str(a) for a in gateway.addresses if a.family == 4), "192.0.2.1/24"),
            }],
            "spaces": [ns.id for ns in self.spaces], "lines": lines, "listen": self.listen, "iptables": self.backend,
        }  # fmt: skip

    def lines(self, ns: Namespace) -> list[str]:
        """The commands of one namespace, and with the pairs and macvlan children that they only mention."""
        out: list[str] = []
        for line in commands_for(ns):
            if line.startswith("# ") and "one end of a veth pair" in line:
                here = ns.links[line.split()[1]]
                if ns.id == ns.host and here.peer is not None:
                    other = self.net.namespaces[here.peer[0]]
                    there = other.links[here.peer[1]]
                    far = f"name {there.name} address {there.mac} mtu {there.mtu} netns @{other.id}"
                    out.append(f"ip link add {here.name} address {here.mac} mtu {here.mtu} type veth peer {far}")
            elif line.startswith("# ") and "is a macvlan child" in line:
                continue
            elif not line.startswith("#") and (self.six or not self._of_six(line)):
                out.append(line)
        return out + [line for other in self.spaces if other.host == ns.id != other.id for line in self._children(ns, other)]

    @staticmethod
    def _of_six(line: str) -> bool:
        return line.startswith("ip -6") or "ipv6" in line or ":" in "".join(line.split()[3:4])

    @staticmethod
    def _children(ns: Namespace, other: Namespace) -> list[str]:
        """The macvlan devices of another namespace that stand on a device of this one."""
        return [
            f"ip link add link {m.lower[1]} name {k.name} address {k.mac} mtu {k.mtu} netns @{other.id} type macvlan mode {m.mode}"
            for k in other.links.values() if (m := k.macvlan) is not None and m.lower[0] == ns.id
        ]  # fmt: skip

    def differences(self, ns: Namespace) -> dict[str, list[str]]:
        """What the tools print of a namespace, in the lab and of the real one: by command, the lines that differ."""

        def real(command: str) -> str:
            return str(self.real.ask("tool", id=self.name, space=ns.id, argv=command.split()))

        return both(Shell(self.net, State(), ns.id).run, real)

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
