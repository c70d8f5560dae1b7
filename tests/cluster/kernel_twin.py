"""A twin of a cluster in real network namespaces: what the lab programmed, loaded into the kernel of this machine and asked the same.

`describe` makes a JSON-able value of a cluster's network; `python -m tests.cluster.kernel_twin` builds that from standard input in
namespaces of its own, asks, and prints the answers. Nothing is published under /run/netns, so nothing is left behind.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from tests.cluster.twin_many import WAIT, ask_many, inside, opened
from tests.kernel_lab.netns import Space

#: (namespace, protocol, address, port; for ICMP the payload's size instead)
Question = tuple[str, str, str, int]


def describe(network: Any, questions: list[Question]) -> dict[str, Any]:
    """Everything that the twin is made from."""
    from kubenet_lab.kernel.shell.commands import commands_for

    spaces: dict[str, Any] = {}
    veths, children, wires = [], [], {}
    for id, ns in network.namespaces.items():
        for link in ns.links.values():
            if link.kind == "veth" and link.peer is not None and (id, link.name) < link.peer:
                veths.append([id, link.name, *link.peer])
            elif link.kind == "macvlan" and link.macvlan.lower[0] != id:
                children.append([id, link.name, *link.macvlan.lower, link.macvlan.mode])
            elif link.kind == "physical":
                wires.setdefault(link.segment, []).append([id, link.name])
        spaces[id] = {
            "commands": [c for c in commands_for(ns) if not c.startswith("#")],
            "rules": {str(fam): ns.ruleset(fam).save() for fam in (4, 6)},
            "nft": ns.nft.ruleset(),
            "ipsets": ns.ipsets.save() if ns.ipsets else "",
            "bridge_nf": [ns.sysctl(f"net.bridge.bridge-nf-call-{t}") for t in ("iptables", "ip6tables")],
            "announced": [[dev, ip] for dev, ip in ns.announced],
            "listen": [[k.protocol, k.port, k.owner] for k in ns.listeners if not k.address],
        }
    return {"spaces": spaces, "veths": veths, "children": children, "wires": wires, "questions": questions}


class Servers:
    """Sockets in many namespaces; each says who it is and whom it sees."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        threading.Thread(target=self._serve, daemon=True).start()

    def listen(self, space: Space, protocol: str, port: int, owner: str) -> None:
        with space:
            s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            s.bind(("::", port))
        if protocol == "UDP":
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        s.setblocking(False)
        if protocol == "TCP":
            s.listen(1024)
        self.selector.register(s, selectors.EVENT_READ, (protocol, owner))

    def answer_for(self, space: Space, dev: str, ip: str) -> None:
        """As a program with a raw socket does for an address that is none of its machine's (RFC 826, RFC 4861)."""
        with space:
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD if ":" in ip else 0x0806))
            s.bind((dev, 0x86DD if ":" in ip else 0x0806))
        mine = s.getsockname()[4]
        answer = advertisement if ":" in ip else arp_reply

        def serve() -> None:
            while True:
                if reply := answer(s.recv(2048), mine, ip):
                    s.send(reply)

        threading.Thread(target=serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            for key, _ in self.selector.select(0.2):
                with suppress(OSError):
                    self._one(key.fileobj, *key.data)

    def _one(self, ready: Any, protocol: str, owner: str) -> None:
        if protocol == "TCP":
            conn, peer = ready.accept()
            conn.sendall(_answer(owner, peer))
            conn.close()
        else:
            # the answer comes from the address that was asked, as DNS servers do it; else the route would choose one
            _, asked, _, peer = ready.recvmsg(65535, 256)
            own = [(level, kind, data[:16] + b"\0\0\0\0") for level, kind, data in asked]
            ready.sendmsg([_answer(owner, peer)], own, 0, peer)


def arp_reply(frame: bytes, mine: bytes, ip: str) -> bytes:
    """The answer to a request for `ip`; nothing to other frames."""
    arp, wanted = frame[14:42], socket.inet_aton(ip)
    if arp[6:8] != b"\x00\x01" or arp[24:28] != wanted:
        return b""
    asker = arp[8:18]
    return asker[:6] + mine + b"\x08\x06" + arp[:6] + b"\x00\x02" + mine + wanted + asker


def advertisement(frame: bytes, mine: bytes, ip: str) -> bytes:
    """The neighbour advertisement that answers a solicitation for `ip`; nothing to other frames."""
    head, body, wanted = frame[14:54], frame[54:], socket.inet_pton(socket.AF_INET6, ip)
    if head[6] != socket.IPPROTO_ICMPV6 or body[:1] != b"\x87" or body[8:24] != wanted:
        return b""
    asker = head[8:24]
    said = b"\x88\0\0\0" + b"\x60\0\0\0" + wanted + b"\x02\x01" + mine  # solicited, override; the target's link-layer address
    total = sum(struct.unpack("!36H", wanted + asker + struct.pack("!II", len(said), socket.IPPROTO_ICMPV6) + said))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    said = said[:2] + struct.pack("!H", ~total & 0xFFFF) + said[4:]
    header = b"\x60\0\0\0" + struct.pack("!HBB", len(said), socket.IPPROTO_ICMPV6, 255) + wanted + asker
    return frame[6:12] + mine + b"\x86\xdd" + header + said


def _answer(owner: str, peer: tuple[Any, ...]) -> bytes:
    return json.dumps([owner, peer[0].removeprefix("::ffff:")]).encode()


def ask(space: Space, protocol: str, dst: str, port: int) -> list[str]:
    """[verdict, who answered, whom it saw]."""
    if protocol == "ICMP":
        return [ping(space, dst, port), "", ""]
    try:
        data = _exchange(space, protocol, dst, port)
        return ["delivered", *json.loads(data)] if data else ["refused", "", ""]
    except TimeoutError:
        return ["timeout", "", ""]
    except ConnectionError:
        return ["refused", "", ""]
    except OSError as e:
        return ["unreachable" if e.errno in (13, 22, 101, 113) else f"errno {e.errno}", "", ""]


def _exchange(space: Space, protocol: str, dst: str, port: int) -> bytes:
    """What a server says to a new socket. Raises OSError, TimeoutError after WAIT seconds of silence."""
    with opened(space, protocol, dst) as s:
        s.settimeout(WAIT)
        s.connect((dst, port))
        if protocol == "UDP":
            s.send(b"?")
        return s.recv(4096)


def ping(space: Space, dst: str, size: int) -> str:
    """Three in a row: the first may have to learn the path MTU."""
    command = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", "-M", "do", "-s", str(size), dst]
    with inside(space):
        done = subprocess.run(command, text=True, capture_output=True, check=False)
    text = done.stdout + done.stderr
    if re.search(r"[1-3] received", text):
        return "delivered"
    return "too-big" if "too long" in text or "Packet too big" in text or "Frag needed" in text else "lost"


def ttl_path(space: Space, dst: str) -> list[str]:
    text = space.run("traceroute", "-n", "-q", "1", "-w", "1", "-m", "6", dst, check=False)
    return [line.split()[1] for line in text.splitlines() if re.match(r"\s*\d+ ", line)]


def build(spec: dict[str, Any]) -> dict[str, Space]:
    spaces = {id: Space(id) for id in spec["spaces"]}
    home = Space("wires")
    for id, space in spaces.items():
        for key, value in (("net.ipv4.conf.all.rp_filter", 0), ("net.ipv4.conf.default.rp_filter", 0), ("net.ipv4.icmp_ratemask", 0),
                           ("net.ipv6.icmp.ratemask", "127"), ("net.ipv6.conf.default.accept_dad", 0)):  # fmt: skip
            space.sysctl(key, value)
        for table, on in zip(("iptables", "ip6tables"), spec["spaces"][id]["bridge_nf"], strict=True):
            space.sysctl(f"net.bridge.bridge-nf-call-{table}", on)
    for a, name, b, other in spec["veths"]:
        home.run("ip", "link", "add", name, "netns", spaces[a].path, "type", "veth", "peer", "name", other, "netns", spaces[b].path)
    for i, ports in enumerate(spec["wires"].values()):
        home.run("ip", "link", "add", f"wire{i}", "mtu", "9000", "type", "bridge", "mcast_snooping", "0")
        home.run("ip", "link", "set", f"wire{i}", "up")
        for j, (id, name) in enumerate(ports):
            home.run("ip", "link", "add", f"p{i}.{j}", "mtu", "9000", "type", "veth", "peer", "name", name, "netns", spaces[id].path)
            home.run("ip", "link", "set", f"p{i}.{j}", "master", f"wire{i}", "up")
    for i, (id, name, parent, dev, mode) in enumerate(spec["children"]):
        spaces[parent].run("ip", "link", "add", "link", dev, "name", f"child{i}", "type", "macvlan", "mode", mode)
        spaces[parent].run("ip", "link", "set", f"child{i}", "netns", spaces[id].path)
        spaces[id].run("ip", "link", "set", f"child{i}", "name", name)
    # nodes before pods: a child comes up only where its parent is
    for id, space in sorted(spaces.items(), key=lambda s: s[0].startswith("pod:")):
        script = "\n".join(f"{line} || {{ echo failed: {line!r} >&2; exit 1; }}" for line in spec["spaces"][id]["commands"])
        space.run("sh", "-c", script)
        if spec["spaces"][id]["ipsets"]:
            space.run("ipset", "restore", stdin=spec["spaces"][id]["ipsets"])
        if spec["spaces"][id]["nft"]:
            space.run("nft", "-f", "-", stdin=spec["spaces"][id]["nft"])  # first, as kube-proxy starts before the pod network's agent
        for fam, text in spec["spaces"][id]["rules"].items():
            space.run(f"{'iptables' if fam == '4' else 'ip6tables'}-{spec.get('iptables', 'legacy')}-restore", stdin=text)
    return spaces


def serve(servers: Servers, spaces: dict[str, Space], spec: dict[str, Any]) -> None:
    """Start every server of the spec in its namespace, and the programs that answer for announced addresses."""
    for id, space in spaces.items():
        for protocol, port, owner in spec["spaces"][id]["listen"]:
            servers.listen(space, protocol, port, owner)
        for dev, ip in spec["spaces"][id]["announced"]:
            servers.answer_for(space, dev, ip)


def main() -> None:
    spec = json.load(sys.stdin)
    spaces = build(spec)
    serve(Servers(), spaces, spec)
    with ThreadPoolExecutor(8) as pool:  # most of the time they wait
        answers = list(pool.map(lambda q: ask(spaces[q[0]], *q[1:]), spec["questions"]))
    asked = spec.get("often", ())
    with ThreadPoolExecutor(max(1, len(asked))) as pool:
        often = list(pool.map(lambda q: ask_many(spaces[q[0]], *q[1:]), asked))
    paths = [ttl_path(spaces[ns], dst) for ns, dst in spec.get("paths", ())]
    json.dump({"answers": answers, "paths": paths, "often": often}, sys.stdout)


def run(spec: dict[str, Any], module: str = "tests.cluster.kernel_twin") -> Any:
    """The twin's answers, from a process and a network namespace of its own."""
    command = ["unshare", "-n", sys.executable, "-m", module]
    done = subprocess.run(command, input=json.dumps(spec), text=True, capture_output=True, check=False, timeout=240)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
