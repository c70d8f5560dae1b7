"""A twin in the kernel in which things change: connections are held, rules are loaded anew as kube-proxy does it, and who holds goes on.

`python -m tests.services.change_kernel` takes what `change_twins` makes from standard input and prints every answer.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.cluster.kernel_twin import Servers, _answer, build, serve
from tests.cluster.twin_many import WAIT, Answer, failed, heard, opened
from tests.kernel_lab.netns import Space

#: (its own name, namespace, protocol, address, port, source port or 0, "open" | "again" | "once")
Step = Sequence[Any]
ENTRY = re.compile(r"src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)")


class Patient(Servers):
    """They greet, and say it again for everything that is sent, until the client closes."""

    def _one(self, ready: Any, protocol: str, owner: str) -> None:
        if protocol == "UDP":
            super()._one(ready, protocol, owner)
        elif protocol == "TCP":
            conn, peer = ready.accept()
            conn.sendall(_answer(owner, peer))
            self.selector.register(conn, selectors.EVENT_READ, ("held", owner))
        else:
            try:
                more = ready.recv(4096)
            except OSError:
                more = b""
            if more:
                ready.sendall(_answer(owner, ready.getpeername()))
            else:
                self.selector.unregister(ready)
                ready.close()


def said(s: socket.socket, protocol: str) -> Answer:
    return heard(protocol, s.recv(4096))


def ask(held: dict[str, socket.socket], spaces: dict[str, Space], step: Step) -> Answer:
    name, ns, protocol, dst, port, sport, how = step
    if how == "again" and protocol == "TCP" and name not in held:
        return ["error", "it did not open", ""]
    try:
        if how == "again" and protocol == "TCP":
            held[name].send(b"?")
            return said(held[name], protocol)
        s = opened(spaces[ns], protocol, dst, sport)
        s.settimeout(WAIT)
        try:
            s.connect((dst, port))
            if protocol == "UDP":
                s.send(b"?")
            answer = said(s, protocol)
        except OSError:
            s.close()
            raise
        if how == "open" and protocol == "TCP":
            held[name] = s
        else:
            s.close()
        return answer
    except TimeoutError:
        return ["timeout", "", ""]
    except OSError as e:
        return ["timeout", "", ""] if e.errno == 110 else failed(e)


def remembered(space: Space) -> list[tuple[str, str]]:
    """(table and set, element with what is left of its time) of every set that packets fill."""
    out = []
    for thing in json.loads(space.run("nft", "-j", "list", "ruleset"))["nftables"]:
        found = thing.get("set", {})
        if "timeout" in found.get("flags", ()):  # "dynamic" is not in nft 1.0.6's JSON
            where = f"{found['family']} {found['table']} {found['name']}"
            out += [(where, f"{e['elem']['val']} expires {e['elem']['expires']}s") for e in found.get("elem", ())]
    return out


def load(space: Space, rules: dict[str, str], nft: str | None) -> None:
    """New rules in one go. What packets have put into a set stays as long as the set does, as in kube-proxy's transactions."""
    for fam, text in rules.items():
        space.run("iptables-legacy-restore" if fam == "4" else "ip6tables-legacy-restore", stdin=text)
    if nft is not None:
        kept = [f"add element {where} {{ {e} }}" for where, e in remembered(space) if f"set {where.split()[2]} {{" in nft]
        space.run("nft", "-f", "-", stdin="\n".join(["flush ruleset", nft, *kept, ""]))


def clean(space: Space, fronts: dict[str, list[str]], node_ports: dict[str, list[str]]) -> None:
    """What kube-proxy does after it (pkg/proxy/conntrack/cleanup.go): UDP entries to a Service, but to none of its serving endpoints."""
    for six in ("ipv4", "ipv6"):
        for line in space.run("conntrack", "-L", "-f", six, "-p", "udp").splitlines():
            (src, dst, sport, dport), (answers, *_) = ENTRY.findall(line)
            fam = "6" if six == "ipv6" else "4"
            wanted = (fronts.get(f"{dst} {dport}"), node_ports.get(f"{fam} {dport}"))
            if any(ips is not None and answers not in ips for ips in wanted):
                space.run("conntrack", "-D", "-f", six, "-p", "udp", "-s", src, "-d", dst, "--sport", sport, "--dport", dport)


def main() -> None:
    spec = json.load(sys.stdin)
    spaces = build(spec)
    for space in spaces.values():  # however busy this machine is
        space.sysctl("net.netfilter.nf_conntrack_udp_timeout", 600)
    serve(Patient(), spaces, spec)
    held: dict[str, socket.socket] = {}
    answers: list[list[list[Answer]]] = []
    for change in spec["changes"]:
        for node, dev in change["gone"]:
            spaces[node].run("ip", "link", "del", dev)
        for id, (rules, nft) in change["rules"].items():
            load(spaces[id], rules, nft)
        for node, (fronts, node_ports) in change["fronts"].items():
            clean(spaces[node], fronts, node_ports)
        with ThreadPoolExecutor(max(1, len(change["asked"]))) as pool:  # chains of questions that have nothing to do with each other
            answers.append(list(pool.map(lambda chain: [ask(held, spaces, step) for step in chain], change["asked"])))
    json.dump(answers, sys.stdout)


def run(spec: dict[str, Any]) -> list[list[list[Answer]]]:
    """The answers of a process and a network namespace of its own: by change, chain and step."""
    command = ["unshare", "-n", sys.executable, "-m", "tests.services.change_kernel"]
    done = subprocess.run(command, input=json.dumps(spec), text=True, capture_output=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    found: list[list[list[Answer]]] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
