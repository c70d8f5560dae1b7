"""Dumps of flannel clusters: what the objects show of backend, families and conflist is what runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab import NotModelled
from tests.cluster.cluster_fixtures import Doc, node, observed, pod, running

PORTS = (("http", 8080, "TCP"),)
CNI_CONF = {
    "name": "cbr0", "cniVersion": "0.3.1",
    "plugins": [{"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}},
                {"type": "portmap", "capabilities": {"portMappings": True}}],
}  # fmt: skip
ADDRESSES = {4: ("192.168.50.{}", "10.244.{}.0/24", "10.244.{}.7"), 6: ("fd50::{}", "fd00:10:244:{}::/64", "fd00:10:244:{}::7")}


def net_conf(backend: dict[str, Any] | None, **more: Any) -> Doc:
    text = json.dumps({"Network": "10.244.0.0/16", **({"Backend": backend} if backend is not None else {}), **more})
    data = {"net-conf.json": text, "cni-conf.json": json.dumps(CNI_CONF)}
    meta = {"name": "kube-flannel-cfg", "namespace": "kube-flannel"}
    return observed({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})


def agent(*args: str) -> Doc:
    container = {"name": "kube-flannel", "image": "flannel-io/flannel:v0.27.0", "command": ["/opt/bin/flanneld"], "args": list(args)}
    template = {"metadata": {"labels": {"app": "flannel"}}, "spec": {"hostNetwork": True, "containers": [container]}}
    return observed({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "kube-flannel-ds", "namespace": "kube-flannel"},
        "spec": {"selector": {"matchLabels": {"app": "flannel"}}, "template": template},
    })  # fmt: skip


def machines(backend: str, families: tuple[int, ...] = (4,), other: str = "") -> list[Doc]:
    """Two nodes with a pod each, as a dump shows them; `other` is the second node's backend."""
    out = []
    for i in (1, 2):
        key, kind = "flannel.alpha.coreos.com", (other if i == 2 and other else backend)
        notes = {f"{key}/kube-subnet-manager": "true", f"{key}/backend-type": kind}
        for fam in families:
            six = "v6" if fam == 6 else ""
            data = {"vxlan": {"VNI": 1, "VtepMAC": f"0a:00:00:00:{fam:02x}:{i:02x}"}, "wireguard": {"PublicKey": f"key{i}"}}.get(kind)
            notes[f"{key}/backend{'-v6' if six else ''}-data"] = json.dumps(data)
            notes[f"{key}/public-ip{six}"] = ADDRESSES[fam][0].format(10 + i)
        doc = observed(node(f"n{i}", ADDRESSES[families[0]][0].format(10 + i), annotations=notes))
        cidrs, ips, hosts = ([ADDRESSES[f][k].format(n) for f in families] for k, n in ((1, i), (2, i), (0, 10 + i)))
        doc["spec"] = {"podCIDR": cidrs[0], "podCIDRs": cidrs}
        doc["status"]["addresses"] = [{"type": "InternalIP", "address": a} for a in hosts]
        alive = running(pod(f"default/p{i}", f"n{i}", {}, PORTS), ips[0], hosts[0])
        alive["status"]["podIPs"] = [{"ip": ip} for ip in ips]
        out += [doc, alive]
    return out


BACKENDS: dict[str, dict[str, Any] | None] = {
    "vxlan": {"Type": "vxlan"}, "host-gw": {"Type": "host-gw"}, "wireguard": {"Type": "wireguard"}, "udp": None,
}  # fmt: skip


#: the udp backend carries IPv4 only
SHOWN = [(b, f) for b in BACKENDS for f in ((4,), (4, 6), (6, 4), (6,)) if b != "udp" or f == (4,)]


@pytest.mark.parametrize(("backend", "families"), SHOWN, ids=str)
def test_a_dump_runs_as_it_says(backend: str, families: tuple[int, ...]) -> None:
    six = {"EnableIPv6": True, "IPv6Network": "fd00:10:244::/56"} if 6 in families else {}
    four = {} if 4 in families else {"EnableIPv4": False}
    docs = [net_conf(BACKENDS[backend], **six, **four), agent("--ip-masq", "--kube-subnet-mgr"), *machines(backend, families)]
    cluster = kn.load(docs)
    assert cluster.pod_network == f"flannel {backend}" and not [f for f in cluster.findings if "flannel" in f.message]
    shown = [a for a in cluster.assumptions if a.what == "pod network"]
    assert [(a.how, a.why) for a in shown] == [("detected", "ConfigMap kube-flannel/kube-flannel-cfg, net-conf.json")]
    for fam in families:
        trace = cluster.connect("default/p1", ADDRESSES[fam][2].format(2), 8080)
        assert (trace.answered_by, trace.source_seen) == ("default/p2", ADDRESSES[fam][2].format(1))
    if backend == "vxlan":
        assert f"0a:00:00:00:{families[0]:02x}:02 dev flannel" in cluster.node("n1").run("bridge fdb show"), "observed VTEP MACs are used"


