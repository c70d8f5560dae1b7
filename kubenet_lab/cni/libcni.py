"""The runtime's side of the CNI contract: ADD, DEL, CHECK, GC and STATUS over a list of plugins, and what it remembers.

Source: containernetworking/cni SPEC.md 1.1.0 section 3; messages as its reference implementation (libcni/api.go,
pkg/skel) prints them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .conflist import NetworkList
from .contract import Call, PluginHost
from .result import CniError, Result, version_key

__all__ = ["Attachment", "Runtime"]

CACHE = "/var/lib/cni/results"
_NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.\-]*\Z")


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
    config = base64.b64decode(d.get("config") or "").decode()
    return Attachment(d["networkName"], d["containerId"], d["ifName"], d["netns"], result, d["cniArgs"], d["capabilityArgs"], config)
