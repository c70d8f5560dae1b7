"""Values are frozen, whatever is done to make them quickly; and they are what a frozen dataclass is."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, fields, replace

import pytest

from kubenet_lab.kernel.conntrack import Entry
from kubenet_lab.kernel.flight import Flight, Timer
from kubenet_lab.kernel.packet import Arp, Filler, Frame, Icmp, Packet, Tcp, Udp, Vxlan
from kubenet_lab.kernel.routing import Route
from kubenet_lab.kernel.tcp_conn import Conn
from kubenet_lab.kernel.value import Value, copy_with, derived, value


@value
class Point(Value):
    """Somewhere."""

    x: int
    y: int = 2
    size: int = derived(lambda p: p.x * p.y)
    name: str = ""

    at = copy_with("x")

    def __str__(self) -> str:
        return f"{self.name}({self.x}, {self.y})"


@dataclass(frozen=True, slots=True)
class Twin:
    x: int
    y: int = 2
    name: str = ""


PACKET = Packet("10.0.0.1", "10.0.0.2", "TCP", Tcp(1, 2, mss=1460))
VALUES = [
    Point(1), PACKET, PACKET.l4, Udp(1, 2), Icmp(8), Filler(3), Arp("request", "a", "b", "c", "d"), Frame("a", "b", PACKET),
    Vxlan(1, Frame("a", "b", PACKET)), Flight("rx", "n0", "eth0", PACKET), Timer("x", "n0", ()), Route("10.0.0.0/8"),
    Conn("client", "SYN_SENT", 1),
]  # fmt: skip


def test_it_is_made_and_shown_like_a_dataclass() -> None:
    assert repr(Point(1, name="p")) == "Point(x=1, y=2, name='p')" and str(Point(1, name="p")) == "p(1, 2)"
    assert [f.name for f in fields(Twin)] == [f.name for f in fields(Point) if f.init]
    assert Point(1) == Point(1, 2) != Point(1, 3) and Point(1) != Twin(1) and hash(Point(1)) == hash(Point(1, 2))
    assert Point.__doc__ == "Somewhere." and Point.__module__ == __name__
    for bad in (lambda: Point(), lambda: Point(1, 2, "a", 4), lambda: Point(1, z=2)):  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            bad()


def test_copies() -> None:
    p = Point(3, 4, "p")
    assert p.size == 12 and p.but(y=5).size == 15 and p.at(10).size == 40 and p.at(1, name="q") == Point(1, 4, "q")
    assert replace(p, x=2) == Point(2, 4, "p") and replace(p, x=2).size == 8
    with pytest.raises(AttributeError):
        p.but(z=1)
    assert p == Point(3, 4, "p"), "what it was copied from stays"


@pytest.mark.parametrize("found", VALUES, ids=lambda v: type(v).__name__)
def test_nothing_can_be_changed(found: Value) -> None:
    name = fields(found)[0].name  # type: ignore[arg-type]
    for change in (lambda: setattr(found, name, None), lambda: delattr(found, name), lambda: setattr(found, "other", 1)):
        with pytest.raises(FrozenInstanceError):
            change()
    assert type(found.but()) is type(found) and found.but() == found
    with pytest.raises(FrozenInstanceError):
        setattr(found.but(), name, None)
    assert not hasattr(found, "__dict__")


@pytest.mark.parametrize("found", [v for v in VALUES if not isinstance(v, Flight)], ids=lambda v: type(v).__name__)
def test_it_can_be_stored(found: Value) -> None:
    assert pickle.loads(pickle.dumps(found)) == copy.copy(found) == copy.deepcopy(found) == found


def test_sizes_follow() -> None:
    six = PACKET.but(src="fd00::1", dst="fd00::2")
    assert (PACKET.family, PACKET.size, six.family, six.size) == (4, 60, 6, 80)
    assert PACKET.but(l4=Udp(1, 2, Filler(100))).size == 128
    assert six.but(frag=8, whole=six, l4=Udp(1, 2)).size == 56


def test_entries_of_conntrack_are_values() -> None:
    assert "but" in vars(Entry) and issubclass(Entry, Value)
