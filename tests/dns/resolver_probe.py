"""Asks the C library of this machine inside network and mount namespaces of its own, against a scripted name server.

Run as `unshare -n -m python resolver_probe.py [PROGRAM]`; PROGRAM NAME FAMILY stands in for this Python's getaddrinfo and
prints [addresses, error number]. Reads a JSON request on stdin, prints what was seen as JSON. Request:
resolv (text of resolv.conf), name, family ("any", "IPv4", "IPv6"), hosts (text), rules: [{name, type, nth, server, do}]
with do one of "A:ADDRESS", "AAAA:ADDRESS", "CNAME:TARGET", "NXDOMAIN", "NODATA", "SERVFAIL", "REFUSED", "LAME", "silent", "TC";
the first rule that fits decides, an absent field fits anything; what fits no rule is NXDOMAIN.
"""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

RCODES = {"NXDOMAIN": 3, "SERVFAIL": 2, "REFUSED": 5, "FORMERR": 1, "NOTIMP": 4}
CHILD = """
import json, socket, sys
family = {"any": socket.AF_UNSPEC, "IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}[sys.argv[2]]
try:
    found = [a[4][0] for a in socket.getaddrinfo(sys.argv[1].encode(), None, family, socket.SOCK_STREAM)]
    print(json.dumps([sorted(found), None]))
except socket.gaierror as error:
    print(json.dumps([[], error.errno]))
"""


def _name(data: bytes, at: int) -> tuple[str, int]:
    parts = []
    while data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(parts) + ".", at + 1


def _encode(name: str) -> bytes:
    return b"".join(bytes([len(p)]) + p.encode() for p in name.rstrip(".").split(".") if p) + b"\0"


def answer(query: bytes, do: str) -> bytes | None:
    """The bytes of an answer. Every one has RA set, as a recursive server's; SOA is left out, no resolver looks at it."""
    if do == "silent":
        return None
    _, end = _name(query, 12)
    question = query[12 : end + 4]
    rcode, records, flags = RCODES.get(do, 0), [], 0x8180
    kind, _, data = do.partition(":")
    owner = query[12:end]
    if kind == "A":
        records.append(owner + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton(data))
    elif kind == "AAAA":
        records.append(owner + struct.pack("!HHIH", 28, 1, 5, 16) + socket.inet_pton(socket.AF_INET6, data))
    elif kind == "CNAME":
        body = _encode(data)
        records.append(owner + struct.pack("!HHIH", 5, 1, 5, len(body)) + body)
    elif kind == "LAME":
        flags &= ~0x0080
    elif kind == "TC":
        flags |= 0x0200
    return query[:2] + struct.pack("!HHHHH", flags | rcode, 1, len(records), 0, 0) + question + b"".join(records)


class Server:
    def __init__(self, rules: list[dict], addresses: list[str]):
        self.rules, self.seen, self.count, self.lock = rules, [], {}, threading.Lock()
        self.begun = time.monotonic()
        for address in addresses:
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind((address, 53))
            threading.Thread(target=self.datagrams, args=(udp, address), daemon=True).start()
            tcp = socket.create_server((address, 53))
            threading.Thread(target=self.streams, args=(tcp, address), daemon=True).start()

    def decide(self, query: bytes, server: str, port: int, protocol: str) -> bytes | None:
        try:
            name, end = _name(query, 12)
        except IndexError:  # musl turns a search path "." into a name with an empty label
            with self.lock:
                self.seen.append([round(time.monotonic() - self.begun, 3), "malformed", "?", server, port, protocol])
            return None
        kind = {1: "A", 28: "AAAA"}.get(struct.unpack_from("!H", query, end)[0], "?")
        with self.lock:
            nth = self.count[name, kind] = self.count.get((name, kind), 0) + 1
            self.seen.append([round(time.monotonic() - self.begun, 3), name, kind, server, port, protocol])
        facts = {"name": name, "type": kind, "nth": nth, "server": server, "protocol": protocol}
        for rule in self.rules:
            if all(rule[k] == v for k, v in facts.items() if k in rule):
                return answer(query, rule["do"])
        return answer(query, "NXDOMAIN")

    def datagrams(self, sock: socket.socket, address: str) -> None:
        while True:
            query, peer = sock.recvfrom(4096)
            reply = self.decide(query, address, peer[1], "UDP")
            if reply is not None:
                sock.sendto(reply, peer)

    def streams(self, sock: socket.socket, address: str) -> None:
        while True:
            conn, peer = sock.accept()
            threading.Thread(target=self.stream, args=(conn, peer[1], address), daemon=True).start()

    def stream(self, conn: socket.socket, port: int, address: str) -> None:
        file = conn.makefile("rb")
        while head := file.read(2):
            reply = self.decide(file.read(struct.unpack("!H", head)[0]), address, port, "TCP")
            if reply is not None:
                conn.sendall(struct.pack("!H", len(reply)) + reply)


def main() -> None:
    out = []
    for request in json.load(sys.stdin):
        for path, text in (("/etc/resolv.conf", request["resolv"]), ("/etc/hosts", request.get("hosts", "127.0.0.1 localhost\n"))):
            with open(f"{SCRATCH}/probe{path.replace('/', '-')}", "w") as f:
                f.write(text)
            subprocess.run(["mount", "--bind", f"{SCRATCH}/probe{path.replace('/', '-')}", path], check=True)
        server.rules, server.seen, server.count = request["rules"], [], {}
        server.begun = time.monotonic()
        program = sys.argv[1:] or [sys.executable, "-I", "-S", "-c", CHILD]
        child = [*program, request["name"], request.get("family", "any")]
        done = subprocess.run(child, capture_output=True, text=True, timeout=90, check=True)
        addresses, error = json.loads(done.stdout)
        addresses = sorted(addresses)
        took = time.monotonic() - server.begun
        time.sleep(0.02)
        out.append({"addresses": addresses, "error": error, "elapsed": took, "seen": list(server.seen)})
    print(json.dumps(out))


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    SCRATCH = tempfile.mkdtemp()  # a folder of its own: nothing is hidden that the checkout may stand in
    with open(f"{SCRATCH}/nsswitch.conf", "w") as f:
        f.write("hosts: files dns\n")
    subprocess.run(["mount", "--bind", f"{SCRATCH}/nsswitch.conf", "/etc/nsswitch.conf"], check=True)
    server = Server([], ["127.0.10.10", "127.0.10.11"])
    try:
        main()
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)
