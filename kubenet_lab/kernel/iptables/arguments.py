"""The command line of iptables, as getopt and the tool's own loop read it.

Source: iptables 1.8.9 iptables/xshared.c (do_parse), libxtables/xtables.c; the complaints are measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import NotModelled
from .extension import Env, Extension, Match, Opt, Value, check_given
from .match_place import check_interface
from .matches import find_match, protocol_match
from .spec import Header, Spec
from .target_registry import STANDARD, check_chain_name, find_target
from .targets import Jump, Standard, Target
from .values import Bad, integer, network, protocol_number

__all__ = ["Command", "parse"]

# short options: 1 takes an argument, 2 takes one only if attached, 0 none
_SHORT = {
    "A": 1, "C": 1, "D": 1, "R": 1, "I": 1, "L": 2, "S": 2, "M": 2, "F": 2, "Z": 2, "N": 1, "X": 2, "E": 1, "P": 1, "V": 0, "h": 2, "o": 1,
    "p": 1, "s": 1, "d": 1, "j": 1, "i": 1, "f": 0, "v": 0, "w": 2, "W": 2, "n": 0, "t": 1, "m": 1, "x": 0, "c": 1, "g": 1, "4": 0, "6": 0,
}  # fmt: skip
_LONG = {
    "append": "A", "delete": "D", "check": "C", "insert": "I", "replace": "R", "list": "L", "list-rules": "S", "flush": "F", "zero": "Z",
    "new-chain": "N", "delete-chain": "X", "rename-chain": "E", "policy": "P", "source": "s", "destination": "d", "src": "s", "dst": "d",
    "protocol": "p", "in-interface": "i", "jump": "j", "table": "t", "match": "m", "numeric": "n", "out-interface": "o", "verbose": "v",
    "wait": "w", "wait-interval": "W", "exact": "x", "fragments": "f", "version": "V", "help": "h", "line-numbers": "0", "modprobe": "M",
    "set-counters": "c", "goto": "g", "ipv4": "4", "ipv6": "6",
}  # fmt: skip
_COMMANDS = "ADCIRLSFZNXEP"
# which of the rule options each command takes (generic_opt_check)
_RULE = frozenset("sdpjiofvc")
_TAKES = {
    "A": _RULE, "I": _RULE, "D": _RULE - {"c"}, "R": _RULE, "C": _RULE - {"c"}, "L": frozenset("nvx0"), "S": frozenset("v"),
    "F": frozenset("v"), "Z": frozenset("v"), "N": frozenset("v"), "X": frozenset("v"), "E": frozenset("v"), "P": frozenset("vc"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Command:
    """One command line, understood. `specs` holds one rule per pair of addresses given."""

    action: str = ""  # one of A D C I R L S F Z N X E P V h
    table: str = ""  # "" where -t was not given
    chain: str = ""
    number: int = 0  # rule number, 0 where none was given
    name: str = ""  # -E: the new name; -P: the policy
    specs: tuple[Spec, ...] = ()
    verbose: bool = False
    numeric: bool = False
    line_numbers: bool = False
    exact: bool = False
    counters: tuple[int, int] | None = None
    zero: bool = False  # -Z beside -L or -S
    other_family: bool = False  # -6 on an iptables line, -4 on an ip6tables line


@dataclass(slots=True)
class _Loaded:
    """An extension named on the line, with the options it was given."""

    cls: type[Extension]
    given: dict[str, Value] = field(default_factory=dict)


def parse(words: Sequence[str], family: int, backend: str = "nft", in_restore: str = "") -> Command:
    """Read one command line (without the program's name). `in_restore` names the table of a restore line.

    Raises Bad, or NotModelled for an extension that is left out.
    """
    try:
        return _Parser(words, family, backend, in_restore).run()
    except Bad:
        # of several faults the tool names the first it meets, and it reads an option's value where it stands
        _Parser(words, family, backend, in_restore, at_once=True).run()
        raise


class _Parser:
    def __init__(self, words: Sequence[str], family: int, backend: str, in_restore: str, at_once: bool = False):
        self.words, self.family, self.backend, self.in_restore, self.at_once = words, family, backend, in_restore, at_once
        self.i = 0
        self.invert = False
        self.seen: dict[str, str] = {}  # option letter -> as an error names it
        self.fields: dict[str, Any] = {}
        self.header: dict[str, Any] = {"family": family}
        self.addresses: dict[str, tuple[list[str], bool]] = {}  # s and d, as they stand on the line
        self.matches: list[_Loaded] = []
        self.target: _Loaded | None = None
        self.jump: tuple[str, bool] | None = None
        self.protocol_loaded = False

    # ------------------------------------------------------------------------------------------------- the loop
    def run(self) -> Command:
        while self.i < len(self.words):
            word = self.words[self.i]
            self.i += 1
            if word == "!":
                if self.invert:
                    raise Bad("multiple consecutive ! not allowed")
                self.invert = True
                continue
            if word == "--":
                if self.i < len(self.words):
                    raise Bad("unknown arguments found on commandline")
            elif word.startswith("--"):
                self._long(word)
            elif word.startswith("-") and len(word) > 1 and not word.startswith("--"):
                self._cluster(word)
            else:
                raise Bad(f"Bad argument `{word}'", bare=True)
            self.invert = False
        return self._finish()

    def _argument(self, shown: str) -> str:
        if self.i >= len(self.words):
            raise Bad(f'option "{shown}" requires an argument')
        self.i += 1
        return self.words[self.i - 1]

    def _has_argument(self) -> bool:
        return self.i < len(self.words) and self.words[self.i][:1] not in ("-", "!")

    def _cluster(self, word: str) -> None:
        j = 1
        while j < len(word):
            letter = word[j]
            j += 1
            if letter not in _SHORT:
                if self._load_protocol():
                    continue
                raise Bad(f'unknown option "{word}"')
            kind, rest = _SHORT[letter], word[j:]
            if kind == 0:
                self._base(letter, None, f"-{letter}", word)
                continue
            value = rest if rest else self._argument(f"-{letter}") if kind == 1 else None
            self._base(letter, value, f"-{letter}", word)
            return

    def _long(self, word: str) -> None:
        name, equals, attached = word[2:].partition("=")
        found = self._find(name)
        if found is None and self._load_protocol():
            found = self._find(name)
        if found is None:
            raise Bad(f'unknown option "{word}"')
        if isinstance(found, str):
            kind = 0 if found == "0" else _SHORT[found]
            value = attached if equals else self._argument(word) if kind == 1 else None
            self._base(found, value, word, word)
            return
        loaded, option = found
        args: list[str] = []
        if option.args:
            args.append(attached if equals else self._argument(word))
        if option.args == 2:
            if not self._has_argument():
                raise Bad(f"--{option.canonical} requires two args.")
            args.append(self._argument(word))
        if option.canonical in loaded.given:
            raise loaded.cls.given_twice(option)
        if self.invert and not option.invert:
            raise loaded.cls.not_inverted(option)
        loaded.given[option.canonical] = Value(tuple(args), self.invert)
        if self.at_once:
            for given in (loaded.given, {option.canonical: loaded.given[option.canonical]}):
                try:
                    loaded.cls.build(given, self._env())
                    break
                except (LookupError, StopIteration, NotModelled):  # what else it needs is not there yet
                    pass

    def _env(self) -> Env:
        return Env(self.family, self.header.get("protocol", 0), self.header.get("protocol_inverted", False), self.backend)

    def _find(self, name: str) -> str | tuple[_Loaded, Opt] | None:
        """An option by its name or an unambiguous beginning of it: the tool's own first, then the latest extension's."""
        if name in _LONG:
            return _LONG[name]
        extensions = [*([self.target] if self.target else []), *reversed(self.matches)]
        for loaded in extensions:
            for option in loaded.cls.OPTIONS:
                if option.name == name:
                    return loaded, option
        letters = {letter for n, letter in _LONG.items() if n.startswith(name)}
        options = {
            (k, option.canonical): (loaded, option)
            for k, loaded in enumerate(extensions)
            for option in loaded.cls.OPTIONS
            if option.name.startswith(name)
        }
        if len(letters) + len(options) != 1:
            return None
        return next(iter(letters)) if letters else next(iter(options.values()))

    def _load_protocol(self) -> bool:
        """An unknown option may be one of the protocol's match, which -p brings along when it is needed."""
        cls = protocol_match(self.header.get("protocol", 0), self.family)
        if cls is None or self.protocol_loaded or any(m.cls is cls for m in self.matches):
            return False
        self.protocol_loaded = True
        self.matches.append(_Loaded(cls))
        return True

    # ---------------------------------------------------------------------------------------------- own options
    def _base(self, letter: str, value: str | None, shown: str, word: str) -> None:
        if letter in _COMMANDS and not (letter == "M" or shown == "--modprobe"):
            self._command(letter, value or "")
        elif letter in "sdpijogfvnxc0":
            self._option(letter, value or "", word)
        elif letter == "m":
            if self.invert:
                raise Bad("unexpected ! flag before --match")
            self.matches.append(_Loaded(find_match(value or "", self.family)))
        elif letter == "t":
            if self.invert:
                raise Bad("unexpected ! flag before --table")
            if self.in_restore:
                raise Bad(f"The -t option cannot be used in {'ip6tables' if self.family == 6 else 'iptables'}-restore.\n")
            self.fields["table"] = value or ""
        elif letter in "46":
            self.fields["other_family"] = self.fields.get("other_family", False) or letter != str(self.family)
        elif letter in "wW":
            if value is None and self._has_argument():
                value = self._argument(shown)
            if letter == "w" and self.in_restore:
                raise Bad("The -w option cannot be used in iptables-restore.\n")
            if value is not None and integer(value) is None:
                raise Bad("wait seconds not numeric")
        elif letter in "Vh":
            self.fields["action"] = letter

    def _command(self, letter: str, value: str) -> None:
        f = self.fields
        if f.get("action", "") in ("V", "h"):
            return
        if "action" in f and (f["action"], letter) not in (("L", "Z"), ("Z", "L"), ("S", "Z"), ("Z", "S")):
            raise Bad(f"Cannot use -{letter} with -{f['action']}")
        if self.invert:
            raise Bad(f"unexpected ! flag before -{letter}")
        if "action" in f:  # -L -Z: look, then forget
            f["zero"] = True
            f["action"] = letter if letter != "Z" else f["action"]
        else:
            f["action"] = letter
        if letter in "LSFZX":
            if not value and self._has_argument():
                value = self._argument("")
            f["chain"] = value or f.get("chain", "")
            if letter in "LSZ" and self._has_argument():
                f["number"] = self._number(self._argument(""))
            return
        f["chain"] = value
        if letter == "N":
            if value[:1] in ("-", "!"):
                raise Bad(f"chain name not allowed to start with `{value[0]}'")
            check_chain_name(value)
        elif letter == "D" and self._has_argument():
            f["number"] = self._number(self._argument(""))
        elif letter == "I":
            f["number"] = self._number(self._argument("")) if self._has_argument() else 1
        elif letter == "R":
            if not self._has_argument():
                raise Bad("-R requires a rule number")
            f["number"] = self._number(self._argument(""))
        elif letter in "EP":
            if not self._has_argument():
                raise Bad("-E requires old-chain-name and new-chain-name" if letter == "E" else "-P requires a chain and a policy")
            f["name"] = self._argument("")
            if letter == "E" and self.backend == "legacy":
                check_chain_name(f["name"], clash=False)

    def _number(self, text: str) -> int:
        value = integer(text, 0x7FFFFFFF, 1)
        if value is None:
            raise Bad(f"Invalid rule number `{text}'")
        return value

    def _option(self, letter: str, value: str, word: str) -> None:
        slot = "j" if letter == "g" else letter
        if slot in self.seen and slot != "v":
            raise Bad(f"multiple -{letter} flags not allowed")
        self.seen[slot] = f"-{letter}"
        if self.invert and letter not in "sdpiof":
            raise Bad(f"cannot have ! before {self.seen[slot]}")
        h = self.header
        if letter in "sd":
            self.addresses[letter] = value.split(","), self.invert
        elif letter == "p":
            # 1.8.9 looks at the whole word, so `-ptcp` and `--protocol=tcp` are protocols of those names
            text = value if word in ("-p", "--protocol") or (word.startswith("--p") and "=" not in word) else word
            h["protocol"], h["protocol_inverted"] = protocol_number(text), self.invert
            if h["protocol"] == 0 and self.invert:
                raise Bad("rule would never match protocol")
            if h["protocol"] == 0:
                h["protocol_inverted"] = False
        elif letter in "io":
            name = check_interface(value)
            if name == "+" and self.backend == "legacy":
                h["plus_unsaid"] = True
            elif name == "+" and not self.invert:
                name = ""
            h["indev" if letter == "i" else "outdev"] = name
            h["indev_inverted" if letter == "i" else "outdev_inverted"] = self.invert
        elif letter == "f":
            if self.family == 6:
                raise Bad("`-f' is not supported in IPv6, use -m frag instead")
            h["fragment"] = not self.invert
        elif letter in "jg":
            self._jump(value, letter == "g")
        elif letter == "c":
            second = self._argument("-c") if self._has_argument() else None
            if second is None:
                raise Bad("-c requires packet and byte counter")
            packets, nbytes = integer(value, (1 << 64) - 1), integer(second, (1 << 64) - 1)
            if packets is None or nbytes is None:
                raise Bad(f"-c {'packet' if packets is None else 'byte'} counter not numeric")
            self.fields["counters"] = (packets, nbytes)
        else:
            self.fields[{"v": "verbose", "n": "numeric", "x": "exact", "0": "line_numbers"}[letter]] = True

    def _jump(self, name: str, goto: bool) -> None:
        if not name:
            raise Bad("Invalid target name (too short)")
        if len(name) > 28:
            raise Bad(f"Invalid target name `{name}' (28 chars max)")
        if any(c.isspace() for c in name):
            raise Bad(f"Invalid target name `{name}'")
        self.jump = (name, goto)
        if not goto and name not in STANDARD:
            cls = find_target(name)
            if cls is not None:
                self.target = _Loaded(cls)

    # ------------------------------------------------------------------------------------------------- the end
    def _finish(self) -> Command:
        f = self.fields
        action, chain = f.get("action", ""), f.get("chain", "")
        table = self.in_restore or f.get("table", "") or "filter"
        if action in ("V", "h"):
            return Command(action)
        if table == "nat" and (f.get("name") == "DROP" or (self.jump and self.jump[0] == "DROP")):
            raise Bad('\nThe "nat" table is not intended for filtering, the use of DROP is therefore inhibited.\n\n')
        matches = [self._build(m) for m in self.matches]
        target: Target | None = None
        if self.target:
            target = self._build(self.target)
        elif self.jump:
            name, goto = self.jump
            target = Standard(name) if name in STANDARD and not goto else Jump(name, goto)
        if not action:
            raise Bad("no command specified")
        if self.invert:
            raise Bad("nothing appropriate following !")
        if action == "R" and any(len(texts) > 1 for texts, _ in self.addresses.values()):
            raise Bad("Replacement rule does not specify a unique address")
        takes = _TAKES[action]
        for letter, shown in self.seen.items():
            if letter not in takes:
                raise Bad(f"Illegal option `{shown}' with this command")
        if len(chain) > 28 and action != "N":
            raise Bad(f"chain name `{chain}' too long (must be under 29 chars)")
        specs: tuple[Spec, ...] = ()
        if action in "ADCIR" and not (action == "D" and "number" in f):
            if "o" in self.seen and chain in ("PREROUTING", "INPUT"):
                raise Bad(f"Can't use -o with {chain}\n")
            if "i" in self.seen and chain in ("POSTROUTING", "OUTPUT"):
                raise Bad(f"Can't use -i with {chain}\n")
            sources, dests = self._networks("s"), self._networks("d")
            header = Header(**self.header)
            for m in self.matches if self.backend == "nft" else ():
                native = m.given and m.cls.NAME in ("tcp", "udp") and "tcp-option" not in m.given
                if native and m.cls.PROTOCOLS and header.protocol not in m.cls.PROTOCOLS:
                    raise Bad(f"{m.cls.NAME.upper()} match requires '-p {m.cls.NAME}'")
            specs = tuple(Spec(replace(header, source=s, dest=d), tuple(matches), target) for s, d in itertools.product(sources, dests))
        return Command(**{**f, "specs": specs})

    def _networks(self, letter: str) -> list[tuple[int, int]]:
        texts, inverted = self.addresses.get(letter, (["0/0"], False))
        if any(no for _, no in self.addresses.values()) and any(len(many) > 1 for many, _ in self.addresses.values()):
            raise Bad("! not allowed with multiple source or destination IP addresses")
        self.header["source_inverted" if letter == "s" else "dest_inverted"] = inverted
        return [network(text, self.family) for text in texts]

    def _build(self, loaded: _Loaded) -> Any:
        cls, given, env = loaded.cls, loaded.given, self._env()
        cls.check(given, env)
        check_given(cls, given)
        built = cls.build(given, env)
        assert isinstance(built, (Match, Target))
        return built
