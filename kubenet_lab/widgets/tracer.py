"""`PacketTracer`: ask whether a packet arrives, then follow it hop by hop."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from ..errors import KubenetError
from ..explain.story import Story
from ..plots.route import walks
from ..trace import Hop, Trace
from .assets import script, style
from .view import choices, failure, trace_view

__all__ = ["PacketTracer"]


class PacketTracer(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]
    """Choose source, target, port and protocol; see the packet's way, one hop at a time.

    Asks on a fork: the cluster does not change. From code: set `src`, `dst`, `port`, `protocol` (each asks again), `send()` after
    the cluster changed, `step()`, `back()`, `hop = 4`, `direction = "reply"`. `trace` is the answer, `text` says what is on the screen.
    """

    _esm = script("tracer.js")
    _css = style()

    src = traitlets.Unicode().tag(sync=True)
    dst = traitlets.Unicode().tag(sync=True)
    port = traitlets.Union([traitlets.Int(), traitlets.Unicode()], default_value=80).tag(sync=True)
    protocol = traitlets.Unicode("TCP").tag(sync=True)
    request = traitlets.Int(0).tag(sync=True)  # counts questions; the button adds one
    hop = traitlets.Int(1).tag(sync=True)  # 1-based, in `direction`
    direction = traitlets.Enum(["forward", "reply"], default_value="forward").tag(sync=True)
    choices = traitlets.Dict().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, cluster: Any, src: str = "shop/web", dst: str = "svc:shop/cart", port: int | str = 8080, protocol: str = "TCP"):
        self._cluster = cluster
        self._asked: tuple[Any, ...] = ()
        self._trace: Trace | None = None
        self._error = ""
        super().__init__(src=src, dst=dst, port=port, protocol=protocol)
        self._answer()
        self.observe(self._on_question, names=["src", "dst", "port", "protocol", "request"])

    # -- asking

    @traitlets.validate("port")
    def _port(self, proposal: Any) -> int | str:
        value = proposal["value"]
        return int(value) if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() else value

    def _on_question(self, change: Any) -> None:
        # one message from the browser may change several traits: answer once
        if self._asked != (self.src, self.dst, self.port, self.protocol, self.request):
            self._answer()

    def _answer(self) -> None:
        self._asked = (self.src, self.dst, self.port, self.protocol, self.request)
        self._trace, self._error = None, ""
        topology = self._cluster.topology()
        try:
            trace = self._cluster.preview(self.src, self.dst, port=self.port, protocol=self.protocol)
            view = trace_view(topology, trace)
            self._trace = trace
        except KubenetError as error:
            self._error = str(error)
            view = failure(topology, self._error)
        view["request"] = self.request  # so that every answer is news to the browser
        with self.hold_sync(), self.hold_trait_notifications():
            self.choices = choices(topology, self._ports())
            self.direction = "forward"
            self.view = view
            self.hop = 1

    def _ports(self) -> dict[str, list[tuple[int, str]]]:
        """The ports of the Services, so that choosing one brings a port it serves."""
        return {f"svc:{s.key}": [(p.port, p.protocol) for p in s.spec.ports] for s in self._cluster.objects("Service")}

    def send(self) -> None:
        """Ask again, as the button does."""
        self.request += 1

    @property
    def trace(self) -> Trace | None:
        """The answer, or None if the question has none; then `error` says why."""
        return self._trace

    @property
    def error(self) -> str:
        return self._error

    # -- stepping

    @property
    def hops(self) -> tuple[Hop, ...]:
        """The hops of the current direction, through all stages."""
        if self._trace is None:
            return ()
        return tuple(h for _, w in walks(self._trace) for h in (w.hops if self.direction == "forward" else w.reply_hops))

    @traitlets.validate("hop")
    def _hop(self, proposal: Any) -> int:
        return max(1, min(int(proposal["value"]), max(len(self.hops), 1)))

    @traitlets.validate("direction")
    def _direction(self, proposal: Any) -> str:
        wanted: str = proposal["value"]
        has = self._trace is not None and any(w.reply_hops for _, w in walks(self._trace))
        return wanted if wanted == "forward" or has else "forward"

    @traitlets.observe("direction")
    def _on_direction(self, change: Any) -> None:
        self.hop = 1

    def step(self) -> None:
        """One hop forward; at the last hop it stays."""
        self.hop = self.hop + 1

    def back(self) -> None:
        self.hop = self.hop - 1

    # -- the same in words

    @property
    def _question(self) -> str:
        return f"{self.src} -> {self.dst}:{self.port} {self.protocol}"

    @property
    def text(self) -> Story:
        """What is on the screen: the verdict and the current hop."""
        if self._trace is None:
            return Story(f"{self._question}\n! no answer: {self._error}")
        lines = [self._question, self._trace.summary]
        lines += [f"  because: {r.sentence}" for r in self._trace.reasons]
        if hops := self.hops:
            now = hops[self.hop - 1]
            way = "" if self.direction == "forward" else " of the way back"
            lines += [f"hop {self.hop} of {len(hops)}{way}: {'✗ ' if now.failed else ''}{now.title}", f"  {now.sentence}"]
            if now.entry:
                lines.append(f"  entry: {now.entry.text}")
            if now.command:
                lines.append(f"  on a real node: {now.command}")
        return Story("\n".join(lines))

    def __repr__(self) -> str:
        if self._trace is None:
            return f"PacketTracer({self._question}: no answer)"
        where = f"hop {self.hop} of {len(self.hops)}" + (" of the reply" if self.direction == "reply" else "")
        return f"PacketTracer({self._question}: {self._trace.verdict}, {where})"
