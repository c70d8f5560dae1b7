"""The real side: a process that builds clusters out of namespaces and probes them, told what to do by JSON lines.

Started as `python -m tests.kernel_lab.driver` inside `unshare -n` (root) or `unshare -Urn` (anyone). One request per line
on standard input, one answer per line on standard output. It knows nothing of the model, and imports nothing of it.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import socket
import sys
import tempfile
import time
from typing import Any

from .echo import EchoServers
from .netns import Space
from .probing import Prober

#: before any link exists: no limits on ICMP errors, no redirects, no IPv6, nothing inherited from the machine
QUIET = {
    "net.ipv4.icmp_ratelimit": 0, "net.ipv4.icmp_ratemask": 0, "net.ipv4.ping_group_range": "0 0", "net.ipv4.ip_forward": 0,
    "net.ipv4.conf.all.send_redirects": 0, "net.ipv4.conf.default.send_redirects": 0,
    "net.ipv4.conf.all.accept_redirects": 0, "net.ipv4.conf.default.accept_redirects": 0,
    "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv4.tcp_no_metrics_save": 1,
    "net.ipv6.conf.all.disable_ipv6": 1, "net.ipv6.conf.default.disable_ipv6": 1,
}  # fmt: skip
CNI_BIN = next((d for d in ("/usr/lib/cni", "/opt/cni/bin") if os.path.exists(f"{d}/bridge")), "")


class Machine:
    """One cluster: the wires, and namespaces programmed by command lines."""

    def __init__(self, driver: Driver, id: str, spec: dict[str, Any]):
        self.driver, self.id = driver, id
        self.spaces: dict[str, Space] = {}
        self.lock = f"{driver.tmp}/xtables"
        self.backend = spec.get("iptables", "legacy")
        self.forgetful = spec.get("forgetful", False)
        for name in ["underlay", *spec["spaces"]]:
            self.spaces[name] = Space(name)
            for key, value in QUIET.items():
                self.spaces[name].sysctl(key, value)
        if "segments" in spec:
            self._switches(spec["segments"])
        else:
            self._router(spec["underlay"])
        self.run(spec["lines"])
        for call in spec.get("cni", ()):
            self.cni(call)
        for space, label, protocol, port in spec["listen"]:
            driver.servers.listen(id, self.spaces[space], label, protocol, port)

    def _router(self, wires: list[dict[str, Any]]) -> None:
        """A switch per wire, all in one machine, which is the gateway of each and routes between them."""
        # the world outside is silent: `unreachable` would answer, at a limited rate
        lines = ["route add blackhole default"]
        for s, wire in enumerate(wires):
            lines += [
                f"link add br{s} address {wire['mac']} type bridge",
                f"link set br{s} mtu {wire['mtu']} up",
                f"addr add {wire['gateway']} dev br{s}",
            ]
            for i, end in enumerate(wire["ends"]):
                far = f"name eth0 address {end['mac']} mtu {wire['mtu']} netns {self.spaces[end['name']].path}"
                port = f"u{s}-{i}" if s else f"u{i}"
                lines += [f"link add {port} mtu {wire['mtu']} type veth peer {far}", f"link set {port} master br{s} up"]
        self.spaces["underlay"].run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
        self.spaces["underlay"].sysctl("net.ipv4.ip_forward", 1)
        self.spaces["underlay"].sysctl("net.bridge.bridge-nf-call-iptables", 0)

    def _switches(self, segments: list[dict[str, Any]]) -> None:
        """Several wires, each a bridge that only switches; `ends`: [space, device, hardware address, its MTU]."""
        lines = []
        for s, segment in enumerate(segments):
            lines += [f"link add br{s} type bridge", f"link set br{s} mtu {segment['mtu']} up"]
            for e, (space, dev, mac, mtu) in enumerate(segment["ends"]):
                far = f"name {dev} address {mac} mtu {mtu} netns {self.spaces[space].path}"
                lines += [f"link add u{s}x{e} mtu {segment['mtu']} type veth peer {far}", f"link set u{s}x{e} master br{s} up"]
        self.spaces["underlay"].run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
        self.spaces["underlay"].sysctl("net.bridge.bridge-nf-call-iptables", 0)

    # -------------------------------------------------------------------------------------------- command lines
    def run(self, lines: list[list[str]]) -> list[str]:
        """Lines ["space", "ip route add ..."] in order; neighbours of the same space and program go in one batch."""
        out: list[str] = []
        batch: list[str] = []
        where = ("", "")
        for space, line in [*lines, ["", ""]]:
            tool, _, rest = line.partition(" ")
            if rest.startswith("-6 "):  # an option of the program, not of a line in its batch
                tool, rest = f"{tool} -6", rest[3:]
            if batch and (space, tool) != where:
                out.append(self._batch(*where, batch))
                batch = []
            where = (space, tool)
            batch.append(rest)
        return out

    def _batch(self, name: str, tool: str, lines: list[str]) -> str:
        space = self.spaces[name.removesuffix("!")]
        if tool in ("ip", "ip -6", "bridge"):
            lines = [" ".join(self.spaces[w[1:]].path if w.startswith("@") else w for w in line.split()) for line in lines]
            return space.run(*tool.split(), "-batch", "-", stdin="\n".join(lines) + "\n")
        if tool == "sysctl":
            for line in lines:
                key, _, value = line.removeprefix("-w ").partition("=")
                space.sysctl(key, value)
            return ""
        if tool == "iptables":
            return space.run(
                f"iptables-{self.backend}-restore",
                "--noflush",
                stdin=restore_text(lines),
                env={**os.environ, "XTABLES_LOCKFILE": self.lock},
            )
        raise ValueError(f"no program {tool!r}")

    def restore(self, name: str, program: str, text: str) -> str:
        """Text for `ipset restore`, or for iptables-restore of the machine's kind."""
        if program == "ipset":
            return self.spaces[name].run("ipset", "restore", stdin=text)
        env = {**os.environ, "XTABLES_LOCKFILE": self.lock}
        return self.spaces[name].run(f"iptables-{self.backend}-restore", stdin=text, env=env)

    def cni(self, call: dict[str, Any]) -> Any:
        """Run a real CNI plugin: {"at": node, "pod": space, "command", "conf"}."""
        env = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "CNI_COMMAND": call["command"],
            "CNI_CONTAINERID": f"{self.id}-{call['pod']}",
            "CNI_NETNS": self.spaces[call["pod"]].path, "CNI_IFNAME": "eth0", "CNI_PATH": CNI_BIN,
            "CNI_ARGS": f"IgnoreUnknown=1;IP={call['ip']}",
        }  # fmt: skip
        conf = json.loads(json.dumps(call["conf"]).replace("@tmp", f"{self.driver.tmp}/{self.id}"))
        out = self.spaces[call["at"]].run(f"{CNI_BIN}/{conf['type']}", stdin=json.dumps(conf), env=env)
        return json.loads(out) if out.strip() else {}

    def flush(self) -> None:
        """Forget learned path MTUs; where neighbours decide what is answered, those too."""
        for space in self.spaces.values():
            space.sysctl("net.ipv4.route.flush", 1)
            if self.forgetful:
                space.run("ip", "neigh", "flush", "all")

    def close(self) -> None:
        self.driver.servers.close(self.id)
        for space in self.spaces.values():
            space.close()


