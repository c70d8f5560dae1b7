"""Faults in what is programmed on a node, in a pod or on the wire, while every object is as it should be."""

from __future__ import annotations

from .fault import Fault, Filter, Shell, Symptom

__all__ = ["FAULTS"]

_CART = Symptom("connect", ("node:worker-1", "shop/cart"), {"port": 8080})
_DB = Symptom("connect", ("shop/api", "svc:data/db-read"), {"port": 5432})
_ACROSS = "Some requests are answered at once, others never. It began after somebody was logged in on a node."

FAULTS: tuple[Fault, ...] = (
    Fault(
        "no-fdb-entry", "Node worker-1", ("fdb", "forwarding database", "bridge fdb"),
        _ACROSS,
        "The tunnel device did not know any more behind which node the other tunnel's MAC lives, and dropped what it should have wrapped.",
        (Shell("worker-1", "bridge fdb del {mac_2} dev flannel.1 dst {ip_2}"),),
        (Shell("worker-1", "bridge fdb append {mac_2} dev flannel.1 dst {ip_2}"),),
        _CART,
    ),
    Fault(
        "no-neighbour", "Node worker-2", ("neighbour", "neighbor", "neigh", "arp"),
        _ACROSS,
        "On the tunnel nobody answers ARP: flannel writes the entry. Without it the node did not know the MAC of the other end.",
        (Shell("worker-2", "ip neigh del {vtep_1} dev flannel.1"),),
        (Shell("worker-2", "ip neigh add {vtep_1} lladdr {mac_1} dev flannel.1 nud permanent"),),
        Symptom("connect", ("node:worker-2", "data/cache"), {"port": 6379}),
    ),
    Fault(
        "no-route", "Node worker-1", ("route", "routes", "ip route"),
        _ACROSS,
        "The route to the other node's pods was gone. Packets for them left by the default route, where nobody knows a pod.",
        (Shell("worker-1", "ip route del {cidr_2}"),),
        (Shell("worker-1", "ip route add {cidr_2} via {vtep_2} dev flannel.1 onlink"),),
        _CART,
    ),
    Fault(
        "pod-without-gateway", "Pod shop/cart", ("route", "routes", "ip route"),
        "Customers see the shop's pages, but some of them wait for their basket. It began after somebody had a shell in a pod.",
        "The pod's routes had no way out of its own subnet. It heard every request, and could answer only its neighbours.",
        (Shell("shop/cart", "ip route del default"), Shell("shop/cart", "ip route del 10.244.0.0/16")),
        (Shell("shop/cart", "ip route add default via 10.244.1.1"), Shell("shop/cart", "ip route add 10.244.0.0/16 via 10.244.1.1")),
        _CART,
    ),
    Fault(
        "tunnel-blocked", "Node worker-2", ("filter", "security group", "underlay", "udp 8472", "8472"),
        "Since the network team tidied up, some requests are never answered.",
        "A filter in front of the node dropped UDP 8472, which carries the tunnel. Nodes still reached each other by everything else.",
        (Filter("worker-2", "deny udp 8472"),),
        (Filter("worker-2", ""),),
        _CART,
    ),
    Fault(
        "small-mtu", "Node worker-1", ("mtu", "flannel.1"),
        "Small things arrive. Large ones do not always, says the one who measures with large datagrams.",
        "The tunnel's MTU was below that of the pods: what a pod may send in one packet did not fit, and was refused on the way.",
        (Shell("worker-1", "ip link set flannel.1 mtu 1300"),),
        (Shell("worker-1", "ip link set flannel.1 mtu 1450"),),
        Symptom("connect", ("data/cache", "shop/cart"), {"protocol": "ICMP", "size": 1400}),
    ),
    Fault(
        "missing-rule", "Node worker-1", ("rule", "rules", "iptables", "nat", "KUBE-SERVICES"),
        "Customers see the shop's pages, but some baskets do not open. It depends on where the page comes from.",
        "On one node the rule was gone by which kube-proxy catches the basket's address. Nobody else has that address.",
        (Shell("worker-1", "iptables -t nat -D KUBE-SERVICES -d {vip_cart}/32 -p tcp -m comment --comment "
                           '"shop/cart:http cluster IP" -m tcp --dport 8080 -j KUBE-SVC-I5LIAMPLWKMBJ54B'),),
        (Shell("worker-1", "iptables -t nat -I KUBE-SERVICES -d {vip_cart}/32 -p tcp -m comment --comment "
                           '"shop/cart:http cluster IP" -m tcp --dport 8080 -j KUBE-SVC-I5LIAMPLWKMBJ54B'),),
        Symptom("connect", ("node:worker-1", "svc:shop/cart"), {"port": 8080}),
    ),
    Fault(
        "dropped-by-hand", "Node worker-2", ("rule", "rules", "iptables", "FORWARD"),
        "Reports do not reach the database. It began after somebody was logged in on a node.",
        "Somebody had put a DROP for the database's port in front of all other rules of the FORWARD chain.",
        (Shell("worker-2", "iptables -I FORWARD -p tcp --dport 5432 -j DROP"),),
        (Shell("worker-2", "iptables -D FORWARD -p tcp --dport 5432 -j DROP"),),
        _DB,
    ),
    Fault(
        "no-forwarding", "Node worker-2", ("sysctl", "ip_forward", "net.ipv4.ip_forward", "forwarding"),
        _ACROSS,
        "The node had stopped to forward: what was for itself it took, what was for its pods it dropped.",
        (Shell("worker-2", "sysctl -w net.ipv4.ip_forward=0"),),
        (Shell("worker-2", "sysctl -w net.ipv4.ip_forward=1"),),
        _CART,
    ),
    Fault(
        "bridge-down", "Node worker-2", ("cni0", "link", "bridge"),
        _ACROSS,
        "The bridge to which the node's pods are plugged was down.",
        (Shell("worker-2", "ip link set cni0 down"),),
        (Shell("worker-2", "ip link set cni0 up"),
         Shell("worker-2", "ip route replace {cidr_2} dev cni0 proto kernel scope link src 10.244.1.1")),
        _CART,
    ),
)  # fmt: skip
