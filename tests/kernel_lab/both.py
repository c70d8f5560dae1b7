"""`Both`: one cluster in real namespaces and in the model, asked the same questions."""

from __future__ import annotations

import time
from typing import Any

from kubenet_lab.kernel.ask import Result
from kubenet_lab.kernel.background import catch_up
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.state import State

from . import doors, model, modes, shape
from .compare import SETTLE, same
from .real import Real
from .shape import Spec


class Both:
    """Build with `with Both(real, spec) as b:`; `b.ask(...)` asks both sides, wants the same answer and gives it.

    `forgetful`: each question finds the model's state as it was at the beginning. Otherwise what one leaves the next one finds.
    """

    count = 0

    def __init__(self, real: Real, spec: Spec, plugins: bool = False, forgetful: bool = True):
        Both.count += 1
        self.real, self.spec, self.id = real, spec, f"both{Both.count}"
        self.serial = 40000
        self.net: Network = doors.network(spec)
        self.state = State()
        self.last: Result | None = None
        self.plugins, self.forgetful = plugins, forgetful

    def __enter__(self) -> Both:
        self.real.ask("build", id=self.id, spec=modes.real_spec(self.spec, plugins=self.plugins))
        self.real.ask("run", id=self.id, lines=shape.fault_lines(self.spec))
        time.sleep(SETTLE)
        return self

    def __exit__(self, *_: object) -> None:
        self.real.ask("drop", id=self.id)

    def run(self, space: str, line: str) -> None:
        """The same command line on both sides."""
        self.real.ask("run", id=self.id, lines=[[space, line]])
        doors.apply(self.net, [[space, line]])

    def each(
        self, src: str, dst: str, port: int = shape.TCP_PORT, proto: str = "TCP", **more: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The answers of the model and of the real kernel."""
        self.serial += 1
        probe = {
            "case": self.id,
            "src": src,
            "dst": dst,
            "port": port,
            "proto": proto,
            "size": 200,
            "sport": self.serial,
            "timeout": 4.2,
            **more,
        }
        self.real.ask("flush", ids=[self.id])
        said, self.last = model.ask(self.net, self.state.fork() if self.forgetful else self.state, probe, capture=True)
        return said, self.real.ask("probe", probes=[probe])[0]

    def ask(self, src: str, dst: str, port: int = shape.TCP_PORT, proto: str = "TCP", **more: Any) -> dict[str, Any]:
        said, found = self.each(src, dst, port, proto, **more)
        assert same(said, found), f"{src} -> {dst}:{port} {proto} {more}\nmodel {said}\nreal  {found}"
        return found

    def ask_all(self, asked: list[tuple[str, str, int, str]], **more: Any) -> list[dict[str, Any]]:
        """Many questions at the same time, each on a state of its own: their seconds of silence pass together."""
        probes = []
        for src, dst, port, proto in asked:
            self.serial += 1
            more = {"size": 200, "timeout": 4.2, **more}
            probes.append({"case": self.id, "src": src, "dst": dst, "port": port, "proto": proto, "sport": self.serial, **more})
        self.real.ask("flush", ids=[self.id])
        found = self.real.ask("probe", probes=probes)
        for probe, real in zip(probes, found, strict=True):
            said, self.last = model.ask(self.net, self.state.fork(), probe)
            assert same(said, real), f"{probe}\nmodel {said}\nreal  {real}"
        return list(found)

    def wait(self, seconds: float) -> None:
        """Time passes on both sides."""
        self.real.ask("serve", seconds=seconds)
        self.state.clock += seconds
        catch_up(self.net, self.state)

    def tool(self, space: str, line: str) -> tuple[str, str]:
        """What a command line prints, in the model and in reality."""
        catch_up(self.net, self.state)
        return Shell(self.net, self.state, space).run(line), self.real.ask("tool", id=self.id, space=space, argv=line.split())

    def way(self, src: str, dst: str, port: int = shape.UDP_PORT, proto: str = "UDP") -> list[str]:
        """The routers of a traceroute, as both sides see them."""
        return self.way_until(src, dst, 7, port, proto)

    def way_until(self, src: str, dst: str, most: int, port: int = shape.UDP_PORT, proto: str = "UDP") -> list[str]:
        """No further than `most` hops: behind a silent one every further question is a timeout."""
        seen: list[str] = []
        for ttl in range(1, most + 1):
            answer = self.ask(src, dst, port, proto, ttl=ttl)
            if answer["verdict"] == "delivered":
                return seen
            seen.append(answer["icmp"][2] if answer["icmp"] else "*")
        return seen
