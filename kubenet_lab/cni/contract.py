"""The CNI contract: configurations, calls, and the runtime's side of ADD, DEL, CHECK, GC and STATUS.

Source: containernetworking/cni SPEC.md 1.1.0; messages as its reference implementation (libcni, pkg/skel) prints
them. Plugins are objects instead of programs; what a program would do on the node it does to a `PluginHost`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from ..kernel.namespace import Namespace
from ..kernel.network import Network
from .result import VERSIONS, CniError, Result, newest, version_key
from .rules import RuleStep

__all__ = ["CNI_PATH", "Attachment", "Call", "NetworkList", "Plugin", "PluginHost", "Runtime", "args_of", "netns_path"]

CNI_PATH = "/opt/cni/bin"
CACHE = "/var/lib/cni/results"
_NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.\-]*\Z")


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
        if not type:
            raise CniError(999, "no plugin name provided")
        if type not in self.plugins:
            raise CniError(999, f'failed to find plugin "{type}" in path [{CNI_PATH}]')
        return self.plugins[type]

    def program(self, steps: Iterable[RuleStep]) -> None:
        self.rules += steps
        self.changed()


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


def _bad(message: str) -> CniError:
    return CniError(7, f"error parsing configuration list: {message}")


def _bool(raw: Mapping[str, Any], key: str) -> bool:
    value = raw.get(key, False)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        value = value.lower() == "true"
    if not isinstance(value, bool):
        raise _bad(f"invalid value {value!r} for {key}")
    return value


@dataclass(frozen=True, slots=True)
class NetworkList:
    """A conflist: what stands in /etc/cni/net.d. `cni_version` is the highest that both sides know."""

    name: str
    cni_version: str
    plugins: tuple[Mapping[str, Any], ...]
    disable_check: bool = False
    disable_gc: bool = False
    load_only_inlined_plugins: bool = False

    @classmethod
    def parse(cls, source: str | Mapping[str, Any]) -> NetworkList:
        """From JSON text or a mapping. Raises CniError: 6 for bad JSON, 7 for a bad configuration, 1 for unknown versions."""
        if isinstance(source, str):
            try:
                raw = json.loads(source)
            except ValueError as e:
                raise CniError(6, "error parsing configuration list", str(e)) from None
        else:
            raw = source
        if not isinstance(raw, Mapping):
            raise _bad("expected an object")
        if "name" not in raw:
            raise _bad("no name")
        name = raw["name"]
        if not isinstance(name, str):
            raise _bad(f"invalid name type {type(name).__name__}")
        plugins = raw.get("plugins", [] if _bool(raw, "loadOnlyInlinedPlugins") else None)
        if "plugins" not in raw:
            raise _bad("no 'plugins' key")
        if not isinstance(plugins, list):
            raise _bad(f"invalid 'plugins' type {type(plugins).__name__}")
        if not plugins:
            raise _bad("no plugins in list")
        for i, p in enumerate(plugins):
            if not isinstance(p, Mapping):
                raise _bad(f"failed to parse plugin config {i}: expected an object")
            if not isinstance(p.get("type"), str) or not p["type"]:
                raise _bad(f"failed to parse plugin config {i}: missing 'type'")
        version = cls._version(raw)
        flags = (_bool(raw, "disableCheck"), _bool(raw, "disableGC"), _bool(raw, "loadOnlyInlinedPlugins"))
        return cls(name, version, tuple(plugins), *flags)

    @staticmethod
    def _version(raw: Mapping[str, Any]) -> str:
        single = raw.get("cniVersion", "")
        if not isinstance(single, str):
            raise _bad(f"invalid cniVersion type {type(single).__name__}")
        several = raw.get("cniVersions", [])
        if not isinstance(several, list) or not all(isinstance(v, str) for v in several):
            raise _bad("invalid type for cniVersions: expected a list of strings")
        known = [v for v in [*several, *([single] if single else [])] if version_key(v) <= version_key(VERSIONS[-1])]
        if not known and single:
            supported = " ".join(json.dumps(v) for v in VERSIONS)
            raise CniError(1, "incompatible CNI versions", f'config is "{single}", plugin supports [{supported}]')
        return newest(known) if known else "0.1.0"

    def to_dict(self) -> dict[str, Any]:
        flags = {"disableCheck": self.disable_check, "disableGC": self.disable_gc, "loadOnlyInlinedPlugins": self.load_only_inlined_plugins}
        head = {"cniVersion": self.cni_version, "name": self.name, **{k: v for k, v in flags.items() if v}}
        return {**head, "plugins": [dict(p) for p in self.plugins]}

    def __str__(self) -> str:
        return json.dumps(self.to_dict(), indent=2)


@dataclass(frozen=True, slots=True)
class Attachment:
    """One container interface on one network, as the runtime remembers it."""

    network: str
    container_id: str
    ifname: str
    netns: str
    result: Result
    args: str = ""
    capabilities: Mapping[str, Any] = field(default_factory=dict)


def _check_call(container_id: str, netns: str, ifname: str, name: str, need_netns: bool) -> None:
    """What every plugin checks before it looks at its configuration (pkg/skel)."""
    given = {"CNI_CONTAINERID": container_id, "CNI_NETNS": netns or not need_netns, "CNI_IFNAME": ifname}
    if missing := [k for k, v in given.items() if not v]:
        raise CniError(4, f"required env variables [{','.join(missing)}] missing")
    if not _NAME.match(container_id):
        raise CniError(4, "invalid characters in containerID", container_id)
    if len(ifname) > 15:
        raise CniError(4, "interface name is too long", "interface name should be less than 16 characters")
    if ifname in (".", ".."):
        raise CniError(4, "interface name is . or ..")
    if any(c in "/:" or c.isspace() for c in ifname):
        raise CniError(4, "interface name contains / or : or whitespace characters")
    if not name:
        raise CniError(7, "missing network name")
    if not _NAME.match(name):
        raise CniError(7, "invalid characters found in network name", name)


class Runtime:
    """The runtime's side on one node: runs the plugins of a list in order and remembers the results.

    Results are kept on the node's disk under /var/lib/cni/results, one file per (network, container, interface).
    """

    def __init__(self, host: PluginHost):
        self.host = host

    def add(
        self,
        conf: NetworkList,
        container_id: str,
        netns: str,
        ifname: str = "eth0",
        args: str = "",
        capabilities: Mapping[str, Any] | None = None,
    ) -> Result:
        """ADD: every plugin in list order, each with the result of the one before; the first error ends it.

        `capabilities` are the runtime's dynamic values by capability name (portMappings, ips, mac ...): a plugin gets
        those that it declares. On an error nothing is remembered and nothing undone: the caller must `delete`, as kubelet's runtimes do.
        """
        _check_call(container_id, netns, ifname, conf.name, need_netns=True)
        result: Result | None = None
        for plugin in conf.plugins:
            call = self._call(conf, plugin, container_id, netns, ifname, args, capabilities or {}, result)
            result = self.host.plugin(str(plugin["type"])).add(call)
        assert result is not None
        self._remember(conf, Attachment(conf.name, container_id, ifname, netns, result, args, capabilities or {}))
        return result

    def delete(
        self,
        conf: NetworkList,
        container_id: str,
        netns: str = "",
        ifname: str = "eth0",
        args: str = "",
        capabilities: Mapping[str, Any] | None = None,
    ) -> None:
        """DEL: every plugin in reverse order, each with the final result of ADD (none if it is not known). May be repeated."""
        _check_call(container_id, netns, ifname, conf.name, need_netns=False)
        known = self.attachment(conf.name, container_id, ifname)
        if known is not None:
            args, capabilities = args or known.args, known.capabilities if capabilities is None else capabilities
        result = known.result if known and version_key(conf.cni_version) >= (0, 4, 0) else None
        for plugin in reversed(conf.plugins):
            call = self._call(conf, plugin, container_id, netns, ifname, args, capabilities or {}, result)
            self.host.plugin(str(plugin["type"])).delete(call)
        self.host.disk.pop(self._path(conf.name, container_id, ifname), None)

    def check(self, conf: NetworkList, container_id: str, netns: str, ifname: str = "eth0") -> None:
        """CHECK: in list order with the final result. Raises CniError at the first thing that is not as ADD left it."""
        _check_call(container_id, netns, ifname, conf.name, need_netns=True)
        if version_key(conf.cni_version) < (0, 4, 0):
            raise CniError(1, "config version does not allow CHECK")
        if conf.disable_check:
            return
        known = self.attachment(conf.name, container_id, ifname)
        if known is None:
            raise CniError(3, f"container {container_id} has no interface {ifname} on network {conf.name}")
        for plugin in conf.plugins:
            call = self._call(conf, plugin, container_id, netns, ifname, known.args, known.capabilities, known.result)
            self.host.plugin(str(plugin["type"])).check(call)

    def gc(self, conf: NetworkList, valid: Iterable[tuple[str, str]]) -> None:
        """GC (1.1.0): drop everything that belongs to none of the `valid` (container, interface) pairs.

        First DEL for every attachment that is remembered and not valid, then the plugins' own GC, in order; errors are
        collected and raised together at the end.
        """
        keep = set(valid)
        errors: list[str] = []
        for a in self.attachments():
            if a.network == conf.name and (a.container_id, a.ifname) not in keep:
                try:
                    self.delete(conf, a.container_id, a.netns, a.ifname)
                except CniError as e:
                    errors.append(e.msg)
        if version_key(conf.cni_version) >= (1, 1, 0) and not conf.disable_gc:
            pairs = [{"containerID": c, "ifname": i} for c, i in sorted(keep)]
            for plugin in conf.plugins:
                config = {**plugin, "name": conf.name, "cniVersion": conf.cni_version, "cni.dev/valid-attachments": pairs}
                try:
                    self.host.plugin(str(plugin["type"])).gc(Call("", "", "", config, self.host))
                except CniError as e:
                    errors.append(e.msg)
        if errors:
            raise CniError(999, "; ".join(errors))

    def status(self, conf: NetworkList) -> None:
        """STATUS (1.1.0): whether ADD would work; error 50 or 51 if not. Older versions have no such question."""
        if version_key(conf.cni_version) < (1, 1, 0):
            return
        for plugin in conf.plugins:
            config = {**plugin, "name": conf.name, "cniVersion": conf.cni_version}
            self.host.plugin(str(plugin["type"])).status(Call("", "", "", config, self.host))

    # ------------------------------------------------------------------------------------------- what it remembers
    def attachment(self, network: str, container_id: str, ifname: str = "eth0") -> Attachment | None:
        text = self.host.disk.get(self._path(network, container_id, ifname))
        return _attachment(text) if text is not None else None

    def attachments(self) -> tuple[Attachment, ...]:
        """All that is remembered on this node, by network, container and interface."""
        return tuple(_attachment(t) for p, t in sorted(self.host.disk.items()) if p.startswith(f"{CACHE}/"))

    def _path(self, network: str, container_id: str, ifname: str) -> str:
        return f"{CACHE}/{network}-{container_id}-{ifname}"

    def _remember(self, conf: NetworkList, a: Attachment) -> None:
        self.host.disk[self._path(a.network, a.container_id, a.ifname)] = json.dumps({
            "kind": "cniCacheV1", "containerId": a.container_id, "config": base64.b64encode(str(conf).encode()).decode(),
            "ifName": a.ifname, "networkName": a.network, "netns": a.netns, "cniArgs": a.args, "capabilityArgs": dict(a.capabilities),
            "result": a.result.to_dict(conf.cni_version),
        })  # fmt: skip

    def _call(
        self, conf: NetworkList, plugin: Mapping[str, Any], container_id: str, netns: str, ifname: str, args: str,
        capabilities: Mapping[str, Any], result: Result | None,
    ) -> Call:  # fmt: skip
        config = {k: v for k, v in plugin.items() if k != "capabilities"} | {"name": conf.name, "cniVersion": conf.cni_version}
        declared = plugin.get("capabilities") or {}
        if dynamic := {k: v for k, v in capabilities.items() if declared.get(k)}:
            config["runtimeConfig"] = {**(plugin.get("runtimeConfig") or {}), **dynamic}
        if result is not None:
            config["prevResult"] = result.to_dict(conf.cni_version)
        return Call(container_id, netns, ifname, config, self.host, args)


def _attachment(text: str) -> Attachment:
    d = json.loads(text)
    result = Result.from_dict(d["result"])
    return Attachment(d["networkName"], d["containerId"], d["ifName"], d["netns"], result, d["cniArgs"], d["capabilityArgs"])
