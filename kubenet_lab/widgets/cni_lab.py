"""`CniLab`: write a conflist, run it, see who was called and what is there now; and how a packet leaves the node under each network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import traitlets

from ..cni import CniRuntime, Operation
from ..errors import KubenetError
from ..explain.story import Story
from .assets import script, style
from .cni_examples import examples
from .cni_modes import mode_view, modes
from .cni_view import runtime_view

__all__ = ["CniLab"]


class CniLab(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]
    """A conflist with its errors at their lines, ADD and DEL of pods with every plugin call, and the state they leave.

    The pods are attached on an empty node. The second half shows how a packet leaves a node of `cluster` (default: the bookshop) under
    each pod network; it works on copies, so the cluster does not change.

    From code: set `conflist` (text) or `example` (a name of `examples`), then `add()`, `delete("demo-1")`, `check("demo-1")`, `gc()`,
    `status()`; `step` looks at an earlier operation, `call` at one of its calls; `mode` and `apart` choose what the second half shows.
    `operation` is the one that is looked at, `text` says what is on the screen.
    """

    _esm = script("cni_lab.js")
    _css = style("cni_lab.css")

    conflist = traitlets.Unicode().tag(sync=True)
    example = traitlets.Unicode().tag(sync=True)
    command = traitlets.Dict().tag(sync=True)  # what a button asks for: {"verb", "pod", "n"}
    step = traitlets.Int(0).tag(sync=True)  # the operation that is looked at, 1-based; 0 for none
    call = traitlets.Int(1).tag(sync=True)  # the call of it, 1-based
    mode = traitlets.Unicode("vxlan").tag(sync=True)
    apart = traitlets.Bool(False).tag(sync=True)
    names = traitlets.Dict().tag(sync=True)  # examples and modes to choose from
    view = traitlets.Dict().tag(sync=True)
    modeview = traitlets.Dict().tag(sync=True)

    def __init__(self, cluster: Any = None, conflist: str | None = None):
        self._cluster = cluster
        self._runtime = CniRuntime()
        self.examples: Mapping[str, str] = examples()
        self._counter = 0
        self._said = ""
        self._seen: dict[tuple[str, bool], dict[str, Any]] = {}
        name = next(iter(self.examples))
        super().__init__(
            example="" if conflist is not None else name,
            conflist=conflist if conflist is not None else self.examples[name],
            names={"examples": list(self.examples), "modes": modes()},
        )
        self._show()
        self._show_mode()
        self.observe(self._on_example, "example")
        self.observe(lambda change: self._show(), ["conflist", "step", "call"])
        self.observe(lambda change: self._show_mode(), ["mode", "apart"])
        self.observe(self._on_command, "command")

    # ------------------------------------------------------------------------------------------------ operations
    def add(self, pod: str | None = None) -> Operation | None:
        """ADD a pod ("demo-1", "demo-2" ... by default). None if the conflist cannot be read."""
        if pod is None:
            self._counter += 1
            pod = f"demo-{self._counter}"
        return self._do(lambda: self._runtime.add(pod, self.conflist))

    def delete(self, pod: str) -> Operation | None:
        return self._do(lambda: self._runtime.delete(pod))

    def check(self, pod: str) -> Operation | None:
        return self._do(lambda: self._runtime.check(pod))

    def gc(self) -> Operation | None:
        return self._do(lambda: self._runtime.gc(self.conflist))

    def status(self) -> Operation | None:
        return self._do(lambda: self._runtime.status(self.conflist))

    def _do(self, run: Callable[[], Operation]) -> Operation | None:
        self._said = ""
        try:
            done = run()
        except KubenetError as error:  # a conflist that cannot be read, a pod that is not there
            self._said = str(error)
            self._show()
            return None
        with self.hold_trait_notifications():
            self.step, self.call = len(self._runtime.log), 1
        self._show()
        return done

    def _on_command(self, change: Any) -> None:
        asked = change["new"]
        pod = str(asked.get("pod") or "")
        verbs: dict[str, Callable[[], Any]] = {
            "ADD": self.add, "DEL": lambda: self.delete(pod), "CHECK": lambda: self.check(pod), "GC": self.gc, "STATUS": self.status,
        }  # fmt: skip
        if (run := verbs.get(str(asked.get("verb")))) is not None:
            run()

    def _on_example(self, change: Any) -> None:
        if change["new"] in self.examples:
            self.conflist = self.examples[change["new"]]

    # ---------------------------------------------------------------------------------------------------- showing
    @traitlets.validate("step")
    def _step(self, proposal: Any) -> int:
        return max(0, min(int(proposal["value"]), len(self._runtime.log)))

    @property
    def operation(self) -> Operation | None:
        """The operation that is looked at."""
        return self._runtime.log[self.step - 1] if self.step else None

    @property
    def operations(self) -> tuple[Operation, ...]:
        return self._runtime.log

    def run(self, pod: str, command: str) -> str:
        """A command in a pod's namespace; "" is the node."""
        return self._runtime.run(pod, command)

    def _show(self) -> None:
        view = runtime_view(self._runtime, self.conflist, self.step)
        view["said"] = self._said
        self.view = view

    def _show_mode(self) -> None:
        key = (self.mode, self.apart)
        if key not in self._seen:
            self._seen[key] = mode_view(self._base(), *key)
        self.modeview = self._seen[key]

    def _base(self) -> Any:
        """The cluster whose packet the second half shows: the bookshop where none was given."""
        if self._cluster is None:
            from .. import example

            self._cluster = example("bookshop")
        return self._cluster

    @property
    def text(self) -> Story:
        """What is on the screen, in words."""
        lines = [f"conflist: line {p['line']}: error {p['code']}: {p['message']}" for p in self.view["problems"]] or [
            "conflist: can be read"
        ]
        if self._said:
            lines.append(f"! {self._said}")
        op = self.view["operation"]
        if op is not None:
            lines.append(f"{op['symbol']} {op['title']}: {op['said']}")
            for call in op["calls"]:
                lines.append(f"  {'  ' * call['depth']}{call['plugin']} {call['command']}: {call['said']}")
                lines += [f"  {'  ' * call['depth']}  {mark} {what}" for mark, what in call["changes"]]
        for table in self.view["tables"]:
            lines += [f"{table['title']}:", *(f"  {row}" for row in table["rows"])]
        m = self.modeview
        lines.append(f"{m['label']}{', nodes on two segments' if self.apart else ''}: {m['error'] or m['said']}")
        if m["headers"]:
            stack = ", ".join(f"{card['name']} {card['size']}" for card in m["headers"]["stack"])
            lines.append(f"  pod MTU {m['mtu']}; on the wire: {stack}; route: {m['route']}")
        return Story("\n".join(lines))

    def __repr__(self) -> str:
        done = f"{len(self._runtime.log)} operations" if self._runtime.log else "nothing done yet"
        return f"CniLab({done}, {len(self._runtime.attachments)} attached)"
