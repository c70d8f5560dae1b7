"""`Shell`: one command line on one namespace."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import CommandError, NotModelled
from ..network import Network
from ..state import State
from . import bridge, conntrack, ip, nc, ping, ss, sysctl, tcpdump, traceroute
from .rules import IPTABLES, run_ipset, run_iptables
from .terminal import Capture, Terminal, ToolError, captured

__all__ = ["TOOLS", "Shell"]

Tool = Callable[[Terminal, list[str]], str]

TOOLS: dict[str, Tool] = {
    "ip": ip.run, "bridge": bridge.run, "sysctl": sysctl.run, "ping": ping.run, "traceroute": traceroute.run, "nc": nc.run, "ss": ss.run,
    "conntrack": conntrack.run, "tcpdump": tcpdump.run, "ipset": run_ipset, **dict.fromkeys(IPTABLES, run_iptables),
}  # fmt: skip

_ELSEWHERE = {
    "curl": "cluster.request(src, url)", "wget": "cluster.request(src, url)", "dig": "cluster.resolve(src, name) or cluster.dns.query(name, type)",
    "nslookup": "cluster.resolve(src, name)", "host": "cluster.resolve(src, name)", "getent": "cluster.resolve(src, name)",
    "kubectl": "cluster.get(kind, name)",
}  # fmt: skip


class Shell:
    """A shell on a namespace. `changed` tells whether a command changed what is programmed (dynamic state does not count).

    `frames` are those of the last traffic, for tcpdump; a command that sends packets replaces them. `status` is the last exit
    status. `resolve` gives the addresses of a name, in the order in which a client here would try them; without it only addresses are known.
    """

    def __init__(
        self,
        network: Network,
        state: State,
        namespace_id: str,
        *,
        frames: Sequence[tuple[Any, ...]] = (),
        resolve: Callable[[str], Sequence[str]] | None = None,
    ):
        self.network, self.state, self.namespace_id = network, state, namespace_id
        self.frames: Capture = captured(frames)
        self.resolve = resolve
        self.changed = False
        self.status = 0

    def run(self, command: str, stdin: str = "") -> str:
        """What the command prints. Raises CommandError with what the real tool prints when it refuses, and for what is not known here."""
        try:
            argv = shlex.split(command, comments=True)
        except ValueError as e:
            raise CommandError(f"sh: syntax error: {e}") from None
        if not argv:
            return ""
        if argv[0] == "sudo":
            argv = argv[1:]
        return self._tool(argv, stdin)

    def _tool(self, argv: list[str], stdin: str) -> str:
        name = argv[0].rpartition("/")[2]
        tool = TOOLS.get(name)
        if tool is None:
            if name in _ELSEWHERE:
                raise CommandError(f"{name} is not a tool of the kernel's; in the lab: {_ELSEWHERE[name]}")
            if name == "nft":
                raise NotModelled("nft: this node's rules are iptables'; see iptables-save")
            known = sorted(n for n in TOOLS if "-legacy" not in n and "-nft" not in n)
            raise ToolError(f"{name}: command not found; kubenet-lab knows {', '.join(known)}", 127)
        t = Terminal(self.network, self.state, self.network.namespaces[self.namespace_id], stdin, self.frames, resolve=self.resolve)
        try:
            return tool(t, [name, *argv[1:]])
        except CommandError as e:
            t.status = getattr(e, "status", 1)
            raise
        finally:
            self.changed = self.changed or t.changed
            self.status, self.frames = t.status, t.frames
