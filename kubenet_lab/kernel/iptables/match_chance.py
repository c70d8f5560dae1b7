"""Matches by chance, by memory and by rate: statistic, recent, limit, hashlimit.

Sources: Linux net/netfilter/xt_statistic.c, xt_recent.c, xt_limit.c, xt_hashlimit.c; what is printed: measured, iptables 1.8.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from ...errors import NotModelled
from ..address import number as address_number
from ..chance import Weights
from .context import Context, Place
from .extension import Env, Given, Match, Opt, Test, number, unmodelled
from .rates import hash_rate, rate_period, rate_text
from .values import TOO_SHORT, Bad, address_text, address_value, integer

if TYPE_CHECKING:
    from .spec import Spec

__all__ = ["HashLimit", "Limit", "Recent", "Statistic"]


@dataclass(frozen=True, slots=True)
class Statistic(Match):
    """`stored` is what the kernel keeps of a probability: a 31-bit number."""

    NAME: ClassVar[str] = "statistic"
    KEYED: ClassVar[bool] = True
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("mode", mandatory=True), Opt("probability", invert=True, excludes=("every", "packet")),
        Opt("every", invert=True, excludes=("probability",), also=("packet",)), Opt("packet", excludes=("probability",), also=("every",)),
    )  # fmt: skip

    mode: str
    stored: int = 0
    every: int = 0
    packet: int = 0
    inverted: bool = False

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        mode = given["mode"].text if "mode" in given else "random"
        if mode == "random" and "probability" not in given:
            raise Bad("--probability must be specified when using random mode")
        if mode == "nth" and "every" not in given and "packet" not in given:
            raise Bad("--every and --packet must be specified when using nth mode")
        every = number(cls, given, "every", minimum=1) if "every" in given else 1
        if mode == "nth" and "packet" in given and number(cls, given, "packet") >= every:
            raise Bad("the --packet p must be 0 <= p <= n-1")

    @classmethod
    def build(cls, given: Given, env: Env) -> Statistic:
        if "mode" in given and given["mode"].text not in ("random", "nth"):
            raise Bad(f'Bad mode "{given["mode"].text}"')
        p = 0.0
        if "probability" in given:
            try:
                p = float(given["probability"].text)
            except ValueError:
                p = -1.0
            if not 0 <= p <= 1:
                raise Bad('statistic: bad value for option "--probability", or out of range (0-1).\n')
        every = number(cls, given, "every", minimum=1) if "every" in given else 0
        packet = number(cls, given, "packet") if "packet" in given else 0
        if given["mode"].text == "random":
            return cls("random", round(p * 0x80000000), inverted=given["probability"].inverted)
        return cls("nth", 0, every, packet, given["every"].inverted)

    @property
    def probability(self) -> Fraction:
        """What the writer of the rule meant: 1/k where the stored number stands for one, else the stored number itself."""
        exact = Fraction(self.stored, 0x80000000)
        if exact:
            simple = Fraction(1, max(1, round(1 / exact)))
            if abs(exact - simple) < Fraction(1, 10**8):
                return simple
        return exact

    def save(self) -> str:
        no = "! " if self.inverted else ""
        if self.mode == "random":
            return f"--mode random {no}--probability {self.stored / 0x80000000:.11f}"
        return f"--mode nth {no}--every {self.every} --packet {self.packet}"

    def show(self, numeric: bool = True) -> str:
        no = " !" if self.inverted else ""
        if self.mode == "random":
            return f" statistic mode random{no} probability {self.stored / 0x80000000:.11f}"
        return f" statistic mode nth{no} every {self.every}" + (f" packet {self.packet}" if self.packet else "")

    @property
    def coin(self) -> Weights | None:
        """The weights of its two sides, where it is a matter of chance. A probability of 0 or 1 is none."""
        p = self.probability
        if self.mode != "random" or p in (0, 1):
            return None
        return Weights.of((p.numerator, p.denominator - p.numerator), (self.stored, 0x80000000 - self.stored))

    def compile(self, place: Place) -> Test:
        wanted = not self.inverted
        if self.mode == "random":
            p, chooser, weights = self.probability, place.chooser, self.coin
            if weights is None:
                return lambda c: (p == 1) is wanted
            return lambda c: (c.choose(weights, chooser) == 0) is wanted
        last, start, name = self.every - 1, self.every - 1 - self.packet, place.memory("nth")

        def nth(c: Context) -> bool:
            memory = c.recent(name)
            count = memory.get("", (float(start),))[0]
            count = 0.0 if count == last else count + 1
            memory[""] = (count,)
            return (count == 0) is wanted

        return nth


#: addresses that one list holds (module parameter ip_list_tot); time stamps per address (ip_pkt_list_tot, rounded up)
LIST_SIZE, STAMPS = 100, 32


@dataclass(frozen=True, slots=True)
class Recent(Match):
    NAME: ClassVar[str] = "recent"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("set", 0, invert=True, excludes=("rcheck", "update", "remove")),
        Opt("rcheck", 0, invert=True, excludes=("set", "update", "remove")),
        Opt("update", 0, invert=True, excludes=("set", "rcheck", "remove")),
        Opt("remove", 0, invert=True, excludes=("set", "rcheck", "update")),
        Opt("seconds"), Opt("reap", 0, also=("seconds",)), Opt("hitcount"), Opt("rttl", 0, excludes=("set", "remove")),
        Opt("name"), Opt("rsource", 0), Opt("rdest", 0), Opt("mask"),
    )  # fmt: skip

    family: int
    action: str  # "set" | "rcheck" | "update" | "remove"
    name: str
    mask: int
    inverted: bool = False
    seconds: int = 0
    reap: bool = False
    hits: int = 0
    rttl: bool = False
    dest: bool = False

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if not any(n in given for n in ("set", "rcheck", "update", "remove")):
            raise Bad("recent: you must specify one of `--set', `--rcheck' `--update' or `--remove'")

    @classmethod
    def build(cls, given: Given, env: Env) -> Recent:
        mask = (1 << (32 if env.family == 4 else 128)) - 1
        if "mask" in given:
            value = address_value(given["mask"].text, env.family)
            if value is None:
                raise Bad(f'recent: Bad value for "--mask" option: "{given["mask"].text}"')
            mask = value
        name = given["name"].text if "name" in given else "DEFAULT"
        name = name[:199]
        sides = [n for n in given if n in ("rsource", "rdest")]
        seconds = number(cls, given, "seconds", minimum=1) if "seconds" in given else 0
        hits = number(cls, given, "hitcount") if "hitcount" in given else 0
        action = next(n for n in ("set", "rcheck", "update", "remove") if n in given)
        return cls(
            env.family, action, name, mask, given[action].inverted, seconds, "reap" in given, hits, "rttl" in given, sides[-1:] == ["rdest"]
        )

    def save(self) -> str:
        words = [f"{'! ' if self.inverted else ''}--{self.action}"]
        if self.seconds:
            words.append(f"--seconds {self.seconds}")
        if self.reap:
            words.append("--reap")
        if self.hits:
            words.append(f"--hitcount {self.hits}")
        if self.rttl:
            words.append("--rttl")
        words += [f"--name {self.name}", f"--mask {address_text(self.mask, self.family)}", "--rdest" if self.dest else "--rsource"]
        return " ".join(words)

    def show(self, numeric: bool = True) -> str:
        action = {"set": "SET", "rcheck": "CHECK", "update": "UPDATE", "remove": "REMOVE"}[self.action]
        out = f"{' !' if self.inverted else ''} recent: {action}"
        if self.seconds:
            out += f" seconds: {self.seconds}"
        if self.reap:
            out += " reap"
        if self.hits:
            out += f" hit_count: {self.hits}"
        if self.rttl:
            out += " TTL-Match"
        return out + f" name: {self.name} side: {'dest' if self.dest else 'source'} mask: {address_text(self.mask, self.family)}"

    def refuses(self, hooks: frozenset[str], spec: Spec, backend: str) -> bool:
        if self.action in ("set", "remove") and (self.seconds or self.hits or self.rttl):
            return True
        return "/" in self.name or self.name in (".", "..") or self.hits > 0xFFFF

    def compile(self, place: Place) -> Test:
        name, action, dest, seconds, hits = self.name, self.action, self.dest, self.seconds, self.hits
        rttl, reap, inverted, family = self.rttl, self.reap, self.inverted, self.family
        mask = None if self.mask == (1 << (32 if family == 4 else 128)) - 1 else self.mask
        stamps = max(STAMPS, 1 << hits.bit_length())

        def test(c: Context) -> bool:
            entries = c.recent(name)  # in the order in which they were refreshed
            address = c.packet.dst if dest else c.packet.src
            if mask is not None:
                address = address_text(address_number(address) & mask, family)
            entry = entries.get(address)  # (TTL, time stamps, oldest first)
            if entry is not None and rttl and entry[0] != c.packet.ttl:
                entry = None
            if entry is None:
                if action != "set":
                    return inverted
                if address not in entries and len(entries) >= LIST_SIZE:
                    del entries[next(iter(entries))]
                entries.pop(address, None)
                entries[address] = (float(c.packet.ttl), c.now)
                return not inverted
            if action == "remove":
                del entries[address]
                return not inverted
            oldest = c.now - seconds
            found = action == "set" or sum(not seconds or t >= oldest for t in entry[1:]) >= (hits or 1)
            matched = found is not inverted
            refresh = action == "set" or (action == "update" and matched)
            if reap:
                stalest = next(iter(entries))
                if entries[stalest][-1] < oldest and not (stalest == address and refresh):
                    del entries[stalest]
            if refresh:
                entries.pop(address, None)
                entries[address] = (float(c.packet.ttl), *(*entry[1:], c.now)[-stamps:])
            return matched

        return test


@dataclass(frozen=True, slots=True)
class Limit(Match):
    """A token bucket: `period` ten-thousandths of a second give one token, `burst` of them fit."""

    NAME: ClassVar[str] = "limit"
    KEYED: ClassVar[bool] = True
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("limit"), Opt("limit-burst"))

    period: int
    burst: int

    @classmethod
    def build(cls, given: Given, env: Env) -> Limit:
        period = rate_period(given["limit"].text if "limit" in given else "3/hour", 10_000)
        burst = number(cls, given, "limit-burst", 10_000) if "limit-burst" in given else 5
        return cls(period, burst or (5 if env.backend == "nft" else 0))

    def save(self) -> str:
        return f"--limit {rate_text(self.period, 10_000)}" + (f" --limit-burst {self.burst}" if self.burst != 5 else "")

    def show(self, numeric: bool = True) -> str:
        return f" limit: avg {rate_text(self.period, 10_000)} burst {self.burst}"

    def compile(self, place: Place) -> Test:
        name, cost = place.memory("limit"), self.period / 10_000
        full = cost * self.burst
        return lambda c: _take(c, name, "", cost, full)


def _take(c: Context, name: str, key: str, cost: float, full: float) -> bool:
    """Take a token worth `cost` seconds of waiting, if the bucket holds one."""
    memory = c.recent(name)
    credit, then = memory.get(key, (full, c.now))
    credit = min(full, credit + c.now - then)
    enough = credit >= cost
    memory[key] = (credit - cost if enough else credit, c.now)
    return enough


_MODES = ("dstip", "dstport", "srcip", "srcport")  # any order on the line
_SAVED_MODES = ("srcip", "srcport", "dstip", "dstport")


_HASH_NUMBERS = ("htable-size", "htable-max", "htable-gcinterval", "htable-expire")


@dataclass(frozen=True, slots=True)
class HashLimit(Match):
    """One token bucket per packet key; rules of one name share the table."""

    NAME: ClassVar[str] = "hashlimit"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("hashlimit-upto", invert=True, excludes=("hashlimit-above",)), Opt("hashlimit", invert=True, of="hashlimit-upto"),
        Opt("hashlimit-above", invert=True, excludes=("hashlimit-upto",)), Opt("hashlimit-srcmask"), Opt("hashlimit-dstmask"),
        Opt("hashlimit-burst"), Opt("hashlimit-htable-size"), Opt("hashlimit-htable-max"), Opt("hashlimit-htable-gcinterval"),
        Opt("hashlimit-htable-expire"), Opt("hashlimit-mode"), Opt("hashlimit-name", mandatory=True),
        Opt("hashlimit-rate-match", 0), Opt("hashlimit-rate-interval"),
    )  # fmt: skip

    name: str
    above: bool
    rate: str  # as printed
    period: int  # millionths of a second per token; 0: bytes are counted
    burst: str
    modes: tuple[str, ...]
    masks: tuple[int | None, int | None]  # source and destination prefix lengths
    table: tuple[str, ...] = ()  # hash table options as saved
    bits: int = 32  # of an address

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if "hashlimit-upto" not in given and "hashlimit-above" not in given:
            raise Bad("You have to specify --hashlimit")

    @classmethod
    def build(cls, given: Given, env: Env) -> HashLimit:
        word = "hashlimit-above" if "hashlimit-above" in given else "hashlimit-upto"
        if "hashlimit-rate-match" in given or "hashlimit-rate-interval" in given:
            raise NotModelled("iptables --hashlimit-rate-match")
        burst_text = given["hashlimit-burst"].text if "hashlimit-burst" in given else "1"
        if not integer(burst_text.rstrip("kmb")):
            raise Bad('bad value for option "--hashlimit-burst", or out of range (1-1000000).')
        numbers = {w: number(cls, given, f"hashlimit-{w}") for w in _HASH_NUMBERS if f"hashlimit-{w}" in given}
        bits = 32 if env.family == 4 else 128
        lengths = [number(cls, given, w, 0xFF) if w in given else bits for w in ("hashlimit-srcmask", "hashlimit-dstmask")]
        modes: set[str] = set()
        if "hashlimit-mode" in given:
            for mode in filter(None, given["hashlimit-mode"].text.split(",")):
                if mode not in _MODES:
                    raise Bad(f'hashlimit: Bad value for "--hashlimit-mode" option: "{mode}"')
                modes.add(mode)
        if "hashlimit-name" in given and not given["hashlimit-name"].text:
            raise Bad(TOO_SHORT)
        burst_given = given["hashlimit-burst"].text if "hashlimit-burst" in given else None
        complaint = f'hashlimit: Bad value for "--{word}" option: "{given[word].text}"'
        rate, period, burst, expire = hash_rate(given[word].text, burst_given, complaint)
        usual = {"htable-size": 0, "htable-max": 0, "htable-gcinterval": 1000, "htable-expire": expire}
        table = [f"--hashlimit-{w} {n}" for w, n in numbers.items() if n != usual[w]]
        masks = (None if lengths[0] == bits else lengths[0], None if lengths[1] == bits else lengths[1])
        ordered = tuple(m for m in _SAVED_MODES if m in modes)
        above = (word == "hashlimit-above") is not given[word].inverted
        return cls(given["hashlimit-name"].text[:255], above, rate, period, burst, ordered, masks, tuple(table), bits)

    def refuses(self, hooks: frozenset[str], spec: Spec, backend: str) -> bool:
        return any(length is not None and length > self.bits for length in self.masks)

    def _words(self) -> list[str]:
        words = list(self.table)
        for value, word in zip(self.masks, ("src", "dst"), strict=True):
            if value is not None:
                words.append(f"--hashlimit-{word}mask {value}")
        return words

    def save(self) -> str:
        words = [f"--hashlimit-{'above' if self.above else 'upto'} {self.rate}"]
        if self.burst:
            words.append(f"--hashlimit-burst {self.burst}")
        if self.modes:
            words.append(f"--hashlimit-mode {','.join(self.modes)}")
        return " ".join([*words, f"--hashlimit-name {self.name}", *self._words()])

    def show(self, numeric: bool = True) -> str:
        out = f" limit: {'above' if self.above else 'up to'} {self.rate}"
        if self.burst:
            out += f" burst {self.burst}"
        if self.modes:
            out += f" mode {'-'.join(self.modes)}"
        return out + "".join(f" {w.removeprefix('--hashlimit-')}" for w in self._words())

    def compile(self, place: Place) -> Test:
        if not self.period:
            return unmodelled("iptables -m hashlimit by bytes", place)
        name, cost, above = f"/hashlimit {self.name}", self.period / 1_000_000, self.above
        full, modes, masks = cost * int(self.burst), self.modes, self.masks

        def key(c: Context) -> str:
            p = c.packet
            bits = 32 if p.family == 4 else 128

            def side(address: str, length: int | None) -> str:
                return address if length is None else str(address_number(address) >> (bits - length))

            parts = {
                "srcip": lambda: side(p.src, masks[0]), "dstip": lambda: side(p.dst, masks[1]),
                "srcport": lambda: str(p.sport or 0), "dstport": lambda: str(p.dport or 0),
            }  # fmt: skip
            return " ".join(parts[m]() for m in modes)

        return lambda c: _take(c, name, key(c), cost, full) is not above
