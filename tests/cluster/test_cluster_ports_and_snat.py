"""Namespaces that are shared (hostNetwork, several containers), host ports, and the source address that the world sees, by provider.

Source addresses of bridge + VXLAN and of host-gw were measured on Linux 6.18: a masquerade takes the address of the outgoing interface.
"""

from __future__ import annotations

from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.cni import PLUGINS
from tests.cluster.cluster_fixtures import SMALL, Doc, pod, service

WORLD, WORLD6 = "external:203.0.113.7", "external:2001:db8::7"
PROVIDERS: dict[str, Any] = {
    "vxlan": kn.Flannel(), "direct": kn.Flannel(direct_routing=True), "host-gw": kn.Flannel(backend="host-gw"),
    "udp": kn.Flannel(backend="udp"), "wireguard": kn.Flannel(backend="wireguard"), "bridge": "bridge",
}  # fmt: skip
if "ptp" in PLUGINS:
    PROVIDERS["ptp"] = "ptp"
ROUTED = ("bridge", "ptp")


def containers(*ports: tuple[str, int], **more: Any) -> list[Doc]:
    return [{"name": name, "image": "example/x:1", "ports": [{"containerPort": port, **more}]} for name, port in ports]


def host_pod(key: str, node: str, port: int) -> Doc:
    return pod(key, node, {}, (("http", port, "TCP"),), hostNetwork=True)


def host_port(key: str, node: str, port: int = 8080, **more: Any) -> Doc:
    doc = pod(key, node)
    doc["spec"]["containers"] = containers(("c", 80), hostPort=port, **more)
    return doc


def messages(cluster: kn.Cluster, label: str) -> list[str]:
    return [f.message for f in cluster.findings if f.object == label]


# ---------------------------------------------------------------------------------------------------------- hostNetwork
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_host_network_pod_is_its_node(provider: str) -> None:
    cluster = kn.load([*SMALL, host_pod("default/agent", "worker-2", 9100)], cni=PROVIDERS[provider])
    assert list(cluster.get("pod", "default/agent").ips) == ["192.168.50.12"]  # type: ignore[attr-defined]
    asked = cluster.connect("default/client", "default/agent", 9100)
    # a pod that leaves the pod network is masqueraded by flannel; plain routing shows it as it is
    assert (asked.answered_by, asked.source_seen) == ("default/agent", "10.244.0.2" if provider in ROUTED else "192.168.50.11")
    asks = cluster.connect("default/agent", "default/client", protocol="ICMP")
    own = {"vxlan": "10.244.1.0", "udp": "10.244.1.0", "wireguard": "10.244.1.0"}.get(provider, "192.168.50.12")
    assert asks.source_seen == own, "it speaks with the address of the node's way to that pod"
    assert cluster.connect("default/agent", WORLD).source_seen == "192.168.50.12"
    assert cluster.pod("default/agent").run("ip -br link") == cluster.node("worker-2").run("ip -br link")


def test_a_host_network_pod_has_its_nodes_addresses_of_both_families() -> None:
    cluster = kn.load([*SMALL, host_pod("default/agent", "worker-2", 9100)], ip_families=("IPv4", "IPv6"))
    assert list(cluster.get("pod", "default/agent").ips) == ["192.168.50.12", "fd50::c"]  # type: ignore[attr-defined]
    assert cluster.connect("default/client", "fd50::c", 9100).answered_by == "default/agent"


def test_two_host_network_pods_cannot_have_one_port() -> None:
    cluster = kn.load([host_pod(f"default/{name}", f"worker-{n}", 9100) for name, n in (("a", 1), ("b", 1), ("c", 2))])
    assert cluster.connect(WORLD, "node:worker-1", 9100).answered_by == "default/a"
    assert messages(cluster, "Pod default/b") == [
        "9100/TCP is taken by default/a in the network namespace of node:worker-1: bind fails, Address already in use"
    ]
    assert messages(cluster, "Pod default/a") == messages(cluster, "Pod default/c") == []
    # the node's own programs are there first
    kubelet = kn.load([host_pod("default/a", "worker-1", 10250)])
    assert "10250/TCP is taken by node:worker-1" in messages(kubelet, "Pod default/a")[0]


# --------------------------------------------------------------------------------------------------- several containers
def test_containers_of_a_pod_share_one_namespace() -> None:
    doc = pod("default/pair", "worker-2")
    doc["spec"]["containers"] = containers(("app", 8080), ("sidecar", 15001))
    cluster = kn.load([*SMALL, doc])
    for port in (8080, 15001):
        assert cluster.connect("default/client", "default/pair", port).answered_by == "default/pair"
    inside = cluster.pod("default/pair")
    assert inside.run("ss -ltn").count("LISTEN") == 2
    assert "succeeded" in inside.run("nc -zv 127.0.0.1 15001"), "one container reaches the other by localhost"
    assert messages(cluster, "Pod default/pair") == []


