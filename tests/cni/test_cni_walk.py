"""What the plugins programmed, walked: pods over vxlan, host ports from everywhere, the ingress controller's two legs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kubenet_lab.cni import Flannel, NetworkList, PluginHost, Runtime
from kubenet_lab.cni.flannel import conflist
from kubenet_lab.cni.rules import replay
from kubenet_lab.ingress import HttpRequest, HttpServer, IngressController
from kubenet_lab.kernel.ask import Question, Result, put
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.packet import Packet, Tcp
from kubenet_lab.kernel.state import State
from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.objects.views import KINDS
from tests.cni.cni_lab import flannel_cluster


def lab(
    pods: dict[str, int], options: Flannel | None = None, ports: dict[str, list[dict[str, Any]]] | None = None
) -> tuple[Network, dict[str, PluginHost]]:
    """A two-node cluster with pods by node number; every pod serves HTTP on 80."""
    options = options or Flannel()
    net, _, hosts = flannel_cluster(options=options)
    net.add_gateway("underlay", "192.168.50.1/24")
    for n in (1, 2):
        net.namespaces[f"worker-{n}"].add_route("default", via="192.168.50.1")
    for pod, n in pods.items():
        net.add_namespace(f"worker-{n}", f"pod:{pod}", f"Pod {pod}")
        mappings = {"portMappings": (ports or {}).get(pod, [])}
        Runtime(hosts[f"worker-{n}"]).add(NetworkList.parse(conflist(options)), pod, f"pod:{pod}", capabilities=mappings)
        net.namespaces[f"pod:{pod}"].listen(Listener("TCP", 80, HttpServer(pod), pod))
    for n in (1, 2):
        ns = net.namespaces[f"worker-{n}"]
        replay(ns.ruleset(4), hosts[ns.id].rules)
        ns.rules_changed()
    return net, hosts


def get(net: Network, src: str, dst: str, port: int = 80, url: str = "http://x/") -> Result:
    return put(net, State(), Question(src, dst, port, "TCP", HttpRequest.to(url), wait_answer=True))


def seen(result: Result) -> str:
    """The client's address as the pod saw it."""
    lines = bytes(result.answer or b"").decode().splitlines()
    return next((line.removeprefix("client: ") for line in lines if line.startswith("client: ")), "")


def test_what_a_route_of_ipam_announces_is_what_the_pods_syn_carries() -> None:
    """routes[].mtu and routes[].advmss of a result (spec 1.1.0) are metrics of the pod's route (plugins pkg/ipam/ipam_linux.go)."""
    net, hosts = lab({"a": 1})
    net.add_namespace("worker-1", "pod:m", "Pod m")
    to = {"dst": "10.244.2.0/24", "gw": "10.7.0.1", "mtu": 1300, "advmss": 900}
    ipam = {"type": "static", "addresses": [{"address": "10.7.0.2/24", "gateway": "10.7.0.1"}], "routes": [{"dst": "0.0.0.0/0"}, to]}
    plugin = {"type": "bridge", "bridge": "br7", "isGateway": True, "ipam": ipam}
    Runtime(hosts["worker-1"]).add(NetworkList.parse({"cniVersion": "1.1.0", "name": "m", "plugins": [plugin]}), "m", "pod:m")
    routes = [str(r) for r in net.namespaces["pod:m"].routes]
    assert "10.244.2.0/24 via 10.7.0.1 dev eth0 mtu 1300 advmss 900" in routes
    syn = put(net, State(), Question("pod:m", "10.244.2.9", 80, "TCP"), capture=True)
    assert syn.walk.frames is not None
    packets = [p for _, at, _, _, p in syn.walk.frames if at == "pod:m/eth0" and isinstance(p, Packet)]
    assert next(p.l4.mss for p in packets if isinstance(p.l4, Tcp)) == 900


def test_pods_on_two_nodes_keep_their_addresses() -> None:
    net, _ = lab({"a": 1, "b": 2, "c": 1})
    across, same = get(net, "pod:a", "10.244.2.2"), get(net, "pod:a", "10.244.1.3")
    assert (across.verdict, across.answered_by, seen(across)) == ("delivered", "b", "10.244.1.2")
    assert (same.verdict, same.answered_by, seen(same)) == ("delivered", "c", "10.244.1.2")


def test_a_node_reaches_remote_pods_with_the_address_of_its_flannel_device() -> None:
    net, _ = lab({"a": 1, "b": 2})
    assert seen(get(net, "worker-1", "10.244.2.2")) == "10.244.1.0"
    assert seen(get(net, "worker-1", "10.244.1.2")) == "10.244.1.1"


def test_without_the_fdb_entry_the_packet_is_lost() -> None:
    net, _ = lab({"a": 1, "b": 2})
    node = net.namespaces["worker-1"]
    entry = node.fdb[0]
    node.remove_fdb(entry.mac, entry.dev)
    assert get(net, "pod:a", "10.244.2.2").verdict == "timeout"
    node.add_fdb(entry.mac, entry.dev, dst=entry.dst)
    assert get(net, "pod:a", "10.244.2.2").verdict == "delivered"


