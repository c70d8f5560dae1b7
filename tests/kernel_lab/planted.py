"""Faults planted in the model: each a wrong belief about the kernel that the comparison must catch, and the features that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from kubenet_lab.kernel import icmp, l2, l3, nat
from kubenet_lab.kernel.namespace import Namespace
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.routing import Fib

from . import doors, modes
from .shape import Spec

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Planted:
    belief: str
    shown_by: tuple[str, ...]  # the features of the clusters that must show it
    plant: Patch
    programming: bool  # it is about what a command does, not about what a packet meets
    mode: str = "vxlan"

    @contextmanager
    def planted(self) -> Iterator[Callable[[Spec], Network]]:
        """Within, the model has the fault; the value programs a cluster, with it only if it is about programming."""
        with pytest.MonkeyPatch.context() as m:

            def program(spec: Spec) -> Network:
                if self.programming:
                    self.plant(m)
                    return doors.network(spec)
                net = doors.network(spec)
                self.plant(m)
                return net

            yield program


PLANTED: list[Planted] = []


def planted(
    belief: str, *shown_by: str, programming: bool = False, mode: str = "vxlan", into: list[Planted] = PLANTED
) -> Callable[[Patch], Patch]:
    def register(plant: Patch) -> Patch:
        into.append(Planted(belief, shown_by, plant, programming, mode))
        return plant

    return register


def _wrap(m: pytest.MonkeyPatch, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    m.setattr(owner, name, make(getattr(owner, name)))


@planted("pods of one node are neighbours: no router between them", mode="routed")
@planted("forwarding spends no TTL", "route with its own mtu")
def no_ttl(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        def forward(w: Any, f: Any, ns: Any, packet: Any, route: Any) -> Any:
            more = packet.but(ttl=packet.ttl + 1)
            return real(w, f.to(f.stage, packet=more), ns, more, route)

        return forward

    _wrap(m, l3, "forward", make)


@planted("a bridge sends a frame back where it came from, flag or not", "service", "hairpin off")
def hairpin(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        def to_port(w: Any, f: Any, ns: Any, bridge: Any, port: Any, *rest: Any) -> Any:
            return real(w, f, ns, bridge, replace(port, port=replace(port.port, hairpin=True)), *rest)

        return to_port

    _wrap(m, l2, "_to_port", make)


@planted("an FDB entry that was deleted still works", "fdb removed", programming=True)
def fdb_stays(m: pytest.MonkeyPatch) -> None:
    _wrap(m, doors, "apply", lambda real: lambda net, lines: real(net, [x for x in lines if not x[1].startswith("bridge fdb del")]))


@planted("masquerade takes the node's address", "service")
def node_address(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        return lambda skb: next((a.ip for a in skb.ns.links["eth0"].addresses), None) if "cni0" in skb.ns.links else real(skb)

    _wrap(m, nat, "_masquerade_address", make)


@planted("bridged packets do not meet iptables", "service")
def no_br_netfilter(m: pytest.MonkeyPatch) -> None:
    m.setattr(l2, "_calls_iptables", lambda ns, packet: False)


@planted("bridged packets always meet iptables", "service", "bridge-nf off")
def always_br_netfilter(m: pytest.MonkeyPatch) -> None:
    m.setattr(l2, "_calls_iptables", lambda ns, packet: True)


@planted("isolated ports hear each other", "ports isolated")
def no_isolation(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        def to_port(w: Any, f: Any, ns: Any, bridge: Any, port: Any, *rest: Any) -> Any:
            return real(w, f, ns, bridge, replace(port, port=replace(port.port, isolated=False)), *rest)

        return to_port

    _wrap(m, l2, "_to_port", make)


@planted("the first route wins, not the longest prefix", "more specific route")
def first_route(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        def in_table(self: Any, table: int, dst: str, oif: str, iif: str) -> Any:
            turned = {t: list(reversed(lengths)) for t, lengths in self._tables.items()}
            kept, self._tables = self._tables, turned
            try:
                return real(self, table, dst, oif, iif)
            finally:
                self._tables = kept

        return in_table

    _wrap(m, Fib, "_in_table", make)


@planted("reverse path filtering does nothing", "rp_filter")
def no_rp_filter(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        return lambda *asked: "" if (found := real(*asked)) == "rp_filter" else found

    _wrap(m, l3, "martian", make)


@planted("ICMP errors are not un-NATed", "service")
def errors_as_they_are(m: pytest.MonkeyPatch) -> None:
    m.setattr(nat, "_translate_error", lambda packet, entry, is_reply, manip: packet)


@planted("an unanswered ARP request is silence", "vtep neighbour removed")
def silent_arp(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        return lambda w, f, kind, **o: [] if kind == "host-unreachable" else real(w, f, kind, **o)

    _wrap(m, icmp, "error", make)


@planted("a bridge keeps the MTU it was made with", "pod mtu changed", "frag-needed dropped", programming=True)
def bridge_mtu(m: pytest.MonkeyPatch) -> None:
    m.setattr(Namespace, "_adjust_bridge", lambda self, name: None)


@planted("forwarding needs no ip_forward", "ip_forward off")
def always_forward(m: pytest.MonkeyPatch) -> None:
    m.setattr(Namespace, "forwards", lambda self, *where: True)


@planted("DirectRouting wraps what stays on the wire", programming=True, mode="direct")
def direct_is_vxlan(m: pytest.MonkeyPatch) -> None:
    _wrap(m, modes, "tunnelled", lambda real: lambda spec, a, b: spec["mode"] in modes.TUNNELLED)


@planted("the router between two segments knows the pods", programming=True, mode="routed")
def router_knows(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        def network(spec: Spec, seed: int = 0) -> Network:
            net: Network = real(spec, seed)
            for node in spec["nodes"]:
                net.namespaces["gateway"].add_route(node["cidr"], via=node["ip"])
            return net

        return network

    _wrap(m, doors, "network", make)


@planted("a blackhole route answers that there is no host", programming=True, mode="routed")
def blackhole_answers(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        return lambda net, lines: real(net, [[s, x.replace("route add blackhole", "route add unreachable")] for s, x in lines])

    _wrap(m, doors, "apply", make)
