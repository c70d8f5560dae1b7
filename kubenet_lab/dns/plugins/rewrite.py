"""The `rewrite` plugin: changes the question before the plugins below see it, and the answer on its way back.

Rules run from the top; `stop` (the default) ends, `continue` goes on. The question section always comes back as it
was asked; owner names and targets only where an answer rule says so (an `exact` name rule says so by itself).
Source: coredns plugin/rewrite (rewrite.go, name.go, reverter.go, type.go, ttl.go, rcode.go).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ...errors import NotModelled
from ..caddyfile import CorefileError, Dispenser
from ..message import TYPES, Query, Record, Response
from ..names import normalize
from .base import Env, Plugin, Reply, Setup, Unwritten, pass_on

__all__ = ["Rewrite", "Rule", "setup"]

Words = Callable[[str], str]  # a name to a name
Change = Callable[[Record, str], tuple[Record, str]]  # a record and the rcode, as they are to be
KINDS = ("exact", "prefix", "suffix", "substring", "regex")
ONLY = "supports only exact, prefix, suffix, substring, and regex name matching"


@dataclass(frozen=True, slots=True)
class Rule:
    """`apply` gives the new query and how to change records on the way back, or None where the rule does not match."""

    text: str
    stop: bool
    apply: Callable[[Query], tuple[Query, tuple[Change, ...]] | None]


@dataclass(slots=True)
class Rewrite:
    rules: tuple[Rule, ...]
    next: Plugin | None = None
    name: str = "rewrite"

    def serve(self, query: Query, env: Env) -> Reply:
        asked = query
        back: list[Change] = []
        for rule in self.rules:
            done = rule.apply(query)
            if done is None:
                continue
            new, changes = done
            if not _is_domain_name(new.question.name):
                return Unwritten("SERVFAIL", f"invalid name after rewrite: {new.question.name}")
            if new.question != query.question:
                env.step("dns.rewritten", name=query.question.name, type=query.type, to=new.question.name, to_type=new.type, rule=rule.text)
            query = new
            back += changes
            if rule.stop:
                reply = pass_on(self, query, env)
                if isinstance(reply, Unwritten):
                    reply = query.reply(reply.rcode)
                return _revert(reply, asked, back)
        reply = pass_on(self, query, env)
        if isinstance(reply, Unwritten) or not back:
            return reply
        return _revert(reply, asked, back)


def _revert(reply: Response, asked: Query, back: Sequence[Change]) -> Response:
    rcode = reply.rcode

    def change(r: Record) -> Record:
        nonlocal rcode
        for step in reversed(back):
            r, rcode = step(r, rcode)
        return r

    authority = tuple(map(change, reply.authority))
    answer = tuple(map(change, reply.answer))
    additional = tuple(map(change, reply.additional))
    return reply.but(question=asked.question, rcode=rcode, answer=answer, authority=authority, additional=additional)


def _is_domain_name(name: str) -> bool:
    parts = name.removesuffix(".").split(".")
    return name == "." or (len(name) <= 254 and all(0 < len(p) <= 63 for p in parts))


# --- changes on the way back -------------------------------------------------------------------------------------
def _owner(words: Words) -> Change:
    return lambda r, rcode: (r.but(name=words(r.name)), rcode)


def _value(words: Words) -> Change:
    def change(r: Record, rcode: str) -> tuple[Record, str]:
        return (r.pointing(words(r.target)) if r.target else r), rcode

    return change


def _remap(old: str, new: str) -> Words:
    def words(name: str) -> str:
        if name == old:
            return new
        return name[: -len(old)] + new if name.endswith("." + old) else name

    return words


def _by_regex(pattern: re.Pattern[str], replacement: str) -> Words:
    def words(name: str) -> str:
        found = pattern.search(name)
        return _fill(found, replacement) if found else name

    return words


def _fill(found: re.Match[str], replacement: str) -> str:
    out = replacement
    for i in range((found.re.groups or 0) + 1):
        out = out.replace("{" + str(i) + "}", found.group(i) or "")
    return out


def _regex(pattern: str, replacement: str = "") -> re.Pattern[str]:
    """A Go (RE2) pattern; the two dialects agree on what Corefiles use."""
    try:
        compiled = re.compile(pattern.replace("(?P<", "(?P<"))
    except re.error:
        raise CorefileError(f"invalid regex matching pattern: {pattern}") from None
    used = [int(n) for n in re.findall(r"{(\d+)}", replacement)]
    if used and max(used) > compiled.groups:
        raise CorefileError(
            f"the rewrite regex pattern ({replacement}) uses more subexpressions than its corresponding matching regex pattern ({pattern})"
        )
    return compiled


# --- rules -------------------------------------------------------------------------------------------------------
def _matcher(kind: str, pattern: str) -> Callable[[str], bool]:
    if kind == "regex":
        compiled = _regex(pattern)
        return lambda name: compiled.search(name) is not None
    want = normalize(pattern)
    return {
        "exact": lambda name: name == want, "prefix": lambda name: name.startswith(want),
        "suffix": lambda name: name.endswith(want), "substring": lambda name: want in name,
    }[kind]  # fmt: skip


def _name_rule(args: Sequence[str], text: str, stop: bool) -> Rule:
    if len(args) < 2:
        raise CorefileError("too few arguments for a name rule")
    kind, old, new = ("exact", *args[:2]) if len(args) == 2 else (args[0].lower(), *args[1:3])
    auto, fixed = _answer_rules(kind, args[3:]) if len(args) > 3 else (False, ())
    if kind not in KINDS:
        raise CorefileError(f"name rule {ONLY}, received: {kind}")
    pattern = _regex(old, new) if kind == "regex" else None
    # as CoreDNS does it: also a prefix or a substring gets a closing dot
    old = old if kind == "regex" else normalize(old)
    new = normalize(new)
    if kind == "suffix" and auto:
        undo: Words = lambda name: name[: -len(new)] + old if name.endswith(new) else name  # noqa: E731
        auto, fixed = False, (_owner(undo), _value(undo), *fixed)
    auto = auto or kind == "exact"

    def apply(query: Query) -> tuple[Query, tuple[Change, ...]] | None:
        name = query.name
        if kind == "exact" and name == old:
            changed = new
        elif kind == "prefix" and name.startswith(old):
            changed = new + name[len(old) :]
        elif kind == "suffix" and name.endswith(old):
            changed = name[: -len(old)] + new
        elif kind == "substring" and old in name:
            changed = name.replace(old, new)
        elif pattern is not None and (found := pattern.search(name)):
            changed = _fill(found, new)
        else:
            return None
        back = fixed
        if auto:
            words = _remap(changed, name)
            back = (_owner(words), _value(words), *fixed)
        return query.but(question=replace(query.question, name=changed)), back

    return Rule(text, stop, apply)


def _answer_rules(kind: str, args: Sequence[str]) -> tuple[bool, tuple[Change, ...]]:
    """`answer auto`, `answer name FROM TO`, `answer value FROM TO`, in any number."""
    if len(args) < 2:
        raise CorefileError(f"invalid arguments for {kind} rule")
    auto, changes, names, last, i = False, [], 0, "", 0
    while i < len(args):
        if not last and args[i] != "answer":
            raise CorefileError(f"exceeded the number of arguments for a non-answer rule argument for {kind} rule")
        if args[i] == "answer":
            i += 1
        if i >= len(args):
            raise CorefileError(f"type missing for answer rule for {kind} rule")
        last = args[i]
        i += 1
        if last == "auto":
            auto = True
            continue
        if last not in ("name", "value"):
            raise CorefileError(f'invalid type "{last}" for answer rule for {kind} rule')
        if len(args) - i < 2:
            raise CorefileError(f"{last} answer rule for {kind} rule: 2 arguments required")
        words = _by_regex(_regex(args[i], args[i + 1]), normalize(args[i + 1]))
        changes.append(_owner(words) if last == "name" else _value(words))
        names += last == "name"
        i += 2
    if auto and names:
        raise CorefileError("auto name answer rule cannot be combined with explicit name anwer rules")
    return auto, tuple(changes)


def _type_rule(args: Sequence[str], text: str, stop: bool) -> Rule:
    old, new = (a.upper() for a in args)
    for t in (old, new):
        if t not in TYPES:
            raise CorefileError(f'invalid type "{t}"')

    def apply(query: Query) -> tuple[Query, tuple[Change, ...]] | None:
        return (query.but(question=replace(query.question, type=new)), ()) if query.type == old else None

    return Rule(text, stop, apply)


def _matched_rule(args: Sequence[str], text: str, stop: bool, change: Change, what: str) -> Rule:
    """A rule that leaves the question and changes records of names that match: `args` are [kind] name."""
    kind, pattern = ("exact", args[0]) if len(args) == 1 else (args[0].lower(), args[1])
    if kind not in KINDS:
        raise CorefileError(f"{what} rule {ONLY}")
    matches = _matcher(kind, pattern)
    return Rule(text, stop, lambda query: (query, (change,)) if matches(query.name) else None)


def _ttl_rule(args: Sequence[str], text: str, stop: bool) -> Rule:
    if len(args) < 2:
        raise CorefileError(f"too few ({len(args)}) arguments for a ttl rule")
    if len(args) > 3:
        raise CorefileError("many few arguments for a ttl rule")
    found = re.fullmatch(r"(\d*)(-?)(\d*)", args[-1])
    if not found or args[-1] in ("-", "") or (not found[2] and not found[1]):
        raise CorefileError(f"invalid TTL '{args[-1]}' for a ttl rule")
    low = int(found[1] or 0)
    high = int(found[3] or 2147483647) if found[2] else low
    if low > high:
        raise CorefileError(f"invalid TTL '{args[-1]}' for a ttl rule")
    return _matched_rule(args[:-1], text, stop, lambda r, rcode: (r.but(ttl=min(max(r.ttl, low), high)), rcode), "ttl")


def _rcode_rule(args: Sequence[str], text: str, stop: bool) -> Rule:
    if len(args) < 3:
        raise CorefileError(f"too few ({len(args)}) arguments for a rcode rule")
    if len(args) > 4:
        raise CorefileError("many few arguments for a rcode rule")
    old, new = (_rcode(a, w) for a, w in zip(args[-2:], ("matching", "replacement"), strict=True))
    return _matched_rule(args[:-2], text, stop, lambda r, rcode: (r, new if rcode == old else rcode), "rcode")


def _rcode(word: str, what: str) -> str:
    from .forward import RCODES

    numbers = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE")
    if word.isdigit() and int(word) < len(numbers):
        return numbers[int(word)]
    if word.upper() not in RCODES:
        raise CorefileError(f"invalid {what} RCODE '{word}' for a rcode rule")
    return word.upper()


def rule(args: Sequence[str]) -> Rule:
    """One rule from its words. Raises CorefileError, NotModelled for edns0, class and cname rules."""
    if not args:
        raise CorefileError("no rule type specified for rewrite")
    words, stop = list(args), True
    if (mode := words[0].lower()) in ("continue", "stop"):
        if len(words) < 2:
            raise CorefileError(f"{mode} rule must begin with a rule type")
        stop = mode == "stop"
        words.pop(0)
    kind, rest, text = words[0].lower(), words[1:], "rewrite " + " ".join(args)
    match kind:
        case "answer":
            raise CorefileError("response rewrites must begin with a name rule")
        case "name":
            return _name_rule(rest, text, stop)
        case "type":
            if len(rest) != 2:
                raise CorefileError("type rules must have exactly two arguments")
            return _type_rule(rest, text, stop)
        case "ttl":
            return _ttl_rule(rest, text, stop)
        case "rcode":
            return _rcode_rule(rest, text, stop)
        case "class" | "edns0" | "cname":
            raise NotModelled(f"the Corefile's `{text}`: {kind} rules")
    raise CorefileError(f'invalid rule type "{args[0]}"')


def setup(s: Setup) -> Rewrite:
    d: Dispenser = s.dispenser()
    rules = []
    while d.next():
        args = d.remaining_args()
        if len(args) < 2:
            while d.next_block():
                args.append(d.value)
        rules.append(rule(args))
    return Rewrite(tuple(rules))
