"""Pod networking: the CNI contract, its plugins, and the providers that program nodes."""

from __future__ import annotations

from .bridge import Bridge
from .contract import NetworkList, Plugin, PluginHost, Runtime
from .flannel import Flannel, Lease
from .flannel.plugin import FlannelPlugin
from .host_local import HostLocal
from .loopback import Loopback
from .portmap import PortMap
from .result import CniError, Result

__all__ = ["PLUGINS", "CniError", "Flannel", "Lease", "NetworkList", "Plugin", "PluginHost", "Result", "Runtime"]

#: the plugins in CNI_PATH, by type
PLUGINS: dict[str, Plugin] = {p.type: p for p in (Bridge(), FlannelPlugin(), HostLocal(), Loopback(), PortMap())}
