"""A pod network that is not modelled: it loads, its pods keep the addresses they show, and a walk ends at NotModelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...kernel.network import Network
from ...objects.views import Node, Pod
from .base import Disk, HostLocalNetwork, Programmed

__all__ = ["UnmodelledNetwork"]


class UnmodelledNetwork(HostLocalNetwork):
    """A pod network whose packets the lab cannot walk. Addresses are observed, or assumed from the podCIDRs."""

    def __init__(self, name: str, why: str = ""):
        self.name, self.unmodelled = name, why or name

    def program(self, network: Network, nodes: Sequence[Node], pods: Sequence[Pod], disks: Mapping[str, Disk]) -> Programmed:
        return Programmed()
