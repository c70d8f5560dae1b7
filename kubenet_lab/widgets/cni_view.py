"""What CniLab shows, as plain data: pure functions of the runtime, its log and a conflist's text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..cni import CniError, CniRuntime, NetworkList, Operation, problems
from ..cni.record import PluginCall
from ..kernel.namespace import Namespace
from ..kernel.network import Network

__all__ = ["operation_view", "problems_of", "tables_of"]

#: a call's changes that are shown; the rest is counted
MOST = 14


def problems_of(text: str) -> list[dict[str, Any]]:
    """What is wrong with a conflist: line (1-based), code and message of each problem; [] if it can be read."""
    try:
        json.loads(text)
    except json.JSONDecodeError as e:
        return [{"line": e.lineno, "code": 6, "message": f"{e.msg}, at column {e.colno}"}]
    try:
        NetworkList.parse(text)
    except CniError as e:
        return [{"line": e.line or 1, "code": e.code, "message": str(e)}]
    return [{"line": p.line, "code": 1, "message": p.message} for p in problems(text) if p.path == "cniVersion"]


def lines_of_error(text: str, operation: Operation) -> list[dict[str, Any]]:
    """Where in the conflist the plugin stands that failed: its `type` line; [] if nothing failed."""
    if operation.error is None:
        return []
    failed = [call for _, call in operation.walk() if call.error is not None]
    name = failed[-1].plugin if failed else ""
    line = next((n for n, row in enumerate(text.splitlines(), 1) if re.search(rf'"type"\s*:\s*"{re.escape(name)}"', row)), 1)
    return [{"line": line, "code": operation.error.code, "message": operation.error.msg}]


def _answer(call: PluginCall) -> str:
    if call.error is not None:
        return f"error {call.error.code}: {call.error.msg}"
    return json.dumps(call.stdout, indent=2) if call.stdout is not None else "nothing: it went well"


def _call(depth: int, call: PluginCall) -> dict[str, Any]:
    changes = [[c.action, f"{c.place}: {c.entry}"] for c in call.own_changes]
    return {
        "depth": depth, "plugin": call.plugin, "command": call.command, "ok": call.error is None,
        "said": "ok" if call.error is None else f"error {call.error.code}", "stdin": json.dumps(dict(call.stdin), indent=2),
        "stdout": _answer(call), "changes": changes[:MOST], "more": max(0, len(changes) - MOST),
        "environ": " ".join(f"{k}={v}" for k, v in call.environ.items()),
    }  # fmt: skip


def operation_view(operation: Operation) -> dict[str, Any]:
    """One operation: its verdict in words, and every call."""
    if operation.error is not None:
        said = f"error {operation.error.code}: {operation.error.msg}"
    elif operation.result is not None and operation.result.ips:
        said = ", ".join(c.address for c in operation.result.ips)
    else:
        said = "ok"
    calls = [_call(depth, call) for depth, call in operation.walk()]
    answer = operation.error.to_dict() if operation.error else operation.result.to_dict() if operation.result else None
    return {
        "title": operation.title, "ok": operation.error is None, "symbol": "✗" if operation.error else "✓", "said": said, "calls": calls,
        "result": json.dumps(answer, indent=2) if answer is not None else "",
    }  # fmt: skip


def _links(ns: Namespace) -> list[str]:
    out = []
    for k in ns.links.values():
        addresses = " ".join(str(a) for a in k.addresses)
        what = f"{k.name}: mtu {k.mtu}" + (f" master {k.master}" if k.master else "") + (" DOWN" if not k.up else "")
        out.append(f"{what} {addresses}".rstrip())
    return out


def tables_of(network: Network, node: str, pods: Sequence[str], files: Mapping[str, str]) -> list[dict[str, Any]]:
    """The live state: links and routes of the pods and of the node, and the files that the IPAM keeps."""
    out = []
    for pod in pods:
        ns = network.namespaces.get(f"pod:{pod}")
        if ns is not None:
            out.append({"title": f"pod {pod}", "rows": [*_links(ns), *(str(r) for r in ns.routes)]})
    host = network.namespaces[node]
    out.append({"title": f"node {node}" if node != "node" else "the node", "rows": [*_links(host), *(str(r) for r in host.routes)]})
    kept = [f"{path.rpartition('/')[2]}: {' '.join(text.split())}" for path, text in files.items() if "/networks/" in path]
    out.append({"title": "files of the IPAM", "rows": kept or ["none"]})
    return out


def runtime_view(runtime: CniRuntime, text: str, step: int) -> dict[str, Any]:
    """Everything about the conflist and what was done with it. `step`: which operation is looked at, 1-based; 0 for none."""
    log = runtime.log
    attached = [a.container_id for a in runtime.attachments]
    problems = problems_of(text)
    shown = log[step - 1] if 0 < step <= len(log) else None
    if not problems and shown is not None and step == len(log):
        problems = lines_of_error(text, shown)
    return {
        "problems": problems, "attached": attached, "history": [[op.title, op.error is None] for op in log],
        "operation": operation_view(shown) if shown is not None else None,
        "tables": tables_of(runtime.host.network, runtime.host.name, attached, runtime.files),
    }  # fmt: skip
