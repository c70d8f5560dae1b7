"""Links down, MTUs changed, bridge ports and sysctls set otherwise."""

from __future__ import annotations

from .draft import Draft, feature
from .modes import BRIDGED, TUNNELLED, device_to
from .shape import mac_of, port_of


# --------------------------------------------------------------------------------------------------- links and MTU
@feature("pod link down on node", *BRIDGED, "routed")
def veth_down(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"up {p['name']}", f"port {p['name']}")
    d.last = True
    d.run(p["node"], f"ip link set {port_of(p)} down")


@feature("pod eth0 down")
def eth0_down(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"up {p['name']}", f"port {p['name']}", f"default {p['name']}", f"route {p['name']}", f"neigh {p['name']}")
    d.last = True
    d.run(p["name"], "ip link set eth0 down")


@feature("cni0 down", *BRIDGED)
def cni0_down(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"up {n['name']} cni0")
    d.last = True
    d.run(n["name"], "ip link set cni0 down")


@feature("flannel.1 down", *TUNNELLED)
def flannel_down(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"up {n['name']} flannel.1", *(f"{w} {n['name']} {m['name']}" for w in ("route", "neigh", "fdb") for m in d.spec["nodes"]))
    d.last = True
    d.run(n["name"], "ip link set flannel.1 down")


@feature("node eth0 down")
def node_eth0_down(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"up {n['name']} eth0", f"default {n['name']}", *(f"route {n['name']} {m['name']}" for m in d.spec["nodes"]))
    d.last = True
    d.run(n["name"], "ip link set eth0 down")


@feature("pod mtu changed on one side", *BRIDGED, "routed")
def pod_mtu_side(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"mtu {p['name']}")
    mtu = d.rng.choice([1200, 1300, 1400, 1500])
    d.sizes.append(mtu)
    if d.rng.random() < 0.5:
        d.run(p["name"], f"ip link set eth0 mtu {mtu}")
    else:
        d.claim(f"mtu {p['node']} cni0")
        d.run(p["node"], f"ip link set {port_of(p)} mtu {mtu}")


@feature("pod mtu changed", *BRIDGED, "routed")
def pod_mtu(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"mtu {p['name']}", f"mtu {p['node']} cni0")
    mtu = d.rng.choice([1280, 1400, 1500])
    d.sizes.append(mtu)
    d.run(p["name"], f"ip link set eth0 mtu {mtu}")
    d.run(p["node"], f"ip link set {port_of(p)} mtu {mtu}")


@feature("flannel.1 mtu changed", *TUNNELLED)
def flannel_mtu(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"mtu {n['name']} flannel.1")
    mtu = d.rng.choice([1280, 1350, 1400])
    d.sizes.append(mtu)
    d.run(n["name"], f"ip link set flannel.1 mtu {mtu}")


@feature("cni0 mtu changed", *BRIDGED)
def cni0_mtu(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"mtu {n['name']} cni0")
    mtu = d.rng.choice([1280, 1350, 1400])
    d.sizes.append(mtu)
    d.run(n["name"], f"ip link set cni0 mtu {mtu}")


@feature("hairpin off", *BRIDGED)
def hairpin_off(d: Draft) -> None:
    n = d.node
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    d.claim(f"hairpin {n['name']}")
    for p in d.pods_of(n):
        d.run(n["name"], f"bridge link set dev {port_of(p)} hairpin off")


@feature("ports isolated", *BRIDGED)
def isolated(d: Draft) -> None:
    n = d.node
    mine = d.pods_of(n)
    d.claim(f"isolated {n['name']}")
    for p in d.rng.sample(mine, d.rng.randint(1, len(mine))):
        d.touch.append(p["name"])
        d.run(n["name"], f"bridge link set dev {port_of(p)} isolated on")


@feature("port does not learn or flood", *BRIDGED)
def port_flags(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"flags {p['name']}")
    for flag in d.rng.choice([("learning",), ("flood",), ("learning", "flood")]):
        d.run(p["node"], f"bridge link set dev {port_of(p)} {flag} off")


