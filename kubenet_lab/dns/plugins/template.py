"""The `template` plugin: answers made from a pattern of the name.

Of Go's template language the fields and `index` are known, which is what Corefiles use; anything else is not modelled.
Source: coredns plugin/template/template.go, setup.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import NotModelled
from ..caddyfile import Dispenser
from ..corefile import origins
from ..message import TYPES, Query, Record, record
from ..names import longest_zone
from ..wire import packable
from .base import NEVER, Env, Fall, Plugin, Reply, Setup, Unwritten, pass_on
from .forward import RCODES

__all__ = ["Template", "TemplatePlugin", "setup"]


@dataclass(slots=True)
class Template:
    """One `template` line: which class, type, zones and names it answers, and with what."""

    cls: str
    type: str
    zones: tuple[str, ...]
    patterns: list[re.Pattern[str]] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    authority: list[str] = field(default_factory=list)
    additional: list[str] = field(default_factory=list)
    rcode: str = "NOERROR"
    extended_error: bool = False
    fall: Fall = NEVER

    def match(self, query: Query) -> tuple[Mapping[str, Any] | None, bool]:
        """What the patterns caught, or None; and whether the next template may try."""
        zone = longest_zone(self.zones, query.name)
        if not zone or not _fits(self.cls, query.question.cls) or not _fits(self.type, query.type):
            return None, True
        for pattern in self.patterns:
            found = pattern.search(query.name)
            if found:
                groups = {str(i): found.group(i) or "" for i in range(pattern.groups + 1)}
                groups.update((k, v or "") for k, v in found.groupdict().items())
                kind = query.type if query.type != "ANY" else self.type
                return {"Zone": zone, "Name": query.name, "Type": kind, "Class": "IN", "Group": groups, "Regex": pattern.pattern}, False
        return None, self.fall.through(query.name)


def _fits(wanted: str, asked: str) -> bool:
    return wanted == "ANY" or asked in ("ANY", wanted)


def _render(text: str, data: Mapping[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        words = found[1].strip()
        if m := re.fullmatch(r"\.(Zone|Name|Type|Class|Regex|Remote)", words):
            return str(data[m[1]])
        if m := re.fullmatch(r"\.Group\.(\w+)", words):
            return str(data["Group"].get(m[1], "<no value>"))
        if m := re.fullmatch(r"index\s+\.Match\s+(\d+)", words):
            return str(data["Group"][m[1]])
        if m := re.fullmatch(r'index\s+\.Group\s+["`](\w+)["`]', words):
            return str(data["Group"].get(m[1], ""))
        raise NotModelled(f"the expression {{{{ {words} }}}} in a Corefile's template")

    text = re.sub(r"\s*{{- ", "{{ ", re.sub(r" -}}\s*", " }}", text))
    return re.sub(r"{{(.*?)}}", value, text)


def _records(lines: list[str], data: Mapping[str, Any]) -> tuple[Record, ...]:
    out = []
    for line in lines:
        rendered = _render(line, data).split()
        if len(rendered) > 1 and not rendered[1].isdigit():  # the TTL may be left out: an hour
            rendered.insert(1, "3600")
        if len(rendered) > 2 and rendered[2].upper() not in ("IN", "CH", "ANY"):
            rendered.insert(2, "IN")
        made = record(" ".join(rendered))
        packable(made)
        out.append(made)
    return tuple(out)


@dataclass(slots=True)
class TemplatePlugin:
    templates: tuple[Template, ...]
    next: Plugin | None = None
    name: str = "template"

    def serve(self, query: Query, env: Env) -> Reply:
        if not longest_zone([z for t in self.templates for z in t.zones], query.name):
            return pass_on(self, query, env)
        for template in self.templates:
            data, go_on = template.match(query)
            if data is None:
                if not go_on:
                    env.step("dns.template_no_match", name=query.question.name)
                    return Unwritten("SERVFAIL")
                continue
            if template.rcode == "SERVFAIL":
                return Unwritten("SERVFAIL")
            if template.extended_error:
                raise NotModelled("extended DNS errors (RFC 8914) of a Corefile's template")
            data = {**data, "Remote": env.client_ip}
            env.step("dns.template", name=query.question.name, type=query.type, pattern=data["Regex"], rcode=template.rcode)
            answer: list[Record] = []
            truncated = False
            try:
                for r in _records(template.answer, data):
                    answer.append(r)
                    if query.type in ("A", "AAAA") and r.type == "CNAME":
                        more = env.lookup(query.asking(r.data), env)
                        answer += more.answer
                        truncated = more.truncated
                authority, additional = _records(template.authority, data), _records(template.additional, data)
            except ValueError as error:
                return Unwritten("SERVFAIL", str(error))
            flags = ("AA", "TC") if truncated else ("AA",)
            return query.reply(template.rcode, flags=flags, answer=tuple(answer), authority=authority, additional=additional)
        return pass_on(self, query, env)


def _texts(d: Dispenser) -> list[str]:
    args = d.remaining_args()
    if not args:
        raise d.argument_error()
    return args


#: what an action of Go's template language may begin with
_ACTIONS = (
    "and block break call continue define else end eq ge gt html if index js le len lt ne not or parseInt print printf println range slice "
    "template urlquery with nil true false"
)
_WORDS = frozenset(_ACTIONS.split())


def _compile(d: Dispenser, text: str) -> None:
    """Refuse what Go would refuse: an action left open, a function that does not exist."""
    rest = re.sub(r"{{.*?}}", "", text, flags=re.DOTALL)
    if "{{" in rest:
        raise d.error(f"could not compile template: {text}, template: answer:1: unclosed action")
    for action in re.findall(r"{{-?\s*(.*?)\s*-?}}", text, flags=re.DOTALL):
        word = re.match(r"[A-Za-z_]\w*", action)
        if not action or (word and word[0] not in _WORDS):
            why = f'function "{word[0]}" not defined' if word else "missing value for command"
            raise d.error(f"could not compile template: {text}, template: answer:1: {why}")


def setup(s: Setup) -> TemplatePlugin:
    d = s.dispenser()
    templates = []
    while d.next():
        if not d.next_arg():
            raise d.argument_error()
        cls = d.value
        if cls not in ("IN", "CH", "HS", "CS", "NONE", "ANY"):
            raise d.error(f"invalid query class {cls}")
        if not d.next_arg():
            raise d.argument_error()
        kind = d.value
        if kind not in TYPES:
            raise d.error(f"invalid RR class {kind}")
        t = Template(cls, kind, origins(d.remaining_args(), s.block.zones))
        while d.next_block():
            match d.value:
                case "match":
                    for text in _texts(d):
                        try:
                            t.patterns.append(re.compile(text))
                        except re.error as error:
                            raise d.error(f"could not parse regex: {text}, {error}") from None
                case "answer" | "authority" | "additional" as section:
                    texts = _texts(d)
                    for text in texts:
                        _compile(d, text)
                    getattr(t, section).extend(texts)
                case "rcode":
                    if not d.next_arg():
                        raise d.argument_error()
                    if d.value.upper() not in RCODES:
                        raise d.error(f"unknown rcode {d.value}")
                    t.rcode = d.value
                case "ederror":
                    args = d.remaining_args()
                    if len(args) not in (1, 2):
                        raise d.argument_error()
                    if not args[0].isdigit() or int(args[0]) > 65535:
                        raise d.error(
                            f'error parsing extended DNS error code {args[-1]}, strconv.ParseUint: parsing "{args[0]}": invalid syntax'
                        )
                    t.extended_error = True
                case "fallthrough":
                    t.fall = Fall.of(d.remaining_args())
                case "upstream":
                    d.remaining_args()
                case _:
                    raise d.argument_error()
        t.patterns = t.patterns or [re.compile(".*")]
        templates.append(t)
    return TemplatePlugin(tuple(templates))