def test_a_sidecar_listens_too() -> None:
    """test/e2e/network/service.go: "should connect to the ports exposed by restartable init containers"."""
    doc = pod("a", "worker-1", {"app": "a"})
    own = {"name": "set-up", "image": "x", "ports": [{"name": "setup", "containerPort": 9001}]}
    mesh = {"name": "mesh", "image": "x", "restartPolicy": "Always", "ports": [{"name": "mesh", "containerPort": 9000}]}
    doc["spec"]["initContainers"] = [own, mesh]
    ports = ({"name": "m", "port": 81, "targetPort": "mesh"}, {"name": "s", "port": 82, "targetPort": "setup"})
    cluster = kn.load([*SMALL[:3], doc, pod("guest", "worker-2"), service("front", {"app": "a"}, *ports)])
    assert cluster.connect("default/guest", "svc:default/front", 81).verdict == "delivered"
    assert cluster.connect("default/guest", "svc:default/front", 82).verdict == "refused"  # nobody has a port of that name
    assert cluster.connect("default/guest", "default/a", 9001).verdict == "refused"  # it has ended


def test_two_containers_that_name_one_port() -> None:
    doc = pod("default/pair", "worker-2")
    doc["spec"]["containers"] = containers(("app", 8080), ("copy", 8080), ("other", 9090))
    cluster = kn.load([*SMALL, doc])
    assert messages(cluster, "Pod default/pair") == [
        "containers app and copy both name 8080/TCP: they share one network namespace, so the later one fails: Address already in use"
    ]
    assert cluster.connect("default/client", "default/pair", 8080) and cluster.connect("default/client", "default/pair", 9090)
    # what is said to listen is what listens
    assert messages(kn.load([*SMALL, doc], listening={"default/pair": [8080]}), "Pod default/pair") == []
    # TCP and UDP are two ports
    doc["spec"]["containers"][1]["ports"] = [{"containerPort": 8080, "protocol": "UDP"}]
    assert messages(kn.load([*SMALL, doc]), "Pod default/pair") == []


# ------------------------------------------------------------------------------------------------------------ host ports
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("src", "seen"),
    [(WORLD, "203.0.113.7"), ("node:worker-2", "192.168.50.12"), ("default/far", ""), ("default/client", "")],
    ids=["world", "other node", "pod of another node", "neighbour"],
)
def test_a_host_port_on_every_provider(provider: str, src: str, seen: str) -> None:
    cluster = kn.load([*SMALL, host_port("default/web", "worker-1")], cni=PROVIDERS[provider])
    trace = cluster.connect(src, "node:worker-1", 8080)
    assert trace.answered_by == "default/web"
    if src == "default/far":
        # its packet leaves the pod network towards the node, so flannel masquerades it on its own node
        seen = "10.244.1.2" if provider in ROUTED else "192.168.50.12"
    if src == "default/client":
        # from the pods' own subnet: portmap marks it, so that the answer comes back by the node
        seen = "10.244.0.1"
    assert trace.source_seen == seen
    assert cluster.connect(src, "node:worker-1", 8081).verdict == "refused"


def test_a_host_port_in_both_families() -> None:
    cluster = kn.load([*SMALL, host_port("default/web", "worker-1")], ip_families=("IPv4", "IPv6"))
    for src, dst, seen in ((WORLD, "192.168.50.11", "203.0.113.7"), (WORLD6, "fd50::b", "2001:db8::7")):
        trace = cluster.connect(src, dst, 8080)
        assert (trace.answered_by, trace.source_seen) == ("default/web", seen)
    only = kn.load([*SMALL, host_port("default/web", "worker-1", hostIP="192.168.50.11")], ip_families=("IPv4", "IPv6"))
    assert only.connect(WORLD, "192.168.50.11", 8080) and only.connect(WORLD6, "fd50::b", 8080).verdict == "refused"


def test_one_host_port_for_two_pods() -> None:
    cluster = kn.load([host_port("default/a", "worker-1"), host_port("default/b", "worker-1"), host_port("default/c", "worker-2")])
    assert cluster.connect(WORLD, "node:worker-1", 8080).answered_by == "default/a"
    assert messages(cluster, "Pod default/b") == [
        "host port 8080/TCP of worker-1 is claimed by default/a too: the rule that was written first takes the traffic"
    ]
    assert messages(cluster, "Pod default/a") == messages(cluster, "Pod default/c") == []
    apart = [host_port("default/a", "worker-1", hostIP="127.0.0.1"), host_port("default/b", "worker-1", hostIP="192.168.50.11")]
    assert messages(kn.load(apart), "Pod default/b") == []


