"""A rule's body: the IP header part, the matches, the target. Shared between rules that are written alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..address import canonical
from ..address import number as address_number
from .context import Place
from .extension import Extension, Match, Test
from .match_place import SetMatch, interface_test
from .match_tracking import PROTO_NAMES
from .targets import Jump, Target
from .values import address_text, mask_bits, network_text, protocol_name

__all__ = ["Header", "Spec"]


_NAMED = {(0x7F000001, 0xFFFFFFFF): "localhost", (0x7F000000, 0xFF000000): "loopback/8"}


@dataclass(frozen=True, slots=True)
class Header:
    """-s -d -i -o -p -f. Addresses are (number, mask); "" and 0 where nothing is asked."""

    family: int = 4
    source: tuple[int, int] = (0, 0)
    source_inverted: bool = False
    dest: tuple[int, int] = (0, 0)
    dest_inverted: bool = False
    indev: str = ""
    indev_inverted: bool = False
    outdev: str = ""
    outdev_inverted: bool = False
    protocol: int = 0
    protocol_inverted: bool = False
    fragment: bool | None = None
    plus_unsaid: bool = False  # the legacy kind keeps a lone + as a name without a mask: -L shows it, -S does not

    def save(self) -> list[str]:
        words = []
        for (value, mask), inverted, letter in ((self.source, self.source_inverted, "s"), (self.dest, self.dest_inverted, "d")):
            if mask or inverted:
                words.append(f"{'! ' if inverted else ''}-{letter} {network_text(value, mask, self.family)}")
        for name, inverted, letter in ((self.indev, self.indev_inverted, "i"), (self.outdev, self.outdev_inverted, "o")):
            if name and not (name == "+" and self.plus_unsaid):
                words.append(f"{'! ' if inverted else ''}-{letter} {name}")
        if self.protocol:
            words.append(f"{'! ' if self.protocol_inverted else ''}-p {protocol_name(self.protocol)}")
        if self.fragment is not None:
            words.append("-f" if self.fragment else "! -f")
        return words

    def address_column(self, dest: bool, numeric: bool) -> str:
        (value, mask), inverted = (self.dest, self.dest_inverted) if dest else (self.source, self.source_inverted)
        no = "!" if inverted else " "
        if not mask and not numeric:
            return no + "anywhere"
        if not numeric and (value, mask) in _NAMED:  # the names every machine knows; others would need a resolver
            return no + _NAMED[value, mask]
        length = mask_bits(mask, self.family)
        text = address_text(value, self.family)
        if length != (32 if self.family == 4 else 128):
            text += f"/{length if length is not None else address_text(mask, self.family)}"
        return no + text

    def tests(self) -> list[Test]:
        found: list[Test] = []
        if self.protocol:
            name = PROTO_NAMES.get(self.protocol, str(self.protocol))
            found.append((lambda c: c.packet.proto != name) if self.protocol_inverted else (lambda c: c.packet.proto == name))
        for address, inverted, dest in ((self.dest, self.dest_inverted, True), (self.source, self.source_inverted, False)):
            if address[1] or inverted:
                found.append(_address_test(*address, not inverted, dest, self.family))
        for device, inverted, out in ((self.indev, self.indev_inverted, False), (self.outdev, self.outdev_inverted, True)):
            if device and not (device == "+" and not inverted):
                found.append(_device_test(device, not inverted, out))
        if self.fragment is not None:
            fragment = self.fragment
            found.append(lambda c: (c.packet.frag > 0) is fragment)
        return found


def _address_test(value: int, mask: int, wanted: bool, dest: bool, family: int) -> Test:
    if mask_bits(mask, family) == (32 if family == 4 else 128):
        text = canonical(address_text(value, family))
        if dest:
            return (lambda c: c.packet.dst == text) if wanted else (lambda c: c.packet.dst != text)
        return (lambda c: c.packet.src == text) if wanted else (lambda c: c.packet.src != text)
    if dest:
        return lambda c: (address_number(c.packet.dst) & mask == value) is wanted
    return lambda c: (address_number(c.packet.src) & mask == value) is wanted


def _device_test(name: str, wanted: bool, out: bool) -> Test:
    if name.endswith("+"):
        fits = interface_test(name)
        return (lambda c: fits(c.outdev) is wanted) if out else (lambda c: fits(c.indev) is wanted)
    if out:
        return (lambda c: c.outdev == name) if wanted else (lambda c: c.outdev != name)
    return (lambda c: c.indev == name) if wanted else (lambda c: c.indev != name)


@dataclass(frozen=True)
class Spec:
    """What a rule says. Equal specs are the same rule to -D and -C."""

    header: Header
    matches: tuple[Match, ...] = ()
    target: Target | None = None

    @cached_property
    def text(self) -> str:
        """As iptables-save prints it, without `-A CHAIN`."""
        return " ".join([*self._body, self.target.words] if self.target else self._body)

    @cached_property
    def _body(self) -> list[str]:
        words = self.header.save()
        for match in self.matches:
            saved = match.save()
            words.append(f"-m {match.NAME} {saved}" if saved else f"-m {match.NAME}")
        return words

    def with_counters(self, packets: int, nbytes: int) -> str:
        """As -S -v prints it: the counters stand before the target."""
        words = [*self._body, f"-c {packets} {nbytes}"]
        return " ".join([*words, self.target.words] if self.target else words)

    @property
    def jump(self) -> str:
        """The chain it jumps or goes to, or ""."""
        return self.target.chain if isinstance(self.target, Jump) else ""

    @cached_property
    def sets(self) -> tuple[str, ...]:
        """The ipsets it names."""
        return tuple(m.name for m in self.matches if isinstance(m, SetMatch))

    @cached_property
    def limited(self) -> tuple[Extension, ...]:
        """Its matches and target that are not welcome everywhere."""
        parts: tuple[Extension, ...] = (*self.matches, self.target) if self.target else self.matches
        return tuple(p for p in parts if p.TABLES or p.HOOKS or p.PROTOCOLS or type(p).refuses is not Extension.refuses)

    @cached_property
    def _shared(self) -> tuple[Test, ...] | None:
        """Its tests, if they do not depend on where the rule stands."""
        if any(m.KEYED for m in self.matches):
            return None
        return self._compile(Place("", "", 0, 0))

    def _compile(self, place: Place) -> tuple[Test, ...]:
        tests = self.header.tests()
        for match in self.matches:
            test = match.compile(place)
            if test is not None:
                tests.append(test)
        return tuple(tests)

    def compile(self, place: Place) -> tuple[Test, ...]:
        """Functions of a packet's context, to be asked in this order; the rule matches if all say yes."""
        shared = self._shared
        return self._compile(place) if shared is None else shared
