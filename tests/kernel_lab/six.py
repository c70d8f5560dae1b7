"""a - r - s - b over IPv6 in namespaces of this machine; the wire in the middle takes 1400 bytes, a and b do not know it. For `python -m`.

Standard input: {"steps": [["run", SPACE, LINE] or ["ask", PROTOCOL, SIZE, SECONDS]]}. Standard output: the answer to each "ask".
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time

from tests.kernel_lab.netns import Space

#: addresses and routes, the same lines for both sides
LINES = (
    *((name, "sysctl -w net.ipv6.conf.all.forwarding=1") for name in "rs"),
    ("a", "ip addr add fd00:1::2/64 dev eth0 nodad"), ("r", "ip addr add fd00:1::1/64 dev eth0 nodad"),
    ("r", "ip addr add fd00:3::1/64 dev eth1 nodad"), ("s", "ip addr add fd00:3::2/64 dev eth1 nodad"),
    ("s", "ip addr add fd00:2::1/64 dev eth0 nodad"), ("b", "ip addr add fd00:2::2/64 dev eth0 nodad"),
    ("a", "ip -6 route add default via fd00:1::1"), ("b", "ip -6 route add default via fd00:2::1"),
    ("r", "ip -6 route add fd00:2::/64 via fd00:3::2"), ("s", "ip -6 route add fd00:1::/64 via fd00:3::1"),
    ("r", "ip link set eth1 mtu 1400"), ("s", "ip link set eth1 mtu 1400"),
)  # fmt: skip
#: the wires: the devices at both ends
WIRES = (("a", "eth0", "r", "eth0"), ("r", "eth1", "s", "eth1"), ("s", "eth0", "b", "eth0"))
DST, PORT, NARROW = "fd00:2::2", 8080, 1400


def serve(space: Space) -> None:
    """Everything that arrives goes back."""
    with space:
        listener = socket.create_server(("::", PORT), family=socket.AF_INET6)

    def echo(conn: socket.socket) -> None:
        with conn:
            try:
                while data := conn.recv(65536):
                    conn.sendall(data)
            except OSError:
                pass

    def accept() -> None:
        while True:
            threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def ask(space: Space, protocol: str, size: int, seconds: float) -> str:
    if protocol == "ICMP":
        said, _ = space.tell("ping", "-6", "-n", "-c", "1", "-W", str(seconds), "-M", "do", "-s", str(size), DST)
        if "too big" in said or "too long" in said:
            return "too-big"
        return "delivered" if " 0% packet loss" in said else "timeout"
    with space:
        s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    with s:
        s.settimeout(seconds)
        try:
            s.connect((DST, PORT))
        except OSError:
            return "timeout"
        s.sendall(b"q" * size)
        got, end = 0, time.monotonic() + seconds
        while got < size and (left := end - time.monotonic()) > 0:
            s.settimeout(left)
            try:
                got += len(s.recv(65536))
            except OSError:
                break
        return "delivered" if got == size else "stalled"


def main() -> None:
    steps = json.load(sys.stdin)["steps"]
    spaces = {name: Space(name) for name in "arsb"}
    for space in spaces.values():  # link-local addresses are there at once
        space.sysctl("net.ipv6.conf.all.accept_dad", 0)
        space.sysctl("net.ipv6.conf.default.accept_dad", 0)
    for one, dev, other, there in WIRES:
        veth = ["ip", "link", "add", dev, "type", "veth", "peer", "name", there, "netns", spaces[other].path]
        spaces[one].run(*veth)
        for space, name in ((one, dev), (other, there)):  # no segment is larger than the wire
            spaces[space].run("ip", "link", "set", name, "gso_max_segs", "1", "up")
    for name, line in LINES:
        spaces[name].run(*line.split())
    serve(spaces["b"])
    answers = []
    for step in steps:
        if step[0] == "run":
            spaces[step[1]].run(*step[2].split())
        else:
            answers.append(ask(spaces["a"], *step[1:]))
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
