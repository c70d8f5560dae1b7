"""Runs inside fresh network and mount namespaces: two nodes, routed pods, an outside host, kube-router's rules, real probes.

stdin: {"nodes": {name: {"ip", "cidr", "ipset", "iptables"}}, "pods": [{"key", "ip", "node"}], "outside": [ip],
        "probes": [[source, destination, port, protocol]]}; stdout: a list, true where the payload arrived.
An end is "pod ns/name", "node name" or "outside ip". Every address serves ports 80 and 81 over TCP and UDP.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys

PORTS = (80, 81)
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def inside(ns: str, *words: str, feed: str = "") -> None:
    subprocess.run(["ip", "netns", "exec", ns, *words], check=True, capture_output=True, input=feed.encode())


def wire(ns: str, device: str, peer_ns: str | None, peer: str) -> None:
    where = ["netns", peer_ns] if peer_ns else []
    ip("link", "add", device, "netns", ns, "type", "veth", "peer", "name", peer, *where)
    ip("-n", ns, "link", "set", device, "up")
    ip(*(["-n", peer_ns] if peer_ns else []), "link", "set", peer, "up")


def build(world: dict) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)
    ip("link", "add", "wire", "type", "bridge")
    ip("link", "set", "wire", "up")
    for ns in [*world["nodes"], "outside", *(p["ns"] for p in world["pods"])]:
        ip("netns", "add", ns)
        ip("-n", ns, "link", "set", "lo", "up")
        inside(ns, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 1 > /proc/sys/net/ipv4/ip_forward")
    addresses = {**{n: v["ip"] for n, v in world["nodes"].items()}, "outside": "192.168.50.100"}
    for i, (ns, address) in enumerate(addresses.items()):
        wire(ns, "eth0", None, f"port{i}")
        ip("link", "set", f"port{i}", "master", "wire")
        ip("-n", ns, "addr", "add", f"{address}/24", "dev", "eth0")
    for address in world["outside"]:
        ip("-n", "outside", "addr", "add", f"{address}/32", "dev", "lo")
    for name, node in world["nodes"].items():
        for ns in addresses:
            if ns != name:
                ip("-n", ns, "route", "add", node["cidr"], "via", node["ip"])
        for address in world["outside"]:
            ip("-n", name, "route", "add", f"{address}/32", "via", addresses["outside"])
    for i, pod in enumerate(world["pods"]):
        wire(pod["ns"], "eth0", pod["node"], f"veth{i}")
        ip("-n", pod["ns"], "addr", "add", f"{pod['ip']}/32", "dev", "eth0")
        ip("-n", pod["ns"], "route", "add", "169.254.1.1", "dev", "eth0", "scope", "link")
        ip("-n", pod["ns"], "route", "add", "default", "via", "169.254.1.1")
        ip("-n", pod["node"], "addr", "add", "169.254.1.1/32", "dev", f"veth{i}")
        ip("-n", pod["node"], "route", "add", pod["ip"], "dev", f"veth{i}", "src", world["nodes"][pod["node"]]["ip"])
    for name, node in world["nodes"].items():
        inside(name, "ipset", "restore", feed=node["ipset"])
        inside(name, "iptables-restore", "--noflush", feed=node["iptables"])


def enter(ns: str) -> None:
    with open(f"/run/netns/{ns}") as f:
        if LIBC.setns(f.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), ns)


def serve(namespaces: list[str]) -> dict:
    servers = {}
    for ns in namespaces:
        enter(ns)
        for port in PORTS:
            tcp = socket.socket()
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(("0.0.0.0", port))
            tcp.listen(4096)
            udp = socket.socket(type=socket.SOCK_DGRAM)
            udp.bind(("0.0.0.0", port))
            for s in (tcp, udp):
                s.settimeout(0.25)
            servers[ns, port] = tcp, udp
    return servers


def probe(servers: dict, src: tuple[str, str], dst: tuple[str, str], port: int, protocol: str) -> bool:
    """Did it arrive at that address's server?"""
    enter(src[0])
    client = socket.socket(type=socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
    client.settimeout(0.25)
    client.bind((src[1], 0))
    tcp, udp = servers[dst[0], port]
    try:
        client.connect((dst[1], port))
        if protocol == "TCP":
            tcp.accept()[0].close()
        else:
            client.send(b"probe")
            udp.recv(16)
        return True
    except OSError:
        return False
    finally:
        client.close()


def main() -> None:
    world = json.load(sys.stdin)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)  # the namespace of the wire lives as long as somebody holds it
    for i, pod in enumerate(world["pods"]):
        pod["ns"] = f"pod{i}"
    build(world)
    ends = {f"node {n}": (n, v["ip"]) for n, v in world["nodes"].items()}
    ends |= {f"outside {a}": ("outside", a) for a in world["outside"]}
    ends |= {f"pod {p['key']}": (p["ns"], p["ip"]) for p in world["pods"]}
    servers = serve([*world["nodes"], "outside", *(p["ns"] for p in world["pods"])])
    json.dump([probe(servers, ends[s], ends[d], port, protocol) for s, d, port, protocol in world["probes"]], sys.stdout)
    os.close(home)


if __name__ == "__main__":
    main()
