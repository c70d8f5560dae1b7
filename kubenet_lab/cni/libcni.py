"""The runtime's side of the CNI contract: ADD, DEL, CHECK, GC and STATUS over a list of plugins, and what it remembers.

Source: containernetworking/cni SPEC.md 1.1.0 section 3; messages as its reference implementation (libcni/api.go,
pkg/skel) prints them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .conflist import NetworkList
from .contract import Call, PluginHost, netns_path
from .result import CniError, Result, version_key
from .skel import check_container_id, check_ifname, check_name, supported_versions

__all__ = ["Attachment", "Runtime"]

CACHE = "/var/lib/cni/results"


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
    config: str = ""  # the conflist that ADD was called with


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
        Raises CniError with the plugin's code; `details` are the plugin's.
        """
        result: Result | None = None
        for plugin in conf.plugins:
            with _naming(plugin, "add"):
                program = self.host.plugin(str(plugin["type"]))
                check_container_id(container_id)
                check_name(conf.name)
                check_ifname(ifname)
                result = program.add(self._call(conf, plugin, container_id, netns, ifname, args, capabilities or {}, result))
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
        """DEL: every plugin in reverse order, each with the final result of ADD (none if it is not known). May be repeated.

        The first error ends it, and what is remembered stays, so that it can be tried again.
        """
        known = self.attachment(conf.name, container_id, ifname)
        if known is not None:
            args, capabilities = args or known.args, known.capabilities if capabilities is None else capabilities
        result = known.result if known and _at_least(conf, (0, 4, 0)) else None
        for plugin in reversed(conf.plugins):
            with _naming(plugin, "delete"):
                call = self._call(conf, plugin, container_id, netns, ifname, args, capabilities or {}, result)
                self.host.plugin(str(plugin["type"])).delete(call)
        self.host.disk.pop(self._path(conf.name, container_id, ifname), None)

    def check(self, conf: NetworkList, container_id: str, netns: str, ifname: str = "eth0") -> None:
        """CHECK: in list order with the final result. Raises CniError at the first thing that is not as ADD left it."""
        if not _at_least(conf, (0, 4, 0)):
            raise CniError(999, f'configuration version "{conf.cni_version}" does not support the CHECK command')
        if conf.disable_check:
            return
        known = self.attachment(conf.name, container_id, ifname)
        args, capabilities, result = (known.args, known.capabilities, known.result) if known is not None else ("", {}, None)
        for plugin in conf.plugins:
            call = self._call(conf, plugin, container_id, netns, ifname, args, capabilities, result)
            self.host.plugin(str(plugin["type"])).check(call)

    def gc(self, conf: NetworkList, valid: Iterable[tuple[str, str]]) -> None:
        """GC: drop everything that belongs to none of the `valid` (container, interface) pairs.

        First DEL for every attachment that is remembered and not valid, whatever the version; then (1.1.0) the plugins'
        own GC, in order. Errors are collected and raised together at the end, with the code of the first.
        """
        if conf.disable_gc:
            return
        keep = set(valid)
        errors: list[CniError] = []
        for a in self.attachments():
            if a.network == conf.name and (a.container_id, a.ifname) not in keep:
                try:
                    self.delete(conf, a.container_id, a.netns, a.ifname)
                except CniError as e:
                    errors.append(CniError(e.code, f"failed to delete stale attachment {a.container_id} {a.ifname}: {e}"))
        if _at_least(conf, (1, 1, 0)):
            pairs = [{"containerID": c, "ifname": i} for c, i in sorted(keep)]
            for plugin in conf.plugins:
                try:
                    call = Call("", "", "", _request(conf, plugin) | {"cni.dev/valid-attachments": pairs}, self.host)
                    self.host.plugin(str(plugin["type"])).gc(call)
                except CniError as e:
                    errors.append(CniError(e.code, f"failed to GC plugin {plugin['type']}: {e}"))
        if errors:
            raise CniError(errors[0].code, "\n".join(e.msg for e in errors))

    def status(self, conf: NetworkList) -> None:
        """STATUS (1.1.0): whether ADD would work; error 50 or 51 if not. Older versions have no such question."""
        if not _at_least(conf, (1, 1, 0)):
            return
        for plugin in conf.plugins:
            self.host.plugin(str(plugin["type"])).status(Call("", "", "", _request(conf, plugin), self.host))

    def validate(self, conf: NetworkList) -> tuple[str, ...]:
        """Are all plugins installed, and do they speak the list's version? Gives the capabilities that they declare.

        Source: libcni ValidateNetworkList, which runtimes call before the first ADD. Raises CniError with all that is wrong.
        """
        errors = []
        for plugin in conf.plugins:
            try:
                self.host.plugin(str(plugin["type"]))
                if conf.cni_version not in supported_versions(self.host.plugins[plugin["type"]]):
                    errors.append(f'plugin {plugin["type"]} does not support config version "{conf.cni_version}"')
            except CniError as e:
                errors.append(e.msg)
        if errors:
            raise CniError(999, f"[{' '.join(errors)}]")
        return tuple(dict.fromkeys(k for p in conf.plugins for k, on in (p.get("capabilities") or {}).items() if on))

    # ------------------------------------------------------------------------------------------- what it remembers
    def attachment(self, network: str, container_id: str, ifname: str = "eth0") -> Attachment | None:
        """What is remembered of one interface of a container; None if nothing is, or nothing that can be read."""
        return self._read(self.host.disk.get(self._path(network, container_id, ifname), ""))

    def attachments(self) -> tuple[Attachment, ...]:
        """All that is remembered on this node, by network, container and interface."""
        found = (self._read(t) for p, t in sorted(self.host.disk.items()) if p.startswith(f"{CACHE}/"))
        return tuple(a for a in found if a is not None)

    def _path(self, network: str, container_id: str, ifname: str) -> str:
        return f"{CACHE}/{network}-{container_id}-{ifname}"

    def _remember(self, conf: NetworkList, a: Attachment) -> None:
        pairs = [pair.split("=", 1) for pair in a.args.split(";") if "=" in pair]
        self.host.disk[self._path(a.network, a.container_id, a.ifname)] = json.dumps({
            "kind": "cniCacheV1", "containerId": a.container_id, "config": base64.b64encode(str(conf).encode()).decode(),
            "ifName": a.ifname, "networkName": a.network, "netns": netns_path(a.netns), **({"cniArgs": pairs} if pairs else {}),
            **({"capabilityArgs": dict(a.capabilities)} if a.capabilities else {}), "result": a.result.to_dict(conf.cni_version),
        })  # fmt: skip

    def _read(self, text: str) -> Attachment | None:
        try:
            d = json.loads(text)
            if d["kind"] != "cniCacheV1":
                return None
            result = Result.from_dict(d["result"])
            args = ";".join(f"{k}={v}" for k, v in d.get("cniArgs") or ())
            config = base64.b64decode(d.get("config") or "").decode()
            netns = next((n for n in self.host.network.namespaces if netns_path(n) == d.get("netns")), "")
            return Attachment(d["networkName"], d["containerId"], d["ifName"], netns, result, args, d.get("capabilityArgs") or {}, config)
        except (ValueError, KeyError, TypeError, CniError):
            return None

    def _call(
        self, conf: NetworkList, plugin: Mapping[str, Any], container_id: str, netns: str, ifname: str, args: str,
        capabilities: Mapping[str, Any], result: Result | None,
    ) -> Call:  # fmt: skip
        config = _request(conf, plugin)
        declared = plugin.get("capabilities") or {}
        if dynamic := {k: v for k, v in capabilities.items() if isinstance(declared, Mapping) and declared.get(k)}:
            config["runtimeConfig"] = dynamic
        if result is not None:
            config["prevResult"] = result.to_dict(conf.cni_version)
        return Call(container_id, netns, ifname, config, self.host, args)


def _request(conf: NetworkList, plugin: Mapping[str, Any]) -> dict[str, Any]:
    """A plugin's configuration as it is handed over: with the list's name and version, its keys in order."""
    given = {k: v for k, v in plugin.items() if k != "capabilities"} | {"name": conf.name, "cniVersion": conf.cni_version}
    return {k: given[k] for k in sorted(given)}


def _at_least(conf: NetworkList, version: tuple[int, ...]) -> bool:
    """Raises CniError for what is no version."""
    return version_key(conf.cni_version) >= version


@contextmanager
def _naming(plugin: Mapping[str, Any], what: str) -> Iterator[None]:
    """An error of a plugin, with the plugin's name in front, as users see it in the events of a pod."""
    try:
        yield
    except CniError as e:
        name = f' name="{plugin["name"]}"' if plugin.get("name") else ""
        raise CniError(e.code, f'plugin type="{plugin["type"]}"{name} failed ({what}): {e.msg}', e.details) from None
