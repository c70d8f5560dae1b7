"""A bridge + VXLAN network of two nodes, programmed by hand as flannel does it: nodes 192.168.50.11+, pods 10.244.N.2+."""

from __future__ import annotations

from kubenet_lab.kernel.ask import Question, Result, put
from kubenet_lab.kernel.links import BridgePort, VxlanOptions
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.state import State

TCP_PORT, UDP_PORT = 8080, 53


def two_nodes(*, pod_mtu: int = 1450, pods: int = 2, nodes: int = 2, hairpin: bool = True, seed: int = 0) -> Network:
    net = Network(seed)
    net.add_segment("lan", cidr="192.168.50.0/24")
    net.add_gateway("lan", "192.168.50.1/24")
    for i in range(nodes):
        ns = net.add_host(f"n{i}").root
        ns.label = f"node:n{i}"
        net.plug(f"n{i}", "lan", address=f"192.168.50.{11 + i}/24")
        ns.add_route("default", via="192.168.50.1")
        ns.set_sysctl("net.ipv4.ip_forward", 1)
        ns.add_link("flannel.1", "vxlan", mtu=1450, vxlan=VxlanOptions(1, f"192.168.50.{11 + i}", "eth0"))
        ns.add_address("flannel.1", f"10.244.{i}.0/32")
        ns.add_link("cni0", "bridge", mtu=pod_mtu)
        ns.add_address("cni0", f"10.244.{i}.1/24")
        for j in range(2, 2 + pods):
            pod = net.add_namespace(f"n{i}", f"p{i}{j}")
            ns.wire_veth(f"veth{j}", pod, "eth0", mtu=pod_mtu)
            ns.set_link(f"veth{j}", master="cni0", port=BridgePort(hairpin=hairpin))
            pod.add_address("eth0", f"10.244.{i}.{j}/24")
            pod.add_route("default", via=f"10.244.{i}.1")
            pod.listen(Listener("TCP", TCP_PORT, Echo(), pod.id))
            pod.listen(Listener("UDP", UDP_PORT, Echo(), pod.id))
    for i in range(nodes):
        for other in range(nodes):
            if i != other:
                ns, mac = net.namespaces[f"n{i}"], net.namespaces[f"n{other}"].links["flannel.1"].mac
                ns.add_route(f"10.244.{other}.0/24", via=f"10.244.{other}.0", dev="flannel.1", onlink=True)
                ns.add_neighbour(f"10.244.{other}.0", mac, "flannel.1")
                ns.add_fdb(mac, "flannel.1", dst=f"192.168.50.{11 + other}")
    return net


class Lab:
    """A network with one dynamic state, and short ways to ask."""

    def __init__(self, net: Network | None = None, **options: int | bool):
        self.net = net or two_nodes(**options)  # type: ignore[arg-type]
        self.state = State()

    def ask(self, src: str, dst: str, port: int = TCP_PORT, protocol: str = "TCP", **options: object) -> Result:
        return put(self.net, self.state, Question(src, dst, port, protocol, **options))  # type: ignore[arg-type]

    def __getitem__(self, ns: str):
        return self.net.namespaces[ns]


def codes(trail) -> list[str]:
    return [e.code for e in trail or () if e.major]


def frames(result: Result, where: str):
    """(packet) of each frame seen on one link, sent and received alike."""
    return [packet for _, at, _, _, packet in result.walk.frames if at == where]
