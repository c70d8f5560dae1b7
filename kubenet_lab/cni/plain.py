"""`Conflist`: a pod network of plugins alone. The same configuration lies on every node; no daemon programs anything.

What differs from node to node stands in the configuration as a field in double braces, as in containerd's template for a
conflist (`conf_template`, docs/cri/config.md), which knows `{{.PodCIDR}}`. The routes between the nodes are up to the administrator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import KubenetError
from .conflist import NetworkList
from .result import CniError

__all__ = ["FIELDS", "Conflist", "fill"]

#: what a node puts in: its podCIDRs, its wire's network and its share of that, the router on it; with a 6 those of IPv6.
#: "usePodCidr" and "usePodCidrIPv6" are Calico's words for the first two.
FIELDS = tuple(f"{name}{six}" for six in ("", "6") for name in ("PodCIDR", "NodeCIDR", "RangeStart", "RangeEnd", "Gateway"))
_CALICO = {"usePodCidr": "{{.PodCIDR}}", "usePodCidrIPv6": "{{.PodCIDR6}}"}
_FIELD = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")
Routes = Literal["static", "none"]

_POD_RANGES = [[{"subnet": "{{.PodCIDR}}"}], [{"subnet": "{{.PodCIDR6}}"}]]
_LAN_RANGES = [
    [{"subnet": "{{.NodeCIDR}}", "rangeStart": "{{.RangeStart}}", "rangeEnd": "{{.RangeEnd}}", "gateway": "{{.Gateway}}"}],
    [{"subnet": "{{.NodeCIDR6}}", "rangeStart": "{{.RangeStart6}}", "rangeEnd": "{{.RangeEnd6}}", "gateway": "{{.Gateway6}}"}],
]
_DEFAULTS = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
_HOST_LOCAL = {"type": "host-local", "ranges": _POD_RANGES}
_PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
#: what the name of a main plugin alone stands for
NAMED: dict[str, tuple[list[dict[str, Any]], Routes]] = {
    "bridge": ([{"type": "bridge", "isDefaultGateway": True, "hairpinMode": True, "ipam": _HOST_LOCAL}, _PORTMAP], "static"),
    "ptp": ([{"type": "ptp", "ipam": {**_HOST_LOCAL, "routes": _DEFAULTS}}, _PORTMAP], "static"),
    "macvlan": ([{"type": "macvlan", "master": "eth0", "ipam": {**_HOST_LOCAL, "ranges": _LAN_RANGES, "routes": _DEFAULTS}}], "none"),
}


@dataclass(frozen=True, slots=True)
class Conflist:
    """The option `cni=` of `load` for plugins without a daemon: `kn.Conflist({...}, routes="static")`.

    `conflist` is a mapping or JSON text; fields such as `{{.PodCIDR}}` and `{{.PodCIDR6}}` (FIELDS) are filled in on each node, and
    what belongs to a family that a node does not have is left out. `routes`: "static" adds an administrator's routes to every node's
    podCIDRs, on the other nodes of its wire and on the router; "none" adds nothing. Raises KubenetError for what is no conflist.
    """

    conflist: Any
    routes: Routes = "static"

    def __post_init__(self) -> None:
        if self.routes not in ("static", "none"):
            raise KubenetError(f"routes: found {self.routes!r}, expected 'static' or 'none'")
        try:
            NetworkList.parse(self.conflist)
            raw = json.loads(self.conflist) if isinstance(self.conflist, str) else self.conflist
            text = json.dumps(raw)
        except CniError as e:
            raise KubenetError(f"conflist: {e}") from None
        except (TypeError, ValueError) as e:
            raise KubenetError(f"conflist: {e}") from None
        unknown = sorted({name for name in _FIELD.findall(text) if name not in FIELDS})
        if unknown or "{{" in _FIELD.sub("", text):
            found = f"{{{{.{unknown[0]}}}}}" if unknown else "a template that is more than a field"
            raise KubenetError(f"conflist: found {found}, expected {', '.join(f'{{{{.{f}}}}}' for f in FIELDS)}")
        object.__setattr__(self, "conflist", text)

    @classmethod
    def named(cls, plugin: str) -> Conflist:
        """What a main plugin's name alone stands for: host-local, for bridge and ptp from the podCIDRs with portmap behind and
        routes between the nodes, for macvlan from each node's share of the node network."""
        plugins, routes = NAMED[plugin]
        return cls({"cniVersion": "1.0.0", "name": f"{plugin}-net", "plugins": plugins}, routes)

    @property
    def plugins(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(json.loads(self.conflist)["plugins"])

    @property
    def type(self) -> str:
        """The main plugin's: the first of the list."""
        return str(self.plugins[0]["type"])

    @property
    def uses_node_network(self) -> bool:
        """Pods get addresses of the node network."""
        return "{{.NodeCIDR" in self.conflist or "{{ .NodeCIDR" in self.conflist

    def on(self, values: Mapping[str, str]) -> NetworkList:
        """The list as it lies on one node, where fields have these values; one that is "" or missing is nothing to this node."""
        raw = json.loads(self.conflist)
        done = fill(raw, values)
        if done != raw:
            for plugin in done["plugins"]:
                _drop_families(plugin.get("ipam"))
        return NetworkList.parse(done)


def fill(value: Any, values: Mapping[str, str]) -> Any:
    """A configuration with its fields replaced. Parts of a list that need a field without a value are left out."""
    if isinstance(value, str):
        return _FIELD.sub(lambda m: values.get(m[1], ""), _CALICO.get(value, value))
    if isinstance(value, Mapping):
        return {k: fill(v, values) for k, v in value.items()}
    if isinstance(value, list):
        return [fill(v, values) for v in value if not _needs_missing(v, values)]
    return value


def _needs_missing(value: Any, values: Mapping[str, str]) -> bool:
    if isinstance(value, str):
        return any(not values.get(name) for name in _FIELD.findall(_CALICO.get(value, value)))
    if isinstance(value, Mapping):
        return any(isinstance(v, str) and _needs_missing(v, values) for v in value.values())
    return isinstance(value, list) and bool(value) and all(_needs_missing(v, values) for v in value)


def _drop_families(ipam: Any) -> None:
    """Routes of a family of which there is no range have no gateway to go by."""
    if not isinstance(ipam, dict) or not isinstance(ipam.get("ranges"), list) or not isinstance(ipam.get("routes"), list):
        return
    subnets = [str(r.get("subnet", "")) for ranges in ipam["ranges"] if isinstance(ranges, list) for r in ranges if isinstance(r, Mapping)]
    have = {":" in s for s in [*subnets, *([str(ipam["subnet"])] if ipam.get("subnet") else [])]}
    ipam["routes"] = [r for r in ipam["routes"] if not isinstance(r, Mapping) or r.get("gw") or (":" in str(r.get("dst", ""))) in have]