def test_a_network_without_portmap_maps_no_host_port() -> None:
    plugin = {"type": "bridge", "isDefaultGateway": True, "ipam": {"type": "host-local", "ranges": [[{"subnet": "{{.PodCIDR}}"}]]}}
    cni = kn.Conflist({"cniVersion": "1.0.0", "name": "bare", "plugins": [plugin]})
    cluster = kn.load([*SMALL, host_port("default/web", "worker-1")], cni=cni)
    assert cluster.connect(WORLD, "node:worker-1", 8080).verdict == "refused"
    assert "hostPort 8080: no plugin of network bare has the capability portMappings" in messages(cluster, "Pod default/web")[0]
    assert cluster.connect("default/client", "default/web", 80)


# ---------------------------------------------------------------------------------------------------- SNAT to the outside
@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_the_world_sees(provider: str) -> None:
    cluster = kn.load(SMALL, cni=PROVIDERS[provider])
    plain = provider in ROUTED
    assert cluster.connect("default/client", WORLD).source_seen == ("10.244.0.2" if plain else "192.168.50.11")
    assert cluster.connect("default/client", "external:192.168.50.200").source_seen == ("10.244.0.2" if plain else "192.168.50.11")
    assert cluster.connect("node:worker-1", WORLD).source_seen == "192.168.50.11"
    # between pods nobody is hidden
    assert cluster.connect("default/client", "default/far", 8080).source_seen == "10.244.0.2"


def test_without_ip_masq_the_bridge_plugin_masquerades_and_hides_pods_from_each_other() -> None:
    """flanneld without --ip-masq says so in subnet.env; the delegate then has ipMasq, which exempts the pod's own subnet only."""
    cluster = kn.load(SMALL, cni=kn.Flannel(ip_masq=False))
    assert "FLANNEL-POSTRTG" not in cluster.node("worker-1").iptables_save()
    assert cluster.connect("default/client", WORLD).source_seen == "192.168.50.11"
    assert cluster.connect("default/client", "default/far", 8080).source_seen == "10.244.0.0", "the flannel device's address"
    assert cluster.connect("default/client", "default/near", 8080).source_seen == "10.244.0.2"


@pytest.mark.parametrize("fully", [True, False])
def test_random_fully_where_iptables_has_it(fully: bool) -> None:
    rules = kn.load(SMALL, cni=kn.Flannel(random_fully=fully)).node("worker-1").iptables_save()
    own = [line for line in rules.splitlines() if line.startswith("-A FLANNEL-POSTRTG") and "MASQUERADE" in line]
    assert len(own) == 2 and all(line.endswith("--random-fully") == fully for line in own)


def test_forwarding_rules_can_be_left_out() -> None:
    drop = "iptables -P FORWARD DROP"
    for wanted in (True, False):
        cluster = kn.load(SMALL, cni=kn.Flannel(forward_rules=wanted))
        cluster.node("worker-1").run(drop)
        assert ("FLANNEL-FWD" in cluster.node("worker-1").iptables_save()) == wanted
        assert bool(cluster.connect("default/client", "default/far", 8080)) == wanted, "a firewall's policy is met by flannel's ACCEPT"


# -------------------------------------------------------------------------------------- what a masquerade depends on
@pytest.mark.parametrize(
    ("commands", "goes_on"),
    [
        ("ip link set flannel.1 down; ip link set flannel.1 up", False),
        ("ip link del flannel.1", False),
        ("ip addr del 10.244.0.0/32 dev flannel.1", False),
        ("ip addr add 10.9.9.9/32 dev flannel.1; ip addr del 10.9.9.9/32 dev flannel.1", True),
        ("ip link set cni0 down; ip link set cni0 up", True),
        ("ip route flush cache", True),
    ],
)
@pytest.mark.parametrize("target", ["MASQUERADE", "SNAT --to-source 10.244.0.0"])
def test_a_masqueraded_connection_ends_with_its_device_or_address(commands: str, goes_on: bool, target: str) -> None:
    """nf_nat_masquerade.c masq_device_event, inet_cmp. SNAT to the same address remembers no device."""
    cluster = kn.example("bookshop")
    node, listing = cluster.node("worker-1"), "conntrack -L -p tcp --orig-port-dst 8080"
    node.run(f"iptables -t nat -I POSTROUTING -o flannel.1 -p tcp -j {target}")
    cluster.open("node:worker-1", "svc:shop/cart", port=8080)
    assert "dst=10.244.0.0 " in str(node.run(listing))
    node.run(commands)
    assert ("dst=10.244.0.0 " in str(node.run(listing))) is (goes_on or target != "MASQUERADE")
