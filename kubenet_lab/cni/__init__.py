"""Pod networking: the CNI contract, its plugins, and the providers that program nodes."""

from __future__ import annotations

from .bridge import Bridge
from .calico import Calico, CalicoIpam, CalicoPlugin
from .conflist import NetworkList, problems
from .contract import Plugin, PluginHost
from .flannel import Flannel, Lease
from .flannel.plugin import FlannelPlugin
from .host_local import HostLocal
from .libcni import Runtime
from .loopback import Loopback
from .macvlan import Macvlan
from .plain import Conflist
from .portmap import PortMap
from .ptp import PointToPoint
from .record import Operation, PluginCall, StateChange
from .result import CniError, Result
from .runtime import CniRuntime
from .static import Static
from .tuning import Tuning
from .unmodelled import UNMODELLED, Unmodelled

__all__ = [
    "INSTALLED", "PLUGINS", "Calico", "CniError", "CniRuntime", "Conflist", "Flannel", "Lease", "NetworkList", "Operation", "Plugin",
    "PluginCall", "PluginHost", "Result", "Runtime", "StateChange", "problems",
]  # fmt: skip

#: the plugins that are modelled, by type
PLUGINS: dict[str, Plugin] = {
    p.type: p for p in (
        Bridge(), CalicoIpam(), CalicoPlugin(), FlannelPlugin(), HostLocal(), Loopback(), Macvlan(), PointToPoint(), PortMap(), Static(),
        Tuning(),
    )
}
#: the plugins in CNI_PATH of a node: those, and the ones that say that they are not
INSTALLED: dict[str, Plugin] = PLUGINS | {type: Unmodelled(type) for type in UNMODELLED}
