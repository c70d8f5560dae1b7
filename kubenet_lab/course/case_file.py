"""`kn.mystery(seed=7)`: a bookshop with one hidden fault. Probe, accuse, share how many probes it took."""

from __future__ import annotations

import re
from typing import Any

from ..errors import KubenetError
from ..objects.kinds import kind_of
from .logbook import CourseError
from .mysteries import bookshop, chosen
from .mysteries.fault import Fault
from .verdict import Note, Verdict

__all__ = ["Mystery", "Shared", "Witness", "mystery"]

#: probes that a wrong accusation costs
PENALTY = 3
HELP = 'Probe with m.ask, m.node(...).run, m.pod(...).run; then m.accuse("Service shop/cart", "spec.selector").'


class Shared(str):
    """Text to copy: it shows itself as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Witness:
    """A node or a pod of the mystery: a shell, each command one probe. What it changes stays changed."""

    def __init__(self, case: Mystery, machine: Any, sign: str):
        self._case, self._machine, self._sign = case, machine, sign
        self.name: str = machine.name

    def run(self, command: str) -> Any:
        """What the real tool prints. Raises CommandError for a command that the lab does not know, which is no probe."""
        out = self._machine.run(command)
        self._case._probed(self._sign)
        return out

    def __repr__(self) -> str:
        return f"{self.name}: run(command)"


class Mystery:
    """A bookshop in which one thing is wrong.

    Probes: `ask`, `connect`, `outcomes`, `request`, `resolve`; `node("worker-1").run("ip route")`, `pod("shop/web").run(...)`; `get` and
    `objects` read what was declared. `accuse(object, field)` ends it if it is right. Every question is one probe, a wrong accusation
    counts as three. `share()` gives three lines to copy that tell nothing about the fault.
    """

    def __init__(self, seed: int, fault: Fault):
        self.seed, self._fault = seed, fault
        self._cluster = bookshop(fault)
        self._signs: list[str] = []
        self.solved = self.revealed = False

    # ------------------------------------------------------------------------------------------------------- probing
    def _probed(self, sign: str) -> None:
        if not self.solved and not self.revealed:
            self._signs.append(sign)

    def _question(self, verb: str, *args: Any, **options: Any) -> Any:
        found = getattr(self._cluster, verb)(*args, **options)
        self._probed("?")
        return found

    def ask(self, src: Any, target: Any, **options: Any) -> Any:
        """As `cluster.ask`: a URL, "host:port", a name, an address."""
        return self._question("ask", src, target, **options)

    def connect(self, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP", **options: Any) -> Any:
        """As `cluster.connect`."""
        return self._question("connect", src, dst, port, protocol, **options)

    def outcomes(self, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP", **options: Any) -> Any:
        """As `cluster.outcomes`."""
        return self._question("outcomes", src, dst, port, protocol, **options)

    def request(self, src: Any, url: str, method: str = "GET", **options: Any) -> Any:
        """As `cluster.request`."""
        return self._question("request", src, url, method, **options)

    def resolve(self, src: Any, name: str, **options: Any) -> Any:
        """As `cluster.resolve`."""
        return self._question("resolve", src, name, **options)

    def node(self, name: str) -> Witness:
        """A node. Naming it is free, each `run` is a probe."""
        return Witness(self, self._cluster.node(name), "N")

    def pod(self, key: str) -> Witness:
        """A pod. Naming it is free, each `run` is a probe."""
        return Witness(self, self._cluster.pod(key), "P")

    def get(self, kind: str, key: str) -> Any:
        """One object as it was declared."""
        found = self._cluster.get(kind, key)
        self._probed("O")
        return found

    def objects(self, kind: str) -> Any:
        """All objects of a kind."""
        found = self._cluster.objects(kind)
        self._probed("O")
        return found

    # ------------------------------------------------------------------------------------------------------ accusing
    def accuse(self, object: str, field: str) -> Verdict:
        """Who is to blame ("Service shop/cart", "Node worker-1", "Pod shop/web"), and what of it.

        `field`: of an object the field ("spec.selector", "targetPort"); of a node or a pod what is programmed there, in a word
        ("route", "fdb", "neighbour", "mtu", "rule", "sysctl", "link", "filter"). Raises CourseError for what does not exist; that costs nothing.
        """
        if not isinstance(object, str) or not isinstance(field, str) or not object.strip() or not field.strip():
            raise CourseError('accuse whom, of what? m.accuse("Service shop/cart", "spec.selector")')
        who, what = self._suspect(object), _word(field)
        title = f"mystery {self.seed}"
        guilty = _same(who, _parts(self._fault.object))
        if guilty and what in {_word(f) for f in self._fault.fields}:
            self._mark("✓")
            self.solved = True
            return Verdict("accuse", title, "right", f"{self._fault.because} Solved with {self._count()}.")
        self._mark("✗")
        shown = " ".join(who)
        near = f"{shown}: yes, but not its {field.strip()}." if guilty else f"{shown} is as it should be."
        return Verdict("accuse", title, "wrong", f"{near} This counts as {PENALTY} probes.")

    def _mark(self, sign: str) -> None:
        self._probed(sign)

    def _suspect(self, text: str) -> tuple[str, str]:
        kind, name = _parts(text)
        if not kind:
            nodes = {n.name for n in self._cluster.nodes}
            if name not in nodes:
                raise CourseError(f"accuse: {text!r}, expected a kind and a name in one text, such as 'Service shop/web'")
            kind = "Node"
        try:
            if kind == "Node":
                name = self._cluster.node(name).name
            elif kind == "Pod":
                self._cluster.pod(name)
            else:
                self._cluster.get(kind, name)
        except KubenetError as e:
            raise CourseError(f"accuse: {e}") from None
        return kind, name

    # ------------------------------------------------------------------------------------------------------- the end
    @property
    def probes(self) -> int:
        """How many questions were put, without accusations."""
        return sum(s not in "✓✗" for s in self._signs)

    @property
    def score(self) -> int:
        """Probes, and three for each wrong accusation. Fewer is better."""
        return self.probes + PENALTY * self._signs.count("✗")

    def _count(self) -> str:
        wrong = self._signs.count("✗")
        parts = [f"{self.probes} probe{'' if self.probes == 1 else 's'}"]
        if wrong:
            parts.append(f"{wrong} wrong accusation{'' if wrong == 1 else 's'}")
        return " and ".join(parts)

    def share(self) -> Shared:
        """Three lines to copy. They tell how it went, and nothing of the fault."""
        end = "given up after" if self.revealed else "solved with" if self.solved else "not solved yet:"
        points = "point" if self.score == 1 else "points"
        return Shared(f"kubenet-lab mystery {self.seed}\n{end} {self._count()} · {self.score} {points}\n{' '.join(self._signs) or '-'}")

    def reveal(self) -> Note:
        """Give up: who it was and why. Probes do not count from then on."""
        self.revealed = self.revealed or not self.solved
        told = f"{self._fault.object}, {self._fault.fields[0]}. {self._fault.because}"
        return Note("mystery", str(self.seed), told)

    def __repr__(self) -> str:
        end = ", solved" if self.solved else ", given up" if self.revealed else ""
        return f"Mystery {self.seed} ({self._count()}{end}): {self._fault.complaint}"

    def __str__(self) -> str:
        return f"{self!r}\n{HELP}"

    def _repr_html_(self) -> str:
        return Note("mystery", str(self.seed), f"{self._fault.complaint} {HELP}")._repr_html_()


def mystery(seed: int = 0) -> Mystery:
    """A bookshop with one hidden fault, the same for the same seed; see `Mystery`."""
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise CourseError(f"mystery: seed {seed!r}, expected a number")
    return Mystery(seed, chosen(seed))


def _parts(text: str) -> tuple[str, str]:
    """(kind, name) of "Service shop/cart", "svc:shop/cart", "node/worker-1"; no kind where none is said."""
    m = re.fullmatch(r"\s*([A-Za-z]+)(?:\s+|:|/)\s*(\S+)\s*", text)
    if m is None:
        return "", text.strip()
    try:
        return kind_of(m[1]), m[2]
    except KubenetError:
        return "", text.strip()


def _same(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """A pod may be named by its workload."""
    (kind, name), (kind2, name2) = one, other
    return kind == kind2 and (name == name2 or (kind == "Pod" and (name.startswith(f"{name2}-") or name2.startswith(f"{name}-"))))


def _word(field: str) -> str:
    """A field as it is compared: the last part of its path, in lower case."""
    return re.sub(r"\[[^\]]*\]", "", field).strip().lower().rpartition(".")[2]
