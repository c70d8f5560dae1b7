"""The magics `%%node NAME` and `%%pod NS/NAME`: a cell whose lines run in a shell of the lab.

    %%node worker-1
    bridge fdb show dev flannel.1

They work on the variable `cluster` of the notebook; `--cluster other` names another one. `%node NAME COMMAND` is the
one-line form. They are there as soon as kubenet_lab is imported inside IPython.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .errors import KubenetError

__all__ = ["load_ipython_extension", "register_if_ipython"]


def register_if_ipython() -> None:
    """Register the magics if this process runs inside IPython; never imports it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    if shell is not None:
        load_ipython_extension(shell)


def load_ipython_extension(ip: Any) -> None:
    """`%load_ext kubenet_lab.magics`."""
    for kind in ("node", "pod"):
        ip.register_magic_function(_magic(ip, kind), "line_cell", kind)


def _magic(ip: Any, kind: str) -> Callable[[str, str | None], None]:
    def magic(line: str, cell: str | None = None) -> None:
        try:
            for text in _run(ip.user_ns, kind, line, cell):
                if text:
                    print(text.rstrip("\n"))
        except KubenetError as e:
            # what a terminal shows: the message and nothing of Python
            print(e)

    magic.__doc__ = f"Run shell lines on a {kind} of the lab: %%{kind} NAME [--cluster VARIABLE]"
    return magic


def _run(names: dict[str, Any], kind: str, line: str, cell: str | None) -> list[str]:
    words = line.split()
    variable = "cluster"
    if "--cluster" in words:
        at = words.index("--cluster")
        if at + 1 == len(words):
            raise KubenetError(f"%%{kind}: --cluster needs the name of a variable")
        variable = words[at + 1]
        del words[at : at + 2]
    if not words:
        raise KubenetError(f"%%{kind}: which {kind}? Write %%{kind} {'worker-1' if kind == 'node' else 'shop/web'}")
    cluster = names.get(variable)
    if cluster is None or not hasattr(cluster, kind):
        raise KubenetError(f"%%{kind}: there is no cluster in the variable {variable!r}")
    machine = getattr(cluster, kind)(words[0])
    commands = [" ".join(words[1:])] if cell is None else cell.splitlines()
    lines = [c.strip() for c in commands if c.strip() and not c.strip().startswith("#")]
    # each command as it was typed, then what it printed: as a terminal shows it
    return [text for command in lines for text in (f"{machine.name}# {command}", machine.run(command))]