def test_without_objects_of_its_own_the_nodes_show_it() -> None:
    cluster = kn.load(machines("host-gw"))
    assert cluster.pod_network == "flannel host-gw" and cluster.connect("default/p1", "default/p2", 8080)


def test_a_configuration_that_was_edited_and_not_read() -> None:
    cluster = kn.load([net_conf({"Type": "host-gw"}), agent("--ip-masq"), *machines("vxlan")])
    note = next(a for a in cluster.assumptions if a.what == "flannel backend")
    assert (note.value, note.how) == ("vxlan", "observed") and "net-conf.json says host-gw" in note.why
    assert any("vxlan" in h.code for h in cluster.connect("default/p1", "default/p2", 8080).hops)
    # restarted, they do what it says
    restarted = cluster.copy(cni=kn.Flannel(backend="host-gw"))
    assert not any("vxlan" in h.code for h in restarted.connect("default/p1", "default/p2", 8080).hops)
    assert not [a for a in restarted.assumptions if a.what == "flannel backend"]


def test_daemons_of_two_backends_ignore_each_other() -> None:
    cluster = kn.load([net_conf({"Type": "vxlan"}), agent("--ip-masq"), *machines("vxlan", other="host-gw")])
    said = [f.message for f in cluster.findings if f.object == "Node n2"]
    assert any("Ignoring non-vxlan subnet: type=host-gw" in m for m in said)
    assert "10.244.2.0/24" not in cluster.node("n1").run("ip route")


def test_the_daemons_flags() -> None:
    without = kn.load([net_conf({"Type": "vxlan"}), agent("--kube-subnet-mgr"), *machines("vxlan")])
    assert "FLANNEL-POSTRTG" not in without.node("n1").iptables_save()
    assert "FLANNEL_IPMASQ=false" in without.node("n1").run("cat /run/flannel/subnet.env")


def test_the_conflist_of_the_dump_is_the_one_that_runs() -> None:
    config = net_conf({"Type": "vxlan"})
    changed = json.loads(json.dumps(CNI_CONF))
    changed["plugins"][0]["delegate"] |= {"bridge": "cbr1", "hairpinMode": False}
    config["data"]["cni-conf.json"] = json.dumps(changed)
    cluster = kn.load([config, agent("--ip-masq"), *machines("vxlan")])
    assert "cbr1" in cluster.node("n1").run("ip -br link") and "hairpin off" in cluster.node("n1").run("bridge -d link")
    changed["plugins"].append({"type": "bandwidth"})
    config["data"]["cni-conf.json"] = json.dumps(changed)
    with pytest.raises(NotModelled, match="flannel's cni-conf.json: CNI plugin bandwidth"):
        kn.load([config, agent("--ip-masq"), *machines("vxlan")]).connect("default/p1", "default/p2", 8080)


def test_backends_without_a_model_still_load() -> None:
    cluster = kn.load([net_conf({"Type": "ipip"}), agent("--ip-masq"), *machines("ipip")])
    assert cluster.summary() and cluster.get("pod", "default/p1").ips  # type: ignore[attr-defined]
    with pytest.raises(NotModelled, match="flannel backend ipip: the lab has no IPIP device yet"):
        cluster.connect("default/p1", "default/p2", 8080)


@pytest.mark.parametrize("workload", ["kindnet", "kubenet-agent"])
def test_kindnet_is_named_and_not_taken_for_a_bridge(workload: str) -> None:
    agent_of = {"name": "c", "image": "docker.io/kindest/kindnetd:v20250512"}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [agent_of]}}
    doc = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": workload, "namespace": "kube-system"},
           "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}  # fmt: skip
    with pytest.raises(NotModelled, match="pod network: kindnet"):
        kn.load([pod("default/a"), pod("default/b", ports=PORTS), doc]).connect("default/a", "default/b", 8080)
