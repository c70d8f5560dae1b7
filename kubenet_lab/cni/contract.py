"""The plugin's side of the CNI contract: what a plugin is called with, and the node that it works on.

Source: containernetworking/cni SPEC.md 1.1.0. Plugins are objects instead of programs; what a program would do on
the node it does to a `PluginHost`. The runtime's side is in `libcni`, the configurations are in `conflist`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ..kernel.namespace import Namespace
from ..kernel.network import Network
from . import spoof_check
from .result import CniError, Result
from .rules import BUILT_IN, RuleStep, new_chain, run
from .skel import Program

if TYPE_CHECKING:
    from .record import Recorder

__all__ = ["CNI_PATH", "Call", "Plugin", "PluginHost", "args_of", "netns_path"]

CNI_PATH = "/opt/cni/bin"


def netns_path(namespace: str) -> str:
    """The path under which a runtime shows a pod's network namespace, from the lab's id of it."""
    return "/var/run/netns/cni-" + re.sub(r"[^a-zA-Z0-9.]+", "-", namespace)


def args_of(args: str, known: Sequence[str]) -> dict[str, str]:
    """CNI_ARGS ("K=V;K=V") as a mapping of the keys a plugin knows. Raises CniError for others unless IgnoreUnknown is set."""
    pairs: dict[str, str] = {}
    unknown, ignore = [], False
    for pair in args.split(";") if args else ():
        key, equals, value = pair.partition("=")
        if not equals or "=" in value:
            raise CniError(999, f"ARGS: invalid pair {json.dumps(pair)}")
        if key == "IgnoreUnknown":
            if value.lower() not in ("1", "0", "true", "false"):
                raise CniError(999, f'ARGS: error parsing value of pair "{pair}": boolean unmarshal error: invalid input {value}')
            ignore = value.lower() in ("1", "true")
        elif key in known:
            pairs[key] = value
        else:
            unknown.append(pair)
    if unknown and not ignore:
        raise CniError(999, f"ARGS: unknown args [{' '.join(json.dumps(u) for u in unknown)}]")
    return pairs


@dataclass
class PluginHost:
    """One node as its plugins see it: namespaces, disk, the journal of iptables steps, the plugins in CNI_PATH.

    `disk` is {path: content}: everything that plugins remember, so it is all there is to store of allocations.
    """

    network: Network
    name: str
    plugins: Mapping[str, Plugin]
    disk: MutableMapping[str, str] = field(default_factory=dict)
    rules: list[RuleStep] = field(default_factory=list)
    changed: Callable[[], None] = lambda: None  # called when `rules` grew: a ruleset built before is out of date
    recorder: Recorder | None = None  # sees every call, where somebody wants to know

    @property
    def node(self) -> Namespace:
        return self.network.namespaces[self.name]

    def netns(self, id: str) -> Namespace:
        """A pod's namespace. Raises CniError as a plugin that cannot open the path."""
        ns = self.network.namespaces.get(id)
        if ns is None:
            path = netns_path(id)
            raise CniError(999, f'failed to open netns "{path}": failed to Statfs "{path}": no such file or directory')
        return ns

    def plugin(self, type: str) -> Plugin:
        """The program of that name in CNI_PATH. Raises CniError."""
        if not type:
            raise CniError(999, "no plugin name provided")
        if type not in self.plugins:
            raise CniError(999, f'failed to find plugin "{type}" in path [{CNI_PATH}]')
        program: Plugin = Program(self.plugins[type])
        return program if self.recorder is None else self.recorder.watch(program)

    def program(self, steps: Iterable[RuleStep]) -> None:
        self.rules += steps
        self.changed()

    def chains(self, table: str, family: int = 4) -> Mapping[str, Sequence[RuleStep]]:
        """The chains of one table with their rules, as far as the plugins made them."""
        return run(self.rules, family).get(table, {})

    def has_rule(self, step: RuleStep) -> bool:
        """Does this rule stand in its chain?"""
        return any(r.args == step.args for r in self.chains(step.table, step.family).get(step.chain, ()))

    def flush_udp(self, port: int, family: int) -> None:
        """Forget what conntrack knows of UDP to a port of this node. A node that is only being programmed has seen no traffic."""

    def rule_lines(self) -> list[str]:
        """Every rule as an iptables command: what a record compares."""
        out = []
        for fam in (4, 6):
            for table, chains in run(self.rules, fam).items():
                for chain, rules in chains.items():
                    if chain not in BUILT_IN.get(table, ()):
                        out.append(str(new_chain(table, chain, fam)))
                    out += [str(r) for r in rules]
        return out + spoof_check.rule_lines(self.node)


@dataclass(frozen=True, slots=True)
class Call:
    """What one plugin is called with: the CNI_ variables and the configuration on stdin. `netns` is a namespace id, "" if unknown."""

    container_id: str
    netns: str
    ifname: str
    config: Mapping[str, Any]
    host: PluginHost
    args: str = ""

    @property
    def version(self) -> str:
        return str(self.config.get("cniVersion") or "0.1.0")

    @property
    def name(self) -> str:
        return str(self.config.get("name") or "")

    @property
    def sandbox(self) -> str:
        return netns_path(self.netns) if self.netns else ""

    @property
    def prev_result(self) -> Result | None:
        raw = self.config.get("prevResult")
        return Result.from_dict(raw) if raw is not None else None

    def environ(self, command: str) -> dict[str, str]:
        """The variables that the program is started with."""
        given = {"CNI_CONTAINERID": self.container_id, "CNI_NETNS": self.sandbox, "CNI_IFNAME": self.ifname, "CNI_ARGS": self.args}
        return {"CNI_COMMAND": command, **{k: v for k, v in given.items() if v}, "CNI_PATH": CNI_PATH}

    def but(self, config: Mapping[str, Any]) -> Call:
        """This call with another configuration: what a delegate gets."""
        return replace(self, config=config)


@runtime_checkable
class Plugin(Protocol):
    """One plugin. ADD gives a result or raises CniError; the others give nothing or raise."""

    @property
    def type(self) -> str: ...
    def add(self, call: Call) -> Result: ...
    def delete(self, call: Call) -> None: ...
    def check(self, call: Call) -> None: ...
    def gc(self, call: Call) -> None: ...
    def status(self, call: Call) -> None: ...
