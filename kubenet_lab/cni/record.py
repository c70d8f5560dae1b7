"""What a CNI operation did, call by call: who was called with what, what it answered, what it changed.

A `Recorder` on a `PluginHost` sees every call of a plugin, a delegate's inside its caller's, and compares the node
and the pod's namespace before and after it. Figures of the ADD and DEL sequence and the widget are drawn from it.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .result import CniError, Result

if TYPE_CHECKING:
    import pandas as pd

    from .contract import Call, Plugin, PluginHost

__all__ = ["Operation", "PluginCall", "Recorder", "StateChange", "observe"]

#: (namespace or "disk", kind of entry) -> {what: its content}
Observed = dict[tuple[str, str], dict[str, str]]

#: longer contents are not shown in a line
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class StateChange:
    """One entry that came ("+"), went ("-") or has another content ("~").

    `where`: the namespace, or "disk". `kind`: "link", "address", "route", "rule", "neighbour", "fdb", "sysctl", "iptables" or "file".
    `what`: the entry as its tool prints it, a file's path. `before` and `after`: a link's attributes, a sysctl's value, a file's content.
    """

    where: str
    kind: str
    action: str
    what: str
    before: str = ""
    after: str = ""

    @property
    def place(self) -> str:
        """The namespace as a person calls it."""
        return self.where.removeprefix("pod:")

    @property
    def entry(self) -> str:
        """What the entry is: "link cni0", "iptables -t nat -N CNI-..."."""
        return self.what if self.what.startswith(self.kind) else f"{self.kind} {self.what}"

    def __str__(self) -> str:
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        shown = {"+": after, "-": before, "~": f"{before} -> {after}"}[self.action].strip(" ->")
        if len(shown) > _SHOWN:
            shown = f"{len(self.after or self.before)} characters"
        return f"{self.action} {self.where}: {self.kind} {self.what}" + (f" ({shown})" if shown else "")

    def to_dict(self) -> dict[str, str]:
        return {k: getattr(self, k) for k in ("where", "kind", "action", "what", "before", "after")}


@dataclass(frozen=True, slots=True)
class PluginCall:
    """One call of one plugin. `environ` are the CNI_ variables, `stdin` the configuration, `stdout` the result (None: nothing printed).

    `calls` are the delegates that it called itself, in order; `changes` include what they changed.
    """

    plugin: str
    command: str
    environ: Mapping[str, str]
    stdin: Mapping[str, Any]
    stdout: Mapping[str, Any] | None = None
    error: CniError | None = None
    changes: tuple[StateChange, ...] = ()
    calls: tuple[PluginCall, ...] = ()

    @property
    def own_changes(self) -> tuple[StateChange, ...]:
        """What it changed itself, without its delegates."""
        theirs = {c for call in self.calls for c in call.changes}
        return tuple(c for c in self.changes if c not in theirs)

    def walk(self, depth: int = 0) -> Iterator[tuple[int, PluginCall]]:
        """This call and those inside it, as they began: (depth, call)."""
        yield depth, self
        for call in self.calls:
            yield from call.walk(depth + 1)

    def __bool__(self) -> bool:
        return self.error is None

    def __str__(self) -> str:
        how = "ok" if self.error is None else f"error {self.error.code}: {self.error.msg}"
        return f"{self.plugin} {self.command}: {how}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "plugin": self.plugin, "command": self.command, "environ": dict(self.environ), "stdin": dict(self.stdin),
            "stdout": dict(self.stdout) if self.stdout is not None else None, "error": self.error.to_dict() if self.error else None,
            "changes": [c.to_dict() for c in self.changes], "calls": [c.to_dict() for c in self.calls],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the runtime on one network: `command` is ADD, DEL, CHECK, GC or STATUS.

    `bool(operation)` is whether it went well; else `error` is what the runtime was told. `result` is that of ADD.
    `calls` are the plugins in the order in which the runtime called them.
    """

    command: str
    network: str
    container_id: str = ""
    ifname: str = ""
    netns: str = ""
    result: Result | None = None
    error: CniError | None = None
    calls: tuple[PluginCall, ...] = ()
    changes: tuple[StateChange, ...] = ()

    def walk(self) -> Iterator[tuple[int, PluginCall]]:
        """Every call, a delegate's after its caller's: (depth, call)."""
        for call in self.calls:
            yield from call.walk()

    def changes_in(self, where: str) -> tuple[StateChange, ...]:
        """What changed in one namespace, or on the "disk"."""
        return tuple(c for c in self.changes if c.where == where)

    def __bool__(self) -> bool:
        return self.error is None

    @property
    def title(self) -> str:
        whom = f" {self.container_id} {self.ifname}" if self.container_id else ""
        return f"{self.command}{whom} on network {self.network}"

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Operation({self.title}: error {self.error.code}: {self.error.msg})"
        got = f": {', '.join(c.address for c in self.result.ips)}" if self.result is not None and self.result.ips else ": ok"
        return f"Operation({self.title}{got})"

    def __str__(self) -> str:
        lines = [self.title]
        lines += [f"  {'  ' * depth}{call}" for depth, call in self.walk()]
        lines += [f"  {c}" for c in self.changes]
        if self.error is not None:
            lines.append(f"  error {self.error.code}: {self.error}")
        elif self.result is not None:
            lines.append(str(self.result))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left;padding-left:{1 + 1.2 * depth:.1f}em'>{html.escape(call.plugin)}</td>"
            f"<td style='text-align:left'>{html.escape(call.command)}</td><td style='text-align:left'>"
            f"{html.escape('ok' if call.error is None else f'error {call.error.code}: {call.error.msg}')}<br>"
            + "<br>".join(f"<code>{html.escape(str(c))}</code>" for c in call.own_changes)
            + "</td></tr>"
            for depth, call in self.walk()
        )
        answer = json.dumps(self.error.to_dict(), indent=2) if self.error is not None else str(self.result or "")
        shown = f"<pre>{html.escape(answer)}</pre>" if answer else ""
        return f"<table><caption>{html.escape(self.title)}</caption>{rows}</table>{shown}"

    def plot(self, *others: Operation, **options: Any) -> Any:
        """The sequence of calls as a figure; `others` follow below."""
        from ..plots import cni_sequence

        return cni_sequence(self, *others, **options)

    def to_frame(self) -> pd.DataFrame:
        """One row per change: plugin, command, where, kind, action, what, before, after."""
        import pandas as pd

        rows = [{"plugin": c.plugin, "command": c.command, **s.to_dict()} for _, c in self.walk() for s in c.own_changes]
        return pd.DataFrame(rows, columns=["plugin", "command", "where", "kind", "action", "what", "before", "after"])

    def to_dict(self) -> dict[str, Any]:
        return {
            "command": self.command, "network": self.network, "containerID": self.container_id, "ifname": self.ifname, "netns": self.netns,
            "result": self.result.to_dict() if self.result is not None else None, "error": self.error.to_dict() if self.error else None,
            "calls": [c.to_dict() for c in self.calls], "changes": [c.to_dict() for c in self.changes],
        }  # fmt: skip


