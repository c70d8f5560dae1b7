"""The CNI plugin of flannel: reads what the daemon left in subnet.env and has the bridge plugin do the work.

Source: flannel-io/cni-plugin flannel.go, flannel_linux.go. The configuration it made is kept on disk until DEL,
which uses it instead of the daemon's file (that may be gone by then).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...kernel.address import prefix
from ..contract import Call
from ..result import CniError, Result
from .daemon import SUBNET_FILE

__all__ = ["FlannelPlugin", "delegate_config", "read_subnet_env"]

DATA_DIR = "/var/lib/cni/flannel"


def _fail(message: str) -> CniError:
    return CniError(999, message)


def read_subnet_env(text: str, path: str = SUBNET_FILE) -> dict[str, str]:
    """The file's variables. Raises CniError if one is missing or malformed."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if not equals or not key.startswith("FLANNEL_"):
            continue
        if key in ("FLANNEL_NETWORK", "FLANNEL_SUBNET", "FLANNEL_IPV6_NETWORK", "FLANNEL_IPV6_SUBNET"):
            try:
                if "/" not in value:
                    raise ValueError
                value = ",".join(str(prefix(v)) for v in value.split(","))
            except ValueError:
                raise _fail(f"loadFlannelSubnetEnv failed: invalid CIDR address: {value}") from None
        elif key == "FLANNEL_MTU" and not value.isdigit():
            raise _fail(f'loadFlannelSubnetEnv failed: strconv.ParseUint: parsing "{value}": invalid syntax')
        found[key] = value
    groups = (("FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK"), ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"), ("FLANNEL_MTU",), ("FLANNEL_IPMASQ",))
    missing = [name for group in groups if not any(g in found for g in group) for name in group]
    if missing:
        raise _fail(f"loadFlannelSubnetEnv failed: {path} is missing {', '.join(missing)}")
    return found


def delegate_config(config: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """The configuration that the delegate (by default bridge) is called with."""
    given = config.get("delegate")
    delegate: dict[str, Any] = dict(given) if given is not None else {}
    if "type" in delegate and not isinstance(delegate["type"], str):
        raise _fail("'delegate' dictionary, if present, must have (string) 'type' field")
    for key in ("name", "ipam"):
        if key in delegate:
            raise _fail(f"'delegate' dictionary must not have '{key}' field, it'll be set by flannel")
    if config.get("runtimeConfig"):
        delegate["runtimeConfig"] = config["runtimeConfig"]
    delegate["name"] = config.get("name")
    delegate.setdefault("type", "bridge")
    # if flanneld does not masquerade, the bridge plugin has to
    delegate.setdefault("ipMasq", env["FLANNEL_IPMASQ"] != "true")
    delegate.setdefault("mtu", int(env["FLANNEL_MTU"]))
    if delegate["type"] == "bridge":
        delegate.setdefault("isGateway", True)
    if config.get("cniVersion"):
        delegate["cniVersion"] = config["cniVersion"]
    ipam = dict(config.get("ipam") or {})
    ipam.setdefault("type", "host-local")
    ipam["ranges"] = [[{"subnet": env[k]}] for k in ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET") if k in env]
    networks = [n for k in ("FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK") if k in env for n in env[k].split(",")]
    ipam["routes"] = [*(ipam.get("routes") or ()), *({"dst": n} for n in networks)]
    delegate["ipam"] = ipam
    return delegate


class FlannelPlugin:
    """The plugin. Type "flannel"."""

    type = "flannel"

    def add(self, call: Call) -> Result:
        path = str(call.config.get("subnetFile") or SUBNET_FILE)
        text = call.host.disk.get(path)
        if text is None:
            # the message behind every pod that hangs in ContainerCreating while kube-flannel is not running
            raise _fail(f"loadFlannelSubnetEnv failed: open {path}: no such file or directory")
        config = delegate_config(call.config, read_subnet_env(text, path))
        call.host.disk[self._scratch(call)] = json.dumps(config)
        try:
            return call.host.plugin(config["type"]).add(call.but(config))
        except CniError as e:
            raise CniError(e.code, f"failed to delegate add: {e.msg}", e.details) from None

    def delete(self, call: Call) -> None:
        scratch = call.host.disk.get(self._scratch(call))
        if scratch is None:
            return  # never added, or deleted already
        config = json.loads(scratch)
        call.host.plugin(config["type"]).delete(call.but(config))
        del call.host.disk[self._scratch(call)]

    def check(self, call: Call) -> None:
        """The real plugin checks nothing."""

    def gc(self, call: Call) -> None:
        """Nothing: its delegates are released by DEL."""

    def status(self, call: Call) -> None:
        path = str(call.config.get("subnetFile") or SUBNET_FILE)
        if path not in call.host.disk:
            raise CniError(50, f"loadFlannelSubnetEnv failed: open {path}: no such file or directory")

    @staticmethod
    def _scratch(call: Call) -> str:
        return f"{call.config.get('dataDir') or DATA_DIR}/{call.container_id}"
