"""`Shell`: command lines on one namespace. Pipes, `&&`, `||`, `;`, lines, patterns and redirections work as in a POSIX shell.

Variables, loops and substitutions do not.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...errors import CommandError, KubenetError, NotModelled, is_text
from ..background import catch_up
from ..network import Network
from ..state import State
from . import bridge, conntrack, files, filters, ip, nc, ping, ss, sysctl, tcpdump, traceroute
from .disk import Files
from .parsing import Pipeline, Simple, parse
from .rules import IPTABLES, run_ipset, run_iptables, run_nft
from .terminal import Capture, Terminal, ToolError, captured

__all__ = ["TOOLS", "Shell"]

Tool = Callable[[Terminal, list[str]], str]

TOOLS: dict[str, Tool] = {
    "ip": ip.run, "bridge": bridge.run, "sysctl": sysctl.run, "ping": ping.run, "traceroute": traceroute.run, "nc": nc.run, "ss": ss.run,
    "conntrack": conntrack.run, "tcpdump": tcpdump.run, "ipset": run_ipset, "nft": run_nft, **dict.fromkeys(IPTABLES, run_iptables),
}  # fmt: skip
_SMALL: dict[str, Tool] = {
    "grep": filters.grep, "egrep": lambda t, argv: filters.grep(t, ["grep", "-E", *argv[1:]]), "head": filters.head, "tail": filters.tail,
    "wc": filters.wc, "sort": filters.sort, "uniq": filters.uniq, "cat": files.cat, "ls": files.ls, "rm": files.rm, "echo": filters.echo,
    "sleep": filters.sleep, "true": filters.true, "false": filters.false, "ping6": lambda t, argv: ping.run(t, ["ping", "-6", *argv[1:]]),
}  # fmt: skip

#: what one may type and the lab does otherwise
_ELSEWHERE = {
    "kubectl": "cluster.get(kind, name), cluster.apply(manifests), cluster.pod(name).run(command)", "nsenter": "cluster.pod(name).run(command)",
    "crictl": "cluster.pod(name).run(command)", "docker": "cluster.pod(name).run(command)", "ctr": "cluster.pod(name).run(command)",
    "ifconfig": "ip addr, ip -s link", "route": "ip route", "arp": "ip neigh", "netstat": "ss -tln, ip route", "brctl": "bridge link, bridge fdb",
    "telnet": "nc -zv HOST PORT", "tracepath": "traceroute -n HOST", "mtr": "traceroute -n HOST", "arping": "ping -c 1 HOST; ip neigh show HOST",
    "systemctl": "cluster.set_pod(pod, ready=False)", "curl": "cluster.request(src, url)", "wget": "cluster.request(src, url)",
    "dig": "cluster.resolve(src, name)", "nslookup": "cluster.resolve(src, name)", "host": "cluster.resolve(src, name)",
    "getent": "cluster.resolve(src, name)", "hostname": "the name in cluster.node(name)",
}  # fmt: skip
_WORDS = ("if", "for", "while", "until", "case", "function", "do", "done", "then", "fi", "export", "cd", "set", "alias", "source", "eval", "exec", "{", "}")


class Shell:
    """A shell on a namespace. `changed` tells whether a command changed what is programmed (dynamic state does not count).

    `frames` are those of the last traffic, for tcpdump; a command that sends packets replaces them. `status` is the last exit status.
    `resolve` gives the addresses of a name, in the order in which a client here would try them; without it only addresses are known.
    `files` are the machine's, `programs` what is installed beside the kernel's tools (curl, dig ...). `edits` are the commands that changed
    what is programmed, each with what it was given on standard input.
    """

    def __init__(
        self,
        network: Network,
        state: State,
        namespace_id: str,
        *,
        frames: Sequence[tuple[Any, ...]] = (),
        resolve: Callable[[str], Sequence[str]] | None = None,
        files: Files | None = None,
        programs: Mapping[str, Tool] | None = None,
    ):
        self.network, self.state, self.namespace_id = network, state, namespace_id
        self.frames: Capture = captured(frames)
        self.resolve = resolve
        self.files, self.programs = files or Files(), programs or {}
        self.changed = False
        self.edits: list[tuple[str, str]] = []
        self.status = 0

    def run(self, command: str, stdin: str = "") -> str:
        """What the command line prints, errors of its parts included.

        Raises CommandError (with `status`) if the last command refuses and nothing was changed: with what the real tool prints, or for
        something the lab does not know. What a tool finds out about the network (no answer, connection refused) is no error.
        """
        if not is_text(command):
            raise ToolError("sh: half of a UTF-16 pair is no character that one can type", 2)
        pipelines = list(parse(command))
        self.changed = self.files.wrote = False
        self.edits = []
        out, trouble = "", None
        for p in pipelines:
            if (p.before == "&&" and self.status != 0) or (p.before == "||" and self.status == 0):
                continue
            text, trouble = self._pipeline(p, stdin)
            if trouble is not None and (isinstance(trouble, NotModelled) or len(pipelines) == 1) and not self._left_marks:
                raise trouble
            out += text
        if trouble is not None and not self._left_marks:
            raise ToolError(out.rstrip("\n"), self.status)
        return out

    @property
    def _left_marks(self) -> bool:
        return self.changed or self.files.wrote

    def _pipeline(self, p: Pipeline, stdin: str) -> tuple[str, KubenetError | None]:
        """(what reaches the screen, the complaint of the last command)"""
        screen, after, trouble = "", "", None
        for i, c in enumerate(p.commands):
            trouble = None
            try:
                text, message = self._simple(c, stdin)
                if c.into:
                    self._write(c, text)
                    text = ""
            except (CommandError, NotModelled) as e:
                text, message, trouble = "", f"{e}\n", e
            if c.deaf:
                trouble = trouble if isinstance(trouble, NotModelled) else None
            else:
                if c.joined:
                    text += message
                elif trouble is not None or i + 1 < len(p.commands) or c.into or c.quiet:
                    screen += message
                else:
                    after = message  # as on a terminal: what it found first, then what it says about it
            stdin = "" if c.quiet else text
        return screen + stdin + after, trouble

    def _terminal(self, stdin: str = "") -> Terminal:
        ns = self.network.namespaces[self.namespace_id]
        return Terminal(self.network, self.state, ns, stdin, self.frames, resolve=self.resolve, files=self.files)

    def _simple(self, c: Simple, stdin: str) -> tuple[str, str]:
        """(what it prints, what it says beside that)"""
        t = self._terminal(stdin)
        argv = [text for w in c.words for text in (files.expand(t, w.pattern) if w.pattern else ()) or (w.text,)]
        while argv[0] in ("sudo", "command") and len(argv) > 1 and not argv[1].startswith("-"):
            argv = argv[1:]
        name = argv[0].rpartition("/")[2]
        tool = TOOLS.get(name) or _SMALL.get(name) or self.programs.get(name)
        if tool is None:
            self.status = 127
            raise _unknown(name, self.programs)
        try:
            if c.source:
                t.stdin = files.input_of(t, "sh", [c.source])
            text = tool(t, [name, *argv[1:]])
            return text, t.stderr
        except (CommandError, NotModelled) as e:
            t.status = getattr(e, "status", 1)
            raise
        finally:
            if t.changed:
                self.changed = True
                self.edits.append((shlex.join(argv), t.stdin))
            self.status, self.frames = t.status, [*t.frames, *captured(catch_up(self.network, self.state))]

    def _write(self, c: Simple, text: str) -> None:
        t = self._terminal()
        try:
            files.write(t, c.into, text, c.append)
        except (CommandError, NotModelled) as e:
            self.status = getattr(e, "status", 1)
            raise
        finally:
            if t.changed:
                self.changed = True
                self.edits.append((f"echo {shlex.quote(text.rstrip(chr(10)))} > {c.into}", ""))


def _unknown(name: str, programs: Mapping[str, Tool]) -> KubenetError:
    if name in _ELSEWHERE:
        return ToolError(f"{name}: not in this shell; in the lab: {_ELSEWHERE[name]}", 127)
    if name in ("ethtool", "tc", "ipvsadm", "bpftool", "wg"):
        return NotModelled(f"{name}: no {'ring buffers and offloads' if name == 'ethtool' else 'state of that kind'} in the lab's devices")
    if name in _WORDS:
        return ToolError(f"sh: kubenet-lab's shell knows commands, pipes, && || and ;, not `{name}`", 2)
    known = [n for n in (*TOOLS, *_SMALL, *programs) if "-legacy" not in n and "-nft" not in n]
    return ToolError(f"{name}: command not found; kubenet-lab knows {', '.join(sorted(known))}", 127)