class Recorder:
    """Watches the plugins of one node. While it is on a host, `host.plugin(type)` gives plugins that are watched."""

    def __init__(self, host: PluginHost):
        self._host = host
        self._open: list[list[PluginCall]] = [[]]

    def take(self) -> tuple[PluginCall, ...]:
        """The calls since the last time."""
        done, self._open = self._open[0], [[]]
        return tuple(done)

    def watch(self, plugin: Plugin) -> Plugin:
        return _Watched(plugin, self)

    def call(self, plugin: str, command: str, call: Call, run: Callable[[Call], Any]) -> Any:
        """Make one call, and keep what came of it."""
        before = observe(self._host, call.netns)
        self._open.append([])
        answer: Any = None
        error: CniError | None = None
        try:
            answer = run(call)
        except CniError as e:
            error = e
        except BaseException:
            self._open.pop()
            raise
        inner = tuple(self._open.pop())
        stdout = answer.to_dict(call.version) if isinstance(answer, Result) else None
        changes = differences(before, observe(self._host, call.netns))
        stdin = json.loads(json.dumps(dict(call.config)))
        self._open[-1].append(PluginCall(plugin, command, call.environ(command), stdin, stdout, error, changes, inner))
        if error is not None:
            raise error
        return answer


class _Watched:
    """A plugin whose calls are recorded."""

    def __init__(self, plugin: Plugin, recorder: Recorder):
        self._plugin, self._recorder, self.type = plugin, recorder, plugin.type

    def add(self, call: Call) -> Result:
        result: Result = self._recorder.call(self.type, "ADD", call, self._plugin.add)
        return result

    def delete(self, call: Call) -> None:
        self._recorder.call(self.type, "DEL", call, self._plugin.delete)

    def check(self, call: Call) -> None:
        self._recorder.call(self.type, "CHECK", call, self._plugin.check)

    def gc(self, call: Call) -> None:
        self._recorder.call(self.type, "GC", call, self._plugin.gc)

    def status(self, call: Call) -> None:
        self._recorder.call(self.type, "STATUS", call, self._plugin.status)


def observe(host: PluginHost, netns: str = "") -> Observed:
    """What is programmed on the node and in one pod's namespace, and the node's disk."""
    seen: Observed = {("disk", "file"): dict(host.disk)}
    for id in dict.fromkeys((host.name, netns)):
        ns = host.network.namespaces.get(id)
        if ns is None:
            continue
        links = {}
        for k in ns.links.values():
            words = [k.kind, k.mac, f"mtu {k.mtu}", "UP" if k.up else "DOWN"]
            words += [f"master {k.master}"] if k.master else []
            words += [w for w, on in (("promisc", k.promisc), ("hairpin", k.port.hairpin), ("isolated", k.port.isolated)) if on]
            links[k.name] = " ".join(words)
        seen[id, "link"] = links
        seen[id, "address"] = {f"{a} dev {dev}": "" for dev, a in ns.addresses()}
        seen[id, "route"] = {str(r): "" for r in ns.routes}
        seen[id, "rule"] = {str(r): "" for r in ns.rules}
        seen[id, "neighbour"] = {str(n): "" for n in ns.neighbours.values()}
        seen[id, "fdb"] = {str(e): "" for e in ns.fdb}
        seen[id, "sysctl"] = {k: str(v) for k, v in ns.sysctls.items()}
    seen[host.name, "iptables"] = dict.fromkeys(host.rule_lines(), "")
    return seen


def differences(before: Observed, after: Observed) -> tuple[StateChange, ...]:
    """What is different, by place and kind: what went first, then what changed and what came."""
    out = []
    for where, kind in dict.fromkeys((*before, *after)):
        old, new = before.get((where, kind), {}), after.get((where, kind), {})
        if old == new:
            continue
        out += [StateChange(where, kind, "-", k, v) for k, v in old.items() if k not in new]
        out += [StateChange(where, kind, "~", k, old[k], v) for k, v in new.items() if k in old and old[k] != v]
        out += [StateChange(where, kind, "+", k, "", v) for k, v in new.items() if k not in old]
    return tuple(sorted(out, key=lambda c: (c.where == "disk", _ORDER.index(c.kind))))


_ORDER = ("sysctl", "link", "address", "route", "rule", "neighbour", "fdb", "iptables", "file")