def test_direct_routing_needs_no_tunnel() -> None:
    net, _ = lab({"a": 1, "b": 2}, Flannel(direct_routing=True))
    assert seen(get(net, "pod:a", "10.244.2.2")) == "10.244.1.2"


def test_what_leaves_the_cluster_is_masqueraded() -> None:
    net, _ = lab({"a": 1})
    outside = net.external("203.0.113.7")
    outside.listen(Listener("TCP", 80, HttpServer("outside"), "outside"))
    assert seen(get(net, "pod:a", "203.0.113.7")) == "192.168.50.11"
    net, _ = lab({"a": 1}, Flannel(ip_masq=False))
    net.external("203.0.113.7").listen(Listener("TCP", 80, HttpServer("outside"), "outside"))
    # the bridge plugin does it instead
    assert seen(get(net, "pod:a", "203.0.113.7")) == "192.168.50.11"


@pytest.mark.parametrize(
    ("src", "dst", "client"),
    [
        ("external:203.0.113.7", "192.168.50.11", "203.0.113.7"),  # from outside: the client's own address
        ("worker-2", "192.168.50.11", "192.168.50.12"),
        ("worker-1", "127.0.0.1", "10.244.1.1"),  # route_localnet and the mark for 127.0.0.1
        ("pod:a", "192.168.50.11", "10.244.1.1"),  # the pod itself: hairpin, the mark for its own network
        ("pod:c", "192.168.50.11", "10.244.1.1"),  # a neighbour on the same bridge
    ],
)
def test_host_port(src: str, dst: str, client: str) -> None:
    net, _ = lab({"a": 1, "c": 1}, ports={"a": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]})
    net.external("203.0.113.7")
    result = get(net, src, dst, 8080)
    assert (result.verdict, result.answered_by, seen(result)) == ("delivered", "a", client)
    assert get(net, src, dst, 8081).verdict == "refused"


def test_the_first_of_two_pods_with_one_host_port_takes_it() -> None:
    mapping = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    net, _ = lab({"a": 1, "c": 1}, ports={"a": mapping, "c": mapping})
    net.external("203.0.113.7")
    assert get(net, "external:203.0.113.7", "192.168.50.11", 8080).answered_by == "a"


def snapshot(*endpoints: str) -> Snapshot:
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    rules = [{"host": "shop.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    docs: list[dict[str, Any]] = [
        {"kind": "Ingress", "metadata": {"name": "i", "namespace": "d"}, "spec": {"rules": rules}},
        {"kind": "Service", "metadata": {"name": "s", "namespace": "d"}, "spec": {"ports": [{"port": 80}]}},
        {
            "kind": "EndpointSlice",
            "metadata": {"name": "s-1", "namespace": "d", "labels": {"kubernetes.io/service-name": "s"}},
            "endpoints": [{"addresses": [e]} for e in endpoints],
            "ports": [{"port": 80}],
        },
    ]
    return Snapshot(msgspec.convert(d, KINDS[d["kind"]][0]) for d in docs)


def test_both_legs_of_an_ingress_request() -> None:
    net, _ = lab({"client": 2, "controller": 1, "web": 2})
    controller = net.namespaces["pod:controller"]
    controller.listen(Listener("TCP", 8000, IngressController(lambda: snapshot("10.244.2.3")), "controller"))
    result = get(net, "pod:client", "10.244.1.2", 8000, "http://shop.example/cart")
    text = bytes(result.answer or b"").decode()
    assert text.startswith("HTTP/1.1 200 OK\r\n") and "pod: web\n" in text and "path: /cart" in text
    # the pod's peer is the controller; the client is known from the header alone
    assert seen(result) == "10.244.1.2" and "x-forwarded-for: 10.244.2.2" in text
    answer: Any = result.answer
    assert answer.exchange.trace and answer.exchange.trace.answered_by == "web" and answer.endpoint == "10.244.2.3:80"
    assert answer.decision.ingress == "d/i"


def test_the_controllers_answers_when_the_second_leg_fails() -> None:
    net, _ = lab({"client": 1, "controller": 1, "web": 2})
    controller = net.namespaces["pod:controller"]
    controller.listen(Listener("TCP", 8000, IngressController(lambda: snapshot("10.244.2.2")), "controller"))
    web = net.namespaces["pod:web"]
    web.copy_sockets([])
    refused = get(net, "pod:client", "10.244.1.3", 8000, "http://shop.example/")
    assert refused.verdict == "delivered" and bytes(refused.answer or b"").startswith(b"HTTP/1.1 502 Bad Gateway")
    node = net.namespaces["worker-1"]
    node.remove_fdb(node.fdb[0].mac, "flannel.1")
    lost = get(net, "pod:client", "10.244.1.3", 8000, "http://shop.example/")
    assert lost.verdict == "delivered" and bytes(lost.answer or b"").startswith(b"HTTP/1.1 504 Gateway Timeout")
    assert lost.elapsed >= 5
    missing = get(net, "pod:client", "10.244.1.3", 8000, "http://other.example/")
    assert bytes(missing.answer or b"").startswith(b"HTTP/1.1 404 Not Found")
