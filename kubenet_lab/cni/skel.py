"""What every plugin does before its own work: its variables, its configuration's name and version.

Source: containernetworking/cni pkg/skel/skel.go, pkg/utils/utils.go, pkg/version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .decode import kind_of
from .result import VERSIONS, CniError, Result, version_key

if TYPE_CHECKING:
    from .contract import Call, Plugin

__all__ = ["Program", "check_container_id", "check_ifname", "check_name", "supported_versions", "version_reply"]

_NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.\-]*\Z")

#: the version from which each command is allowed
SINCE = {"CHECK": (0, 4, 0), "GC": (1, 1, 0), "STATUS": (1, 1, 0)}


def check_container_id(id: str) -> None:
    if not id:
        raise CniError(4, "missing containerID")
    if not _NAME.match(id):
        raise CniError(4, "invalid characters in containerID", id)


def check_name(name: str) -> None:
    if not name:
        raise CniError(7, "missing network name:")
    if not _NAME.match(name):
        raise CniError(7, "invalid characters found in network name", name)


def check_ifname(ifname: str) -> None:
    if not ifname:
        raise CniError(4, "interface name is empty")
    if len(ifname) > 15:
        raise CniError(4, "interface name is too long", "interface name should be less than 16 characters")
    if ifname in (".", ".."):
        raise CniError(4, "interface name is . or ..")
    if any(c in "/:" or c.isspace() for c in ifname):
        raise CniError(4, "interface name contains / or : or whitespace characters")


def supported_versions(plugin: Plugin) -> tuple[str, ...]:
    """The spec versions that a plugin speaks."""
    versions: tuple[str, ...] = getattr(plugin, "versions", VERSIONS)
    return versions


def version_reply(plugin: Plugin) -> dict[str, Any]:
    """What VERSION prints."""
    versions = supported_versions(plugin)
    return {"cniVersion": versions[-1], "supportedVersions": list(versions)}


class Program:
    """A plugin as its program: nothing of it runs before the call was found to be one."""

    def __init__(self, plugin: Plugin):
        self._plugin, self.type = plugin, plugin.type

    def add(self, call: Call) -> Result:
        self._check("ADD", call)
        result = self._plugin.add(call)
        result.to_dict(call.version)  # all is done, and only then a version turns out that cannot say it
        return result

    def delete(self, call: Call) -> None:
        self._check("DEL", call)
        self._plugin.delete(call)

    def check(self, call: Call) -> None:
        self._check("CHECK", call)
        self._plugin.check(call)

    def gc(self, call: Call) -> None:
        self._check("GC", call)
        self._plugin.gc(call)

    def status(self, call: Call) -> None:
        self._check("STATUS", call)
        self._plugin.status(call)

    def _check(self, command: str, call: Call) -> None:
        if command in ("ADD", "DEL", "CHECK"):
            given = {"CNI_CONTAINERID": call.container_id, "CNI_NETNS": call.netns or command == "DEL", "CNI_IFNAME": call.ifname}
            if missing := [k for k, v in given.items() if not v]:
                raise CniError(4, f"required env variables [{','.join(missing)}] missing")
        _check_name_of(call.config)
        if command in ("ADD", "DEL", "CHECK"):
            check_container_id(call.container_id)
            check_ifname(call.ifname)
        version, supported = _version_of(call.config), supported_versions(self._plugin)
        if command in SINCE:
            try:
                allowed = version_key(version) >= SINCE[command]
            except CniError as e:
                raise CniError(6, e.msg) from None
            if not allowed:
                raise CniError(1, f"config version does not allow {command}")
            if version_key(version) > version_key(supported[-1]):
                raise CniError(1, f"plugin version does not allow {command}")
        if version not in supported:
            listed = " ".join(json.dumps(v) for v in supported)
            raise CniError(1, "incompatible CNI versions", f'config is "{version}", plugin supports [{listed}]')


def _check_name_of(config: Mapping[str, Any]) -> None:
    name = config.get("name")
    if name is not None and not isinstance(name, str):
        wrong = f"json: cannot unmarshal {kind_of(name)} into Go struct field .name of type string"
        raise CniError(6, f"error unmarshall network config: {wrong}")
    if not name:
        raise CniError(7, "missing network name")
    check_name(name)


def _version_of(config: Mapping[str, Any]) -> str:
    version = config.get("cniVersion")
    if version is not None and not isinstance(version, str):
        wrong = f"json: cannot unmarshal {kind_of(version)} into Go struct field .cniVersion of type string"
        raise CniError(6, f"decoding version from network config: {wrong}")
    return version or "0.1.0"