@feature("bridge fdb names the wrong port", *BRIDGED)
def wrong_port(d: Draft) -> None:
    p = d.pod
    others = [q for q in d.spec["pods"] if q["node"] == p["node"] and q is not p]
    d.touch += [p["name"], p["node"]]
    d.claim(f"bridge fdb {p['name']}")
    port = port_of(d.rng.choice(others or [p]))
    d.run(p["node"], f"bridge fdb add {mac_of(p['ip'])} dev {port} master static")


# --------------------------------------------------------------------------------------------------------- sysctls
@feature("bridge-nf off", *BRIDGED)
def bridge_nf_off(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"nf {n['name']}")
    d.run(n["name"], "sysctl -w net.bridge.bridge-nf-call-iptables=0")


@feature("ip_forward off")
def forward_off(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"forward {n['name']}")
    d.run(n["name"], "sysctl -w net.ipv4.ip_forward=0")


@feature("rp_filter")
def rp_filter(d: Draft) -> None:
    n = d.node
    d.touch += [n["name"], "ext"]
    d.claim(f"rp {n['name']}")
    mode = d.rng.choice([1, 1, 2])
    devices = [("all",), ("eth0",)]
    devices += [("cni0",)] if d.mode in BRIDGED else []
    devices += [("flannel/1",), ("eth0", "flannel/1")] if d.mode in TUNNELLED else []
    devices += [(device_to(d.spec, p),) for p in d.pods_of(n)] if d.mode == "routed" else []
    for dev in d.rng.choice(devices):
        d.run(n["name"], f"sysctl -w net.ipv4.conf.{dev}.rp_filter={mode}")


@feature("proxy_arp on cni0", *BRIDGED)
def proxy_arp(d: Draft) -> None:
    n = d.node
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    d.claim(f"proxy {n['name']}")
    d.run(n["name"], "sysctl -w net.ipv4.neigh.cni0.proxy_delay=0")
    d.run(n["name"], "sysctl -w net.ipv4.conf.cni0.proxy_arp=1")


@feature("echo ignored")
def echo_ignored(d: Draft) -> None:
    space = d.rng.choice([d.node, d.pod])["name"]
    d.touch.append(space)
    d.claim(f"echo {space}")
    d.run(space, "sysctl -w net.ipv4.icmp_echo_ignore_all=1")


@feature("route_localnet")
def route_localnet(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"localnet {n['name']}")
    d.run(n["name"], f"sysctl -w net.ipv4.conf.{d.rng.choice(['all', 'cni0' if d.mode in BRIDGED else 'eth0'])}.route_localnet=1")


@feature("proxy_arp off", "routed")
def no_proxy_arp(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"proxy {p['name']}")
    d.run(p["node"], f"sysctl -w net.ipv4.conf.{port_of(p)}.proxy_arp=0")


@feature("macvlan mode", "macvlan")
def macvlan_mode(d: Draft) -> None:
    """The pods of a node in another mode; passthru would leave room for one."""
    n = d.node
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    d.claim(f"macvlan {n['name']}")
    mode = d.rng.choice(["private", "vepa"])
    for p in d.pods_of(n):
        d.run(p["name"], f"ip link set eth0 type macvlan mode {mode}")


@feature("macvlan shim on the host", "macvlan")
def macvlan_shim(d: Draft) -> None:
    """A child of the node's own, with host routes to its pods: what lets the node and its pods talk."""
    n = d.node
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    d.claim(f"shim {n['name']}")
    d.run(n["name"], f"ip link add link eth0 name shim address {mac_of(n['ip'], 0x4A)} type macvlan mode bridge")
    d.run(n["name"], "ip link set shim up")
    for p in d.pods_of(n):
        d.run(n["name"], f"ip route add {p['ip']}/32 dev shim")
