"""Two segments with a router between, a node and a pod on each: the same in real namespaces and in the model.

Nodes n0 (192.168.50.11, on segment a) and n1 (192.168.51.12, on segment b), router r, a machine e on b (192.168.51.77). Pods p0
and p1 (10.244.N.2) are routed by their nodes, over VXLAN as flannel programs it. With `six` the segments are IPv6 (fd50::/64,
fd51::/64), and the pods are IPv4 as before. With `middle` there is a link of that MTU between r and a second router q, which stands
on b; nobody but the two routers sees it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from kubenet_lab.errors import CommandError
from kubenet_lab.kernel.ask import Result
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.state import State

from . import doors, model
from .compare import SETTLE, same
from .real import Real
from .shape import NODE_PORT, TCP_PORT, UDP_PORT, Line, mac_of

FOUR = {"n0": "192.168.50.11", "n1": "192.168.51.12", "e": "192.168.51.77", "a": "192.168.50.1", "b": "192.168.51.1",
        "r/m": "10.9.9.1", "q/m": "10.9.9.2"}
SIX = {"n0": "fd50::11", "n1": "fd51::12", "e": "fd51::77", "a": "fd50::1", "b": "fd51::1", "r/m": "fd99::1", "q/m": "fd99::2"}
#: what only real namespaces need: no segments in one large buffer, which a real wire would never see
REAL_ONLY = ("gso_max_segs",)


class Racks:
    """`mtus`: of the wires a and b; `nics`: of single NICs, "n0", "n1", "e", "r/a", "r/b", where they differ from their wire's."""

    count = 0

    def __init__(
        self, real: Real, mtus: tuple[int, int] = (1500, 1500), nics: dict[str, int] | None = None, df: str = "unset", six: bool = False,
        inner: int = 0, middle: int = 0,
    ):  # fmt: skip
        Racks.count += 1
        self.real, self.id, self.six = real, f"racks{Racks.count}", six
        self.at = SIX if six else FOUR
        self.mtus, self.nics = dict(zip("ab", mtus, strict=True)) | ({"m": middle} if middle else {}), nics or {}
        self.far = "q" if middle else "r"  # the router on b
        self.serial = 42000
        self.net, self.state = Network(), State()
        self.last: Result | None = None
        self._wires()
        self.lines = self._lines(df, inner or (1430 if six else 1450))

    # ------------------------------------------------------------------------------------------------------ building
    def _ends(self, wire: str) -> list[list[Any]]:
        """[space, device, hardware address, MTU]"""
        routers = {"a": "r", "b": self.far, "m": "rq"}[wire]
        spaces = [(r, f"{r}/{wire}", wire) for r in routers]
        spaces += [(n, n, "eth0") for n in {"a": ("n0",), "b": ("n1", "e"), "m": ()}[wire]]
        out: list[list[Any]] = []
        for space, key, dev in spaces:
            own = FOUR[dev if key in ("r/a", f"{self.far}/b") else key]
            out.append([space, dev, mac_of(own, 0x3A), self.nics.get(key, self.mtus[wire])])
        return out

    def _wires(self) -> None:
        for wire in self.mtus:
            self.net.add_segment(wire, mtu=self.mtus[wire])
            for space, dev, mac, mtu in self._ends(wire):
                if space not in self.net.hosts:
                    self.net.add_host(space, "router" if space in "rq" else "node").root.label = space
                self.net.plug(space, wire, dev, mac=mac, mtu=mtu)
        for i in (0, 1):
            self.net.add_namespace(f"n{i}", f"p{i}").label = f"p{i}"
        for space in ("p0", "p1", "n0", "n1", "e"):
            for protocol, port in (("TCP", TCP_PORT), ("UDP", UDP_PORT), ("TCP", NODE_PORT), ("UDP", NODE_PORT)):
                self.net.namespaces[space].listen(Listener(protocol, port, Echo(), space))  # type: ignore[arg-type]

    def _lines(self, df: str, inner: int) -> list[Line]:
        length, nodad = (64, " nodad") if self.six else (24, "")
        lines: list[Line] = []
        if self.six:
            for space in ("n0", "n1", "e", *{"r", self.far}):
                lines.append([space, "sysctl -w net.ipv6.conf.all.disable_ipv6=0"])
        places = [("n0", "eth0", "n0", "a"), ("n1", "eth0", "n1", "b"), ("e", "eth0", "e", "b")]
        places += [("r", "a", "a", ""), (self.far, "b", "b", "")]
        if "m" in self.mtus:
            places += [("r", "m", "r/m", "q/m"), ("q", "m", "q/m", "r/m")]
        for space, dev, own, via in places:
            lines += [[space, f"ip link set dev {dev} up"], [space, f"ip addr add {self.at[own]}/{length} dev {dev}{nodad}"]]
            if via:
                lines.append([space, f"ip route add default via {self.at[via]}"])
        for space in dict.fromkeys(("r", self.far)):
            lines.append([space, "sysctl -w net.ipv6.conf.all.forwarding=1" if self.six else "sysctl -w net.ipv4.ip_forward=1"])
        for i in (0, 1):
            node, other, pod = f"n{i}", f"n{1 - i}", f"p{i}"
            vtep, far = (mac_of(FOUR[n], 0x1A) for n in (node, other))
            lines += [
                [node, f"ip link add flannel.1 address {vtep} mtu {inner} type vxlan id 1 dev eth0 local {self.at[node]} dstport 8472 "
                       f"nolearning df {df}"],
                [node, f"ip addr add 10.244.{i}.0/32 dev flannel.1"], [node, "ip link set flannel.1 up"],
                [node, f"ip neigh replace 10.244.{1 - i}.0 lladdr {far} dev flannel.1 nud permanent"],
                [node, f"ip route add 10.244.{1 - i}.0/24 via 10.244.{1 - i}.0 dev flannel.1 onlink"],
                [node, f"bridge fdb append {far} dev flannel.1 dst {self.at[other]} self permanent"],
                [node, f"ip link add v0 address {mac_of(f'10.244.{i}.1')} mtu {inner} type veth peer name eth0 "
                       f"address {mac_of(f'10.244.{i}.2')} mtu {inner} netns @{pod}"],
                [node, "ip link set v0 up"], [node, f"ip addr add 10.244.{i}.1/24 dev v0"], [node, "sysctl -w net.ipv4.ip_forward=1"],
                [pod, "ip link set eth0 up"], [pod, f"ip addr add 10.244.{i}.2/24 dev eth0"],
                [pod, f"ip route add default via 10.244.{i}.1"],
            ]  # fmt: skip
        for space, dev in (("n0", "eth0"), ("n1", "eth0"), ("e", "eth0"), ("p0", "eth0"), ("p1", "eth0"), ("n0", "v0"), ("n1", "v0")):
            lines.append([space, f"ip link set {dev} gso_max_segs 1"])
        return lines

    def __enter__(self) -> Racks:
        listen = [[s, label, protocol, port] for s in ("p0", "p1", "n0", "n1", "e") for label in [s]
                  for protocol, port in (("TCP", TCP_PORT), ("UDP", UDP_PORT), ("TCP", NODE_PORT), ("UDP", NODE_PORT))]  # fmt: skip
        segments = [{"mtu": self.mtus[w], "ends": self._ends(w)} for w in self.mtus]
        spaces = [*dict.fromkeys(("r", self.far)), "n0", "n1", "e", "p0", "p1"]
        spec = {"segments": segments, "spaces": spaces, "lines": self.lines, "listen": listen}
        self.real.ask("build", id=self.id, spec=spec)
        self._model(self.lines)
        time.sleep(SETTLE)
        return self

    def __exit__(self, *_: object) -> None:
        self.real.ask("drop", id=self.id)

    def _model(self, lines: Sequence[Line]) -> None:
        doors.apply(self.net, [line for line in lines if not any(w in line[1] for w in REAL_ONLY)])

    # -------------------------------------------------------------------------------------------------------- asking
    def run(self, space: str, line: str) -> None:
        """The same command line on both sides."""
        self.real.ask("run", id=self.id, lines=[[space, line]])
        self._model([[space, line]])

    def flush(self) -> None:
        """Both sides forget what they learned of paths."""
        self.real.ask("flush", ids=[self.id])
        for space in self.net.namespaces:
            self.state.drop("pmtu", space)

    def ask(self, src: str, dst: str, port: int = NODE_PORT, proto: str = "TCP", **more: Any) -> dict[str, Any]:
        """One question to both sides, which remember what it taught them; they must agree. `dst` may be a machine's name."""
        self.serial += 1
        probe = {"case": self.id, "src": src, "dst": self.at.get(dst, dst), "port": port, "proto": proto, "size": 200, "sport": self.serial,
                 "timeout": 1.2, **more}  # fmt: skip
        said, self.last = model.ask(self.net, self.state, probe, capture=True)
        found = self.real.ask("probe", probes=[probe])[0]
        assert same(said, found), f"{src} -> {dst}:{port} {proto} {more}\nmodel {said}\nreal  {found}"
        return dict(found)

    def ping(self, src: str, dst: str, size: int, **more: Any) -> str:
        """Verdict of a ping with DF of `size` bytes of IP packet, on both sides."""
        return str(self.ask(src, dst, 0, "ICMP", size=size - 28, **more)["verdict"])

    def known(self, space: str, dst: str) -> int:
        """The MTU that `ip route get` shows for a path beside its device's; both sides print the same text. 0: none."""
        dst = self.at.get(dst, dst)
        line = f"ip route get {dst}"
        found = self.real.ask("run", id=self.id, lines=[[space, line]])[0]
        try:
            said = str(Shell(self.net, self.state, space).run(line))
        except CommandError as e:
            said = str(e)
        assert _steady(said) == _steady(found), f"{space}# {line}\nmodel {said}\nreal  {found}"
        number = re.search(r"\bmtu (\d+)", found)
        return int(number[1]) if number else 0


def _steady(text: str) -> list[str]:
    """Without what a clock shows, and how a line ends."""
    return re.sub(r"expires \d+sec", "expires Nsec", text).split()
