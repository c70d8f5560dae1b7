"""Magics for notebooks: `%%node worker-1` and `%%pod shop/web` run each line of a cell on that machine of the lab.

    %%node worker-1
    ip route
    bridge fdb show dev flannel.1

    %node worker-1 ip route        # the same for one command

The cluster is the variable `cluster` of the notebook, or the one that `--cluster NAME` names. `%load_ext kubenet_lab.magics` registers
them; importing kubenet_lab inside IPython does it by itself. IPython is only touched where it is already loaded.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import Any

from .errors import KubenetError

__all__ = ["load_ipython_extension", "register_if_ipython", "unload_ipython_extension"]

_DEFAULT = "cluster"


_HELP = """\
Run shell commands on a {what} of the lab; they print what the real tools print, and changes are recorded as hand edits.

    %{kind} {machine} {command}              one command; pipes, && and ; work, {{name}} and $name are variables of the notebook
    %%{kind} {machine}                       a whole cell: one command a line, # begins a comment, \\ at the end goes on
    %{kind} --cluster other {machine} {command}

Without --cluster it is the variable `cluster`. The shell has no variables, loops and globs of its own.
To keep the text: cluster.{kind}("{machine}").run("{command}")
"""


def _help(kind: str) -> str:
    words = ("node", "worker-1", "ip route") if kind == "node" else ("pod", "shop/web", "ip addr")
    return _HELP.format(kind=kind, what=words[0], machine=words[1], command=words[2])


def _arguments(kind: str, line: str) -> tuple[str, str, str]:
    """(machine, name of the cluster's variable, the command that stands behind them)"""
    head, variable, rest = "", _DEFAULT, line.strip()

    def word() -> str:
        nonlocal rest
        found, _, rest = rest.partition(" ")
        rest = rest.strip()
        return found.strip("'\"")

    while rest and (not head or rest.startswith("--cluster")):
        text = word()
        if text == "--cluster":
            variable = word()
        elif text.startswith("--cluster="):
            variable = text.partition("=")[2].strip("'\"")
        elif text.startswith("-"):
            raise KubenetError(f"{kind}: option {text!r} is unknown; %{kind} --help shows examples")
        else:
            head = text
    if not variable:
        raise KubenetError(f"{kind}: --cluster which? %{kind} --help shows examples")
    if not head:
        example = "worker-1" if kind == "node" else "shop/web"
        raise KubenetError(f"{kind}: which {kind}? As in: {kind} {example}; %{kind} --help shows examples")
    return head, variable, rest


def _cluster(kind: str, variable: str, names: dict[str, Any]) -> Any:
    from .cluster import Cluster

    found = names.get(variable)
    if isinstance(found, Cluster):
        return found
    choices = sorted(k for k, v in names.items() if isinstance(v, Cluster) and not k.startswith("_"))
    if found is not None:
        hint = f"; clusters here: {', '.join(choices)}" if choices else ""
        raise KubenetError(f"{kind}: {variable} is a {type(found).__name__}, not a cluster{hint}")
    if choices:
        near = get_close_matches(variable, choices, n=1, cutoff=0.0)
        raise KubenetError(f"{kind}: no variable {variable!r} here; clusters: {', '.join(choices)}: add --cluster {near[0]}")
    raise KubenetError(f"{kind}: no variable {variable!r} here; make one first: cluster = kn.example(\"bookshop\")")


def _run(kind: str, line: str, cell: str | None, names: dict[str, Any]) -> None:
    """Run and print. What a command refuses is printed too, as a terminal shows it; a machine that is not there is an error."""
    if line.strip() in ("-h", "--help"):
        print(_help(kind))
        return
    head, variable, command = _arguments(kind, line)
    if cell is None and not command:
        example = "ip route" if kind == "node" else "ip addr"
        raise KubenetError(f"{kind}: which command? %{kind} {head} {example}, or %%{kind} {head} over a cell")
    cluster = _cluster(kind, variable, names)
    machine = cluster.node(head) if kind == "node" else cluster.pod(head)
    for text in _commands(command if cell is None else f"{command}\n{cell}"):
        try:
            out = str(machine.run(text))
        except KubenetError as e:
            out = f"{e}\n"
        print(f"{machine.name}# {text}")  # a command that says nothing still shows that it ran
        if out:
            print(out, end="" if out.endswith("\n") else "\n")


def _commands(text: str) -> list[str]:
    """The lines of a cell; one that ends in a backslash goes on in the next."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _quiet(kind: str, line: str, cell: str | None, names: dict[str, Any]) -> None:
    """As `_run`; a mistake in the magic's own line is a sentence, not a traceback."""
    try:
        _run(kind, line, cell, names)
    except KubenetError as e:
        print(f"{e}", file=sys.stderr)


def load_ipython_extension(ip: Any) -> None:
    """Called by `%load_ext kubenet_lab.magics`."""

    def node(line: str, cell: str | None = None) -> None:
        _quiet("node", line, cell, ip.user_ns)

    def pod(line: str, cell: str | None = None) -> None:
        _quiet("pod", line, cell, ip.user_ns)

    for function in (node, pod):
        function.__doc__ = _help(function.__name__)  # what `%node?` shows
        ip.register_magic_function(function, magic_kind="line_cell", magic_name=function.__name__)


def unload_ipython_extension(ip: Any) -> None:
    """Called by `%unload_ext kubenet_lab.magics`."""
    for kind in ("line", "cell"):
        for name in ("node", "pod"):
            ip.magics_manager.magics[kind].pop(name, None)


def register_if_ipython() -> bool:
    """Register the magics in a running IPython; nothing is imported, and nothing happens elsewhere. True if it did."""
    module = sys.modules.get("IPython")
    ask = getattr(module, "get_ipython", None)
    ip = ask() if ask is not None else None
    if ip is None:
        return False
    load_ipython_extension(ip)
    return True
