"""CNI by hand: `CniRuntime`, and the record of what every plugin was asked, answered and changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.cni import CniError
from kubenet_lab.errors import NotFound

CONF: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "plugins": [
        {"type": "bridge", "isDefaultGateway": True, "ipMasq": True, "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}


def test_the_calls_of_add_in_order_and_a_delegate_inside_its_caller() -> None:
    done = kn.CniRuntime().add("demo", CONF, capabilities=PORTS)
    assert done and [(d, c.plugin, c.command) for d, c in done.walk()] == [
        (0, "bridge", "ADD"),
        (1, "host-local", "ADD"),
        (0, "portmap", "ADD"),
    ]
    bridge, portmap = done.calls
    assert bridge.environ == {
        "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "demo", "CNI_NETNS": "/var/run/netns/cni-pod-demo", "CNI_IFNAME": "eth0",
        "CNI_PATH": "/opt/cni/bin",
    }  # fmt: skip
    assert "prevResult" not in bridge.stdin and portmap.stdin["prevResult"] == bridge.stdout and portmap.stdin["runtimeConfig"] == PORTS
    assert "interfaces" not in (bridge.calls[0].stdout or {}) and done.result is not None and done.result.to_dict() == portmap.stdout


def test_what_each_call_changed() -> None:
    done = kn.CniRuntime().add("demo", CONF, capabilities=PORTS)
    bridge, portmap = done.calls
    ipam = bridge.calls[0]
    assert {(c.where, c.kind, c.what) for c in ipam.changes} == {
        ("disk", "file", "/var/lib/cni/networks/net/10.1.0.2"), ("disk", "file", "/var/lib/cni/networks/net/last_reserved_ip.0"),
        ("disk", "file", "/var/lib/cni/networks/net/lock"),
    }  # fmt: skip
    assert not set(ipam.changes) & set(bridge.own_changes) and set(ipam.changes) < set(bridge.changes)
    assert {c.what for c in done.changes_in("pod:demo") if c.kind == "address"} == {"10.1.0.2/24 dev eth0"}
    assert {c.kind for c in portmap.changes} == {"iptables", "sysctl"}
    assert sum(len(c.own_changes) for _, c in done.walk()) + 1 == len(done.changes)  # and the runtime's own file


def test_del_undoes_it_in_reverse() -> None:
    cni = kn.CniRuntime()
    added = cni.add("demo", CONF, capabilities=PORTS)
    gone = cni.delete("demo")
    assert [c.plugin for c in gone.calls] == ["portmap", "bridge"]
    assert all(c.stdin["prevResult"] == added.result.to_dict() for c in gone.calls)  # type: ignore[union-attr]
    lines = {(c.where, c.what) for c in gone.changes if c.action == "-"}
    assert ("disk", "/var/lib/cni/networks/net/10.1.0.2") in lines and ("pod:demo", "10.1.0.2/24 dev eth0") in lines
    assert cni.delete("demo") and cni.log[-1].changes == () and cni.attachments == ()


def test_an_error_is_an_answer_and_says_who_gave_it() -> None:
    cni = kn.CniRuntime()
    cni.add("one", CONF)
    failed = cni.add("one", CONF)
    assert not failed and failed.error is not None and failed.result is None
    assert [c.error is None for c in failed.calls] == [False] and "already exists" in failed.error.msg
    assert "error 999" in repr(failed) and failed.to_dict()["error"]["code"] == 999
    with pytest.raises(CniError, match="no 'plugins' key"):
        cni.add("two", {"name": "x"})


def test_a_pod_attached_by_hand_is_walked() -> None:
    cni = kn.CniRuntime()
    cni.add("a", CONF)
    cni.add("b", CONF)
    assert "1 received" in cni.run("a", "ping -c 1 10.1.0.3") and "ttl=63" in cni.run("a", "ping -c 1 192.168.50.1")
    assert "10.1.0.2" in cni.run("", "iptables-save") and "10.1.0.1/24" in cni.run("", "ip addr show cni0")
    cni.delete("b")
    assert "0 received" in cni.run("a", "ping -c 1 10.1.0.3")
    with pytest.raises(NotFound, match="nearest"):
        cni.run("aa", "ip link")


def test_gc_frees_what_a_crash_left() -> None:
    cni = kn.CniRuntime()
    conf = {**CONF, "cniVersion": "1.1.0"}
    cni.add("a", conf)
    cni.add("b", conf)
    cni.remove_sandbox("b")
    assert cni.gc(conf) and [a.container_id for a in cni.attachments] == ["a"]
    assert [p for p in cni.files if "/networks/net/10." in p] == ["/var/lib/cni/networks/net/10.1.0.2"]
    assert cni.status(conf)


def test_the_first_conflist_of_the_directory_is_the_nodes_network() -> None:
    cni = kn.CniRuntime()
    with pytest.raises(kn.KubenetError, match="no conflist given, and none in /etc/cni/net.d"):
        cni.add("demo")
    cni.install({**CONF, "name": "second"}, "20-second.conflist")
    cni.install(json.dumps(CONF), "10-first.conflist")
    assert cni.add("demo").network == "net" and cni.conflists[0] == "/etc/cni/net.d/10-first.conflist"


def test_it_shows_itself() -> None:
    done = kn.CniRuntime().add("demo", CONF)
    assert repr(done) == "Operation(ADD demo eth0 on network net: 10.1.0.2/24)"
    assert "  bridge ADD: ok\n    host-local ADD: ok\n  portmap ADD: ok" in str(done)
    assert "+ node: address 10.1.0.1/24 dev cni0" in done._repr_html_()
    frame = done.to_frame()
    assert set(frame.plugin) == {"bridge", "host-local"} and list(frame.columns)[:4] == ["plugin", "command", "where", "kind"]
    assert json.loads(json.dumps(done.to_dict()))["calls"][0]["calls"][0]["plugin"] == "host-local"
    again = kn.CniRuntime().add("demo", CONF)
    assert str(again) == str(done)


def test_names_with_markup_are_inert() -> None:
    done = kn.CniRuntime().add("demo", {**CONF, "plugins": [{"type": "<script>"}]})
    assert not done and "<script>" not in done._repr_html_()
