"""The conflists that CniLab starts with."""

from __future__ import annotations

import json
from typing import Any

from ..cni import PLUGINS

__all__ = ["examples"]

_RANGE = {"type": "host-local", "subnet": "10.1.0.0/24"}
_ROUTES = {**_RANGE, "routes": [{"dst": "0.0.0.0/0"}]}
_BRIDGE = {"type": "bridge", "isDefaultGateway": True, "ipMasq": True, "ipam": _RANGE}
_PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
_PLUGINS: tuple[tuple[str, list[dict[str, Any]]], ...] = (
    ("bridge and host-local", [_BRIDGE]),
    ("bridge, then portmap", [_BRIDGE, _PORTMAP]),
    ("ptp and host-local", [{"type": "ptp", "ipMasq": True, "ipam": _ROUTES}]),
    (
        "macvlan and host-local",
        [{"type": "macvlan", "master": "eth0", "ipam": {**_ROUTES, "subnet": "192.168.50.0/24", "rangeStart": "192.168.50.200"}}],
    ),
)


def examples() -> dict[str, str]:
    """Name -> conflist as JSON text, of plugins that there are."""
    return {
        name: json.dumps({"cniVersion": "1.0.0", "name": "mynet", "plugins": plugins}, indent=2)
        for name, plugins in _PLUGINS
        if all(p["type"] in PLUGINS for p in plugins)
    }
