"""kubenet-lab: hold a Kubernetes network in your hands.

Load real manifests, ask any question about the traffic, see the answer hop by hop, change one thing and see what changed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import CommandError, KubenetError, LoadError, NotFound, NotModelled
from .magics import register_if_ipython
from .trace import Decision, Hop, Outcome, Reason, Trace
from .versions import MODELLED

if TYPE_CHECKING:
    from . import plots, widgets
    from .cluster import Allow, Cluster, Deny, Kubelet, SecurityGroup, Underlay, example, load
    from .cni import Calico, CniRuntime, Conflist, Flannel
    from .course.asking import check, hint, learner, predict, progress, reveal
    from .course.case_file import mystery
    from .dns import CoreDNS
    from .policy import PolicyEngine
    from .services import CloudLoadBalancer, KubeProxy, MetalLB

__version__ = "0.1.0"

__all__ = [
    "MODELLED", "Allow", "Calico", "CloudLoadBalancer", "Cluster", "CniRuntime", "CommandError", "Conflist", "CoreDNS", "Decision",
    "Deny", "Flannel", "Hop", "KubeProxy", "Kubelet", "KubenetError", "LoadError", "MetalLB", "NotFound", "NotModelled", "Outcome",
    "PolicyEngine", "Reason", "SecurityGroup", "Trace", "Underlay", "__version__", "check", "example", "hint", "learner", "load",
    "mystery", "plots", "predict", "progress", "reveal", "widgets",
]  # fmt: skip

#: where each name comes from that is loaded when it is first used: `import kubenet_lab` stays light
_LATER = {
    **dict.fromkeys(("Allow", "Cluster", "Deny", "Kubelet", "SecurityGroup", "Underlay", "example", "load"), "cluster"),
    **dict.fromkeys(("check", "hint", "learner", "mystery", "predict", "progress", "reveal"), "course"),
    "Calico": "cni", "CniRuntime": "cni", "Conflist": "cni", "CoreDNS": "dns", "Flannel": "cni",
    **dict.fromkeys(("CloudLoadBalancer", "KubeProxy", "MetalLB"), "services"),
    "PolicyEngine": "policy",
}  # fmt: skip

register_if_ipython()


def __getattr__(name: str) -> Any:
    if name in ("plots", "widgets"):
        return import_module(f".{name}", __name__)
    if name in _LATER:
        found = getattr(import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
