"""`kn.mystery(seed=7)`: a bookshop with one hidden fault. Probe, accuse, share how many probes it took.

A probe shows what an operator's tool shows where he stands. What the lab knows beyond that (which entry decided, and why) would name
the fault in the first answer: it is told when the case is closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

from ..cluster.outcomes import Outcomes
from ..errors import KubenetError
from ..objects.kinds import kind_of
from .declared import Declared, Listing, listing
from .logbook import CourseError
from .mysteries import bookshop, chosen
from .mysteries.fault import Fault
from .observation import Observation, observed, shares
from .verdict import Note, Verdict

__all__ = ["Mystery", "Shared", "Witness", "mystery"]

#: what a wrong accusation and giving up cost, in probes
PENALTY, SURRENDER = 3, 20
HELP = (
    'Probe with m.ask("ops/jobs", "http://web.shop"), m.node("worker-1").run("tcpdump -ni any"), m.pod("shop/web").run("ip route"), '
    'm.objects("Pod"), m.get("Service", "kube-system/kube-dns"), m.underlay(); then m.accuse("Service kube-system/kube-dns", '
    '"spec.selector"). m.reveal() gives up.'
)


class Shared(str):
    """Text to copy: it shows itself as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Witness:
    """A node or a pod of the mystery: a shell, each command one probe. What it changes stays changed."""

    def __init__(self, case: Mystery, find: Callable[[Any], Any], sign: str):
        self._case, self._find, self._sign = case, find, sign
        self.name: str = find(case._cluster).name

    def run(self, command: str) -> Any:
        """What the real tool prints. Raises CommandError with what it prints when it fails."""
        return self._case._probe(self._sign, lambda cluster: self._find(cluster).run(command))

    def __repr__(self) -> str:
        return f"{self.name}: run(command)"


class Mystery:
    """A bookshop in which one thing is wrong.

    Probes: `ask`, `connect`, `outcomes`, `request`, `resolve` tell what the client sees; `node("worker-1").run("ip route")`,
    `pod("shop/web").run(...)` what a tool prints there, `run("tcpdump -ni any")` what the last question put on the links; `get` and
    `objects` what was declared; `underlay()` what the network between the nodes is.

    `accuse(object, field)` ends it if it is right. Every question is one probe, a wrong accusation counts as three, giving up by
    `reveal()` as twenty. `share()` gives three lines to copy that tell nothing about the fault. When the case is closed, `explain()`
    of each observation tells the packet's whole way.
    """

    def __init__(self, seed: int, fault: Fault):
        self.seed, self._fault = seed, fault
        self._cluster = bookshop(fault)
        self._signs: list[str] = []
        self.solved = self.revealed = False

    @property
    def closed(self) -> bool:
        """Solved or given up."""
        return self.solved or self.revealed

    # ------------------------------------------------------------------------------------------------------- probing
    def _probed(self, sign: str) -> None:
        if not self.closed:
            self._signs.append(sign)

    def _probe(self, sign: str, question: Callable[[Any], Any], free: bool = False) -> Any:
        """An error that a healthy bookshop gives too is a slip of the pen and costs nothing; any other tells something."""
        try:
            found = question(self._cluster)
        except KubenetError:
            if not _refused(question, bookshop(self._fault, planted=False)):
                self._probed(sign)
            raise
        if not free:
            self._probed(sign)
        return found

    def _question(self, verb: str, *args: Any, **options: Any) -> Observation:
        found = self._probe("?", lambda cluster: getattr(cluster, verb)(*args, **options))
        return observed(found, str(args[0]), lambda: self.closed)

    def ask(self, src: Any, target: Any, **options: Any) -> Observation:
        """As `cluster.ask`: a URL, "host:port", a name, an address. What the client sees of it."""
        return self._question("ask", src, target, **options)

    def connect(self, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP", **options: Any) -> Observation:
        """As `cluster.connect`. What the client sees of it."""
        return self._question("connect", src, dst, port, protocol, **options)

    def outcomes(self, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP", **options: Any) -> Outcomes:
        """As `cluster.outcomes`: how often which end, as a client counts that asks again and again."""
        return shares(self._probe("?", lambda cluster: cluster.outcomes(src, dst, port, protocol, **options)))

    def request(self, src: Any, url: str, method: str = "GET", **options: Any) -> Observation:
        """As `cluster.request`. What the client sees of it."""
        return self._question("request", src, url, method, **options)

    def resolve(self, src: Any, name: str, **options: Any) -> Observation:
        """As `cluster.resolve`: the addresses or the error, and each query with its answer."""
        return self._question("resolve", src, name, **options)

    def node(self, name: str) -> Witness:
        """A node. Naming it is free, each `run` is a probe."""
        return self._witness("N", lambda cluster: cluster.node(name))

    def pod(self, key: str) -> Witness:
        """A pod. Naming it is free, each `run` is a probe."""
        return self._witness("P", lambda cluster: cluster.pod(key))

    def underlay(self) -> Shared:
        """What the network team's console shows: the segments of the node network and the packet filters before the nodes."""
        return Shared(self._probe("U", lambda cluster: str(cluster.underlay)))

    def _witness(self, sign: str, find: Callable[[Any], Any]) -> Witness:
        self._probe(sign, find, free=True)
        return Witness(self, find, sign)

    def get(self, kind: str, key: str) -> Declared:
        """One object as it was declared; it shows itself as YAML."""

        def read(cluster: Any) -> Declared:
            view = cluster.get(kind, key)
            return Declared(view, cluster.store.document(view.kind, view.key))

        return cast(Declared, self._probe("O", read))

    def objects(self, kind: str) -> Listing:
        """All objects of a kind, as `kubectl get -o wide` lists them."""
        return cast(Listing, self._probe("O", lambda cluster: listing(cluster.objects(kind), cluster.store.document)))

    # ------------------------------------------------------------------------------------------------------ accusing
    def accuse(self, object: str, field: str) -> Verdict:
        """Who is to blame ("Service shop/cart", "Node worker-1", "Pod shop/web"), and what of it.

        `field`: of an object the field ("spec.selector", "targetPort"); of a node or a pod what is programmed there, in a word
        ("route", "fdb", "neighbour", "mtu", "rule", "sysctl", "link", "filter"). Raises CourseError for what does not exist; that
        costs nothing.
        """
        if not isinstance(object, str) or not isinstance(field, str) or not object.strip() or not field.strip():
            raise CourseError('accuse whom, of what? m.accuse("Service shop/cart", "spec.selector")')
        who, what = self._suspect(object), _word(field)
        title = f"mystery {self.seed}"
        guilty = _same(who, _parts(self._fault.object))
        if guilty and what in {_word(f) for f in self._fault.fields}:
            self._mark("✓")
            self.solved = True
            end = f"Solved with {self._count()}. Now explain() of what m.ask gave tells the whole way."
            return Verdict("accuse", title, "right", f"{self._fault.because} {end}")
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
        """Probes, three for each wrong accusation, twenty for giving up. Fewer is better."""
        return self.probes + PENALTY * self._signs.count("✗") + SURRENDER * self.revealed

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
        """Give up, which counts as twenty probes: who it was and why. What is asked from then on does not count."""
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


def _refused(question: Callable[[Any], Any], cluster: Any) -> bool:
    try:
        question(cluster)
    except KubenetError:
        return True
    return False


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