def restore_text(lines: list[str]) -> str:
    """`iptables` command lines (-t TABLE, -N, -A, -I, -P) as text for iptables-restore: one program instead of many."""
    tables: dict[str, list[str]] = {}
    for line in lines:
        table = "filter"
        if line.startswith("-t "):
            _, table, line = line.split(" ", 2)
        if line.startswith("-N "):
            line = f":{line[3:]} - [0:0]"
        elif line.startswith("-P "):
            _, chain, policy = line.split()
            line = f":{chain} {policy} [0:0]"
        tables.setdefault(table, []).append(line)
    return "".join(f"*{t}\n" + "\n".join(sorted(rows, key=lambda r: not r.startswith(":"))) + "\nCOMMIT\n" for t, rows in tables.items())


class Capture:
    """Frames seen on one device, by an AF_PACKET socket."""

    def __init__(self, selector: selectors.BaseSelector, space: Space, dev: str):
        with space:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind((dev, 3))
        self.socket.setblocking(False)
        self.frames: list[str] = []
        self.selector = selector
        selector.register(self.socket, selectors.EVENT_READ, (self._read, "", None))

    def _read(self, s: socket.socket, _owner: str, _state: object) -> None:
        while True:
            try:
                self.frames.append(s.recv(1 << 16).hex())
            except OSError:
                return

    def stop(self) -> list[str]:
        time.sleep(0.05)
        self._read(self.socket, "", None)
        self.selector.unregister(self.socket)
        self.socket.close()
        return self.frames


class Driver:
    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.servers = EchoServers(self.selector)
        self.prober = Prober(self.selector)
        self.machines: dict[str, Machine] = {}
        self.captures: dict[str, Capture] = {}
        self.tmp = tempfile.mkdtemp(prefix="kubenet-")

    def do(self, request: dict[str, Any]) -> Any:
        op, id = request["op"], request.get("id", "")
        if op == "build":
            self.machines[id] = Machine(self, id, request["spec"])
        elif op == "run":
            return self.machines[id].run(request["lines"])
        elif op == "run_checked":
            output, status = self.machines[id].spaces[request["space"]].tell(*request["line"].split())
            return {"output": output, "status": status}
        elif op == "restore":
            return self.machines[id].restore(request["space"], request["program"], request["text"])
        elif op == "probe":
            return self.prober.run(request["probes"], lambda p: self.machines[p["case"]].spaces[p["src"]])
        elif op == "flush":
            for id in request["ids"]:
                self.machines[id].flush()
        elif op == "capture":
            self.captures[request["name"]] = Capture(self.selector, self.machines[id].spaces[request["space"]], request["dev"])
        elif op == "captured":
            return self.captures.pop(request["name"]).stop()
        elif op == "drop":
            self.machines.pop(id).close()
        elif op == "tool":
            return self.machines[id].spaces[request["space"]].run(*request["argv"])
        elif op == "sleep":
            time.sleep(request["seconds"])
        elif op == "serve":
            self.prober.serve(request["seconds"])
        else:
            raise ValueError(f"no operation {op!r}")
        return None

    def serve(self) -> None:
        try:
            for line in sys.stdin:
                try:
                    answer = {"ok": self.do(json.loads(line))}
                except Exception as e:  # the caller raises it again
                    answer = {"error": f"{type(e).__name__}: {e}"}
                sys.stdout.write(json.dumps(answer) + "\n")
                sys.stdout.flush()
        finally:
            shutil.rmtree(self.tmp, ignore_errors=True)


if __name__ == "__main__":
    Driver().serve()
